"""Asks any OpenAI-compatible endpoint for one chat completion: within a time, and up to a size."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import trio

from orchestrator.errors import LanguageModelError, ModelBrokenError, ModelRefusedError, ModelUnreachableError
from orchestrator.llm.failures import error_of, read_json
from orchestrator.settings.llm import LanguageModelSettings

if TYPE_CHECKING:  # it takes a while to import, and most houses have no language model
    import httpx

MAX_ANSWER_BYTES = 1 << 20
"""Far more than the longest text; an endpoint that sends more is not listened to."""
CONNECT_TIMEOUT_S = 10.0
PROBE_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat."""

    role: Literal["system", "user"]
    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What is paid for."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said."""

    text: str
    usage: Usage | None
    """None: the endpoint does not say."""
    is_whole: bool
    """False when it was cut off at the limit of tokens."""


class Client:
    """The way to one endpoint; `open_client` makes one."""

    def __init__(self, settings: LanguageModelSettings, http: "httpx.AsyncClient") -> None:
        key = settings.read_key()
        self._settings = settings
        self._http = http
        self._key = key.get_secret_value() if key is not None else ""

    async def complete(self, model: str, messages: Sequence[Message]) -> Answer:
        """Ask once; nothing is tried again here. Raises a LanguageModelError.

        The whole call, however slowly the answer trickles in, takes `timeout_s` at most.
        """
        settings = self._settings
        question = {
            "model": model,
            "messages": [{"role": message.role, "content": message.text} for message in messages],
            settings.limit_field: settings.answer_tokens,
        }
        status, headers, body = await self._call("POST", "/chat/completions", settings.timeout_s, question)
        if status != 200:
            raise self._shown(error_of(status, headers, body))
        return self._answer(body)

    async def probe(self) -> None:
        """Ask for the list of models, which costs nothing. Raises a LanguageModelError.

        An endpoint that has no such list answers so, and is alive: that is for the breaker to judge.
        """
        status, headers, body = await self._call("GET", "/models", PROBE_TIMEOUT_S)
        if status != 200:
            raise self._shown(error_of(status, headers, body))

    async def _call(
        self, method: str, path: str, limit_s: float, question: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        import httpx

        url = f"{self._settings.base_url}{path}"
        headers = {"accept-encoding": "identity"}  # so that a size is what it seems
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        try:
            with trio.fail_after(limit_s):
                async with self._http.stream(method, url, json=question, headers=headers) as response:
                    return response.status_code, dict(response.headers), await _read(response)
        except trio.TooSlowError as error:
            why = f"the language model gave no whole answer within {limit_s:g} s"
            raise ModelUnreachableError(why, may_have_cost=True) from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self._unreachable(error, may_have_cost=False) from error
        except httpx.HTTPError as error:
            raise self._unreachable(error, may_have_cost=True) from error

    def _unreachable(self, error: Exception, *, may_have_cost: bool) -> ModelUnreachableError:
        why = str(error) or type(error).__name__
        text = f"the language model at {self._settings.base_url} can't be reached: {why}"
        return ModelUnreachableError(
            text, remedy="Check language_model.base_url", may_have_cost=may_have_cost
        )

    def _shown(self, error: LanguageModelError) -> LanguageModelError:
        """The error without the key, which some endpoints repeat."""
        if self._key:
            error.args = (str(error).replace(self._key, "…"),)
        return error

    def _answer(self, body: bytes) -> Answer:
        document = read_json(body)
        if isinstance(document, dict) and document.get("error"):
            error = document["error"]
            code = error.get("code") if isinstance(error, dict) else None
            raise self._shown(error_of(code if isinstance(code, int) else 500, {}, body))
        match document:
            case {"choices": [{"message": {"content": str(text)}, **choice}, *_]}:
                return Answer(text.strip(), _usage(document), choice.get("finish_reason") != "length")
            case {"choices": [{"message": {**message}, **choice}, *_]} if message.get("content") is None:
                return Answer("", _usage(document), choice.get("finish_reason") != "length")
        raise ModelBrokenError("the language model's answer is no chat completion", may_have_cost=True)


@asynccontextmanager
async def open_client(settings: LanguageModelSettings) -> AsyncIterator[Client]:
    """Connections are kept until the end. Raises SettingsError for a key file that can't be read."""
    import httpx

    timeout = httpx.Timeout(settings.timeout_s, connect=CONNECT_TIMEOUT_S)
    async with httpx.AsyncClient(timeout=timeout, limits=httpx.Limits(max_connections=8)) as http:
        yield Client(settings, http)


async def _read(response: "httpx.Response") -> bytes:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise ModelBrokenError("the language model sends a compressed answer unasked", may_have_cost=True)
    body = bytearray()
    with trio.CancelScope() as scope:  # a loop that is left by itself leaves httpx's generators open
        async for chunk in response.aiter_raw():
            if len(body) + len(chunk) > MAX_ANSWER_BYTES:
                scope.cancel()
            else:
                body += chunk
    if scope.cancel_called:
        text = f"the language model's answer is longer than {MAX_ANSWER_BYTES} bytes"
        raise ModelBrokenError(text, may_have_cost=True)
    if 300 <= response.status_code < 400:
        to = "the language model's address leads elsewhere"
        raise ModelRefusedError(to, remedy="Correct language_model.base_url; it is not followed")
    return bytes(body)


def _usage(document: dict[str, Any]) -> Usage | None:
    match document.get("usage"):
        case {"prompt_tokens": int(asked), "completion_tokens": int(said)} if min(asked, said) >= 0:
            return Usage(asked, said)
    return None
