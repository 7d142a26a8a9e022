"""What travels on the control socket: frames, requests and answers. No I/O happens here.

A frame is a length (4 bytes, big-endian) and so many bytes of UTF-8 JSON. The length comes first, so
that a frame that is too long is refused before a byte of it is read.

    request   {"verb": "pause", "args": {"job": "posting"}, "id": 7}      `args` and `id` may be left out
    answer    {"ok": true, "result": …, "id": 7}
              {"ok": false, "error": "one line", "remedy": "what to do", "id": 7}
"""

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from orchestrator.errors import ControlError, OrchestratorError

HEADER_BYTES = 4
MAX_REQUEST_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 16 * 1024 * 1024
MAX_SHOWN = 60
"""Characters of a stranger's text that are shown or logged."""
MAX_DEPTH = 16
"""Arrays and objects inside one another; the outermost counts as 1."""

_HEADER = struct.Struct(">I")
# Strings are matched whole, so that brackets in them do not count. Possessive: linear for any input.
_BRACKETS_AND_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for."""

    verb: str
    args: dict[str, Any] = field(default_factory=dict)
    id: str | int | None = None
    """Given back in the answer."""


# ── frames ──────────────────────────────────────────────────────────────────────────────────────


def frame(message: Mapping[str, Any]) -> bytes:
    """The message as it travels. Raises TypeError or ValueError for what JSON can't hold."""
    body = json.dumps(message, allow_nan=False, separators=(",", ":")).encode("ascii")
    return _HEADER.pack(len(body)) + body


def body_bytes(header: bytes, limit_bytes: int) -> int:
    """How many bytes follow the 4 bytes of `header`; ControlError beyond the limit."""
    (size,) = _HEADER.unpack(header)
    if size > limit_bytes:
        raise ControlError(f"the frame has {size} bytes; at most {limit_bytes} are allowed")
    return int(size)


def decode(body: bytes) -> Any:
    """The JSON value in a frame's body.

    ControlError for bytes that are not UTF-8 or not JSON, for nesting beyond MAX_DEPTH (found before
    anything is parsed), NaN and infinities, keys that appear twice and halves of surrogate pairs.
    """
    _check_depth(body)
    try:
        value = json.loads(
            body.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_unique_keys
        )
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError) as error:  # JSON's and Unicode's errors are ValueErrors
        raise ControlError(f"the frame is not valid JSON: {error}") from error
    return value


def _check_depth(body: bytes) -> None:
    depth = 0
    for match in _BRACKETS_AND_STRINGS.finditer(body):
        token = match.group()
        if token in (b"[", b"{"):
            depth += 1
            if depth > MAX_DEPTH:
                raise ControlError(f"the frame nests deeper than {MAX_DEPTH} levels")
        elif token in (b"]", b"}"):
            depth -= 1


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key appears twice in one object")
    return table


# ── requests and answers ────────────────────────────────────────────────────────────────────────


def parse_request(body: bytes) -> Request:
    """The request in a frame's body; ControlError names what is wrong with it."""
    value = decode(body)
    if not isinstance(value, dict):
        raise ControlError("a request is a JSON object")
    unknown = sorted(value.keys() - {"verb", "args", "id"})
    if unknown:
        raise ControlError(f"a request has no field {short(unknown[0])}")
    verb, args, id_ = value.get("verb"), value.get("args", {}), value.get("id")
    if not isinstance(verb, str) or not verb:
        raise ControlError("a request needs a verb, a text")
    if not isinstance(args, dict):
        raise ControlError("a request's args are a JSON object")
    if isinstance(id_, bool) or not isinstance(id_, str | int | None):
        raise ControlError("a request's id is a text or a whole number")
    return Request(verb, args, id_)


def request_message(verb: str, args: Mapping[str, Any]) -> dict[str, Any]:
    return {"verb": verb, "args": dict(args)}


def result_message(result: Any, id_: str | int | None) -> dict[str, Any]:
    return _with_id({"ok": True, "result": result}, id_)


def error_message(error: OrchestratorError, id_: str | int | None) -> dict[str, Any]:
    return _with_id({"ok": False, "error": str(error), "remedy": error.remedy}, id_)


def _with_id(message: dict[str, Any], id_: str | int | None) -> dict[str, Any]:
    return message if id_ is None else {**message, "id": id_}


def parse_answer(body: bytes) -> Any:
    """The result in an answer; an error answer, and one that makes no sense, raises ControlError."""
    value = decode(body)
    if isinstance(value, dict) and value.get("ok") is True and "result" in value:
        return value["result"]
    if isinstance(value, dict) and value.get("ok") is False and isinstance(value.get("error"), str):
        raise ControlError(value["error"], remedy=str(value.get("remedy") or ""))
    raise ControlError("the daemon's answer makes no sense", remedy="Is it of another version?")


def short(text: str, limit: int = MAX_SHOWN) -> str:
    """A stranger's text, quoted and cut, fit to be shown in an error."""
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")


def escaped(text: str) -> str:
    """A stranger's text, cut and with its control characters escaped, fit to be logged."""
    return short(text)[1:-1]
