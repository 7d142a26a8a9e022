"""One call of a real endpoint: what comes of each way in which it can end (A3.1)."""

from http.server import BaseHTTPRequestHandler
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trio

from orchestrator.breaker import Verdict
from orchestrator.errors import (
    Failure,
    LanguageModelError,
    ModelBrokenError,
    ModelFailure,
    ModelQuotaError,
    ModelRateLimitedError,
    ModelRefusedError,
    ModelUnreachableError,
    SettingsError,
)
from orchestrator.llm.client import MAX_ANSWER_BYTES, Answer, Message, Usage, open_client
from orchestrator.llm.failures import judge
from orchestrator.settings.llm import LanguageModelSettings
from tests.llm.endpoint import KEY, Answers, Endpoint, completion, error, says, silence
from tests.servers import free_port

MESSAGES = [Message("system", "Be brief."), Message("user", "Write of böoks.")]


async def ask(llm: Endpoint, **changes: object) -> Answer:
    async with open_client(LanguageModelSettings(**llm.settings(**changes))) as client:
        return await client.complete("large-1", MESSAGES)


async def failure(llm: Endpoint, **changes: object) -> LanguageModelError:
    with pytest.raises(LanguageModelError) as caught:
        await ask(llm, **changes)
    return caught.value


async def test_a_question_is_asked_as_the_protocol_wants_it(llm: Endpoint) -> None:
    answer = await ask(llm, answer_tokens=77)
    assert answer == Answer("Tip: a text of the model's.", Usage(100, 50), is_whole=True)
    assert llm.asked == [
        {
            "path": "/v1/chat/completions",
            "model": "large-1",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Write of böoks."},
            ],
            "max_tokens": 77,
        }
    ]
    assert llm.keys == [f"Bearer {KEY}"]


async def test_an_endpoint_without_a_key_is_sent_none(llm: Endpoint) -> None:
    await ask(llm, api_key=None)
    assert llm.keys == [None]


async def test_a_newer_endpoints_name_for_the_limit_is_used(llm: Endpoint) -> None:
    await ask(llm, limit_field="max_completion_tokens")
    assert llm.asked[0]["max_completion_tokens"] == 400
    assert "max_tokens" not in llm.asked[0]


QUOTA = error("You exceeded your current quota", type="insufficient_quota", code="insufficient_quota")
SPEND_LIMIT = error("No more", type="insufficient_quota", code="project_spend_limit_exceeded")
PATIENCE = error("Rate limit reached", type="requests", code="rate_limit_exceeded")


@pytest.mark.parametrize(
    ("answer", "kind", "what"),
    [
        (
            says(401, error("Incorrect API key provided")),
            ModelRefusedError,
            "401: Incorrect API key provided",
        ),
        (says(403, b""), ModelRefusedError, "403"),
        (says(404, error("no such model")), ModelRefusedError, "404: no such model"),
        (says(400, {"detail": "bad request"}), ModelRefusedError, "400: bad request"),
        (says(302, b"", location="http://127.0.0.1:9/"), ModelRefusedError, "leads elsewhere"),
        (says(402, {"error": "Insufficient balance"}), ModelQuotaError, "402: Insufficient balance"),
        (says(429, QUOTA), ModelQuotaError, "exceeded your current quota"),
        (says(429, SPEND_LIMIT), ModelQuotaError, "No more"),
        (says(429, PATIENCE), ModelRateLimitedError, "Rate limit reached"),
        (says(500, b"<html>oops"), ModelBrokenError, "500"),
        (says(503, error("overloaded")), ModelBrokenError, "503: overloaded"),
        (says(200, error("upstream failed", code="boom")), ModelBrokenError, "upstream failed"),
        (says(200, b"\x00\xff nothing"), ModelBrokenError, "no chat completion"),
        (says(200, b"[" * 200_000), ModelBrokenError, "no chat completion"),
        (says(200, {"choices": []}), ModelBrokenError, "no chat completion"),
        (says(200, {"choices": [{"message": {"content": 7}}]}), ModelBrokenError, "no chat completion"),
    ],
)
async def test_failures_are_sorted(
    llm: Endpoint, answer: Answers, kind: type[LanguageModelError], what: str
) -> None:
    llm.otherwise = answer
    found = await failure(llm)
    assert type(found) is kind
    assert what in str(found)


def test_what_a_kind_means_for_a_job_and_for_the_breaker() -> None:
    kinds = (
        ModelRefusedError,
        ModelQuotaError,
        ModelRateLimitedError,
        ModelUnreachableError,
        ModelBrokenError,
    )
    assert [(kind.kind, kind.failure, judge(kind("x"))) for kind in kinds] == [
        (ModelFailure.PERMANENT, Failure.PERMANENT, Verdict.SUCCESS),
        (ModelFailure.BUDGET, Failure.BUDGET, Verdict.SUCCESS),
        (ModelFailure.RATE_LIMIT, Failure.TRANSIENT, Verdict.SUCCESS),
        (ModelFailure.NETWORK, Failure.TRANSIENT, Verdict.FAILURE),
        (ModelFailure.SERVER, Failure.TRANSIENT, Verdict.FAILURE),
    ]
    assert judge(SettingsError("ours")) is Verdict.NEUTRAL


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after": "99999999"}, 86_400.0),
        ({"retry_after": "-3"}, 0.0),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "soon"}, None),
        ({}, None),
    ],
)
async def test_patience_is_as_long_as_the_endpoint_asks(
    llm: Endpoint, headers: dict[str, str], wanted: float | None
) -> None:
    llm.otherwise = says(429, PATIENCE, **headers)
    assert (await failure(llm)).retry_in_s == wanted


async def test_patience_until_a_date_is_counted_by_the_endpoints_own_clock(llm: Endpoint) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response_only(429)
        handler.send_header("date", "Mon, 04 May 2026 12:00:00 GMT")
        handler.send_header("retry-after", "Mon, 04 May 2026 12:02:00 GMT")
        handler.send_header("content-length", "0")
        handler.end_headers()

    llm.otherwise = answer
    assert (await failure(llm)).retry_in_s == 120.0


async def test_nobody_there_costs_nothing(llm: Endpoint) -> None:
    found = await failure(llm, base_url=f"http://127.0.0.1:{free_port()}/v1")
    assert isinstance(found, ModelUnreachableError)
    assert not found.may_have_cost


async def test_an_answer_that_trickles_is_given_up_in_time_and_may_have_cost(llm: Endpoint) -> None:
    """Each byte comes well within any pause between two reads; only the whole has a limit."""

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", "100000")
        handler.end_headers()
        while not llm.is_over.wait(0.01):
            handler.wfile.write(b" ")

    llm.otherwise = trickle
    found = await failure(llm, timeout_s=0.5)
    assert isinstance(found, ModelUnreachableError)
    assert "no whole answer within 0.5 s" in str(found)
    assert found.may_have_cost


async def test_an_answer_without_end_is_not_listened_to(llm: Endpoint) -> None:
    sent = count()

    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", str(1 << 40))
        handler.end_headers()
        while not llm.is_over.is_set():
            handler.wfile.write(b" " * 65_536)
            next(sent)

    llm.otherwise = flood
    found = await failure(llm)
    assert isinstance(found, ModelBrokenError)
    assert f"longer than {MAX_ANSWER_BYTES} bytes" in str(found)
    assert found.may_have_cost


async def test_a_compressed_answer_is_not_unpacked(llm: Endpoint) -> None:
    llm.otherwise = says(200, b"\x1f\x8b", content_encoding="gzip")
    found = await failure(llm)
    assert isinstance(found, ModelBrokenError)
    assert "compressed" in str(found)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("content-length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


def babble(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"\x00\xff no HTTP at all\r\n\r\n")
    handler.close_connection = True


@pytest.mark.parametrize("answer", [hang_up, babble])
async def test_an_answer_that_breaks_off_may_have_cost(llm: Endpoint, answer: Answers) -> None:
    llm.otherwise = answer
    found = await failure(llm)
    assert isinstance(found, ModelUnreachableError)
    assert found.may_have_cost


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": -1, "completion_tokens": 3}, "much"])
async def test_a_usage_that_is_none_is_not_believed(llm: Endpoint, usage: object) -> None:
    llm.otherwise = says(200, completion("a text") | {"usage": usage})
    assert (await ask(llm)).usage is None


@pytest.mark.parametrize(
    ("text", "choice", "wanted"),
    [
        ("half a te", {"finish_reason": "length"}, Answer("half a te", Usage(100, 50), is_whole=False)),
        (None, {}, Answer("", Usage(100, 50), is_whole=True)),
        (" spaced \n", {}, Answer("spaced", Usage(100, 50), is_whole=True)),
    ],
)
async def test_what_is_missing_of_a_text_is_told(
    llm: Endpoint, text: str | None, choice: dict[str, Any], wanted: Answer
) -> None:
    llm.otherwise = says(200, completion(text, **choice))
    assert await ask(llm) == wanted


async def test_a_key_that_the_endpoint_repeats_is_not_in_the_error(llm: Endpoint) -> None:
    llm.otherwise = says(401, error(f"Incorrect API key provided: {KEY}."))
    found = await failure(llm)
    assert KEY not in str(found)
    assert "Incorrect API key provided: …" in str(found)


async def test_a_cancelled_call_ends_at_once(llm: Endpoint) -> None:
    llm.otherwise = silence(llm.is_over)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, llm)
        while not llm.asked:
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert not llm.is_over.is_set()


async def test_a_probe_asks_for_what_costs_nothing(llm: Endpoint) -> None:
    async with open_client(LanguageModelSettings(**llm.settings())) as client:
        await client.probe()
        llm.models = says(500, b"")
        with pytest.raises(ModelBrokenError):
            await client.probe()
        llm.models = says(404, b"")
        with pytest.raises(ModelRefusedError) as alive:
            await client.probe()
    assert judge(alive.value) is Verdict.SUCCESS
    assert llm.asked == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"base_url": "llm.example/v1"}, "must be an address"),
        ({"base_url": "https://me:secret@llm.example/v1"}, "neither a user"),
        ({"large": None}, "needs a model"),
        ({"api_key_file": "key"}, "not both"),
        ({"daily_budget": 0}, "greater than 0"),
    ],
)
def test_settings_that_can_not_be_are_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        LanguageModelSettings(**Endpoint(1).settings(**changes))


def test_the_key_may_be_in_a_file_and_one_that_no_header_takes_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\nmore\n")
    settings = LanguageModelSettings(**Endpoint(1).settings(api_key=None, api_key_file=file))
    key = settings.read_key()
    assert key is not None
    assert key.get_secret_value() == KEY
    file.write_text(f"{KEY} and a space")
    with pytest.raises(SettingsError) as caught:
        settings.read_key()
    assert KEY not in str(caught.value)
