"""Frames for the control socket."""

import json
import struct
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from orchestrator.control import protocol
from orchestrator.control.server import Verb
from tests.fuzz.mutate import a_text, a_value, any_value, cut, mutated
from tests.fuzz.talk import Check, Talk, slowly

MOST = 60
"""Frames on one connection."""


def control_talk(rng: Random, verbs: Mapping[str, Verb]) -> Talk:
    """Requests that are well formed, each of which is answered, and mostly one more that is not."""
    good = [_framed(_request(rng, verbs)) for _ in range(rng.randint(1, MOST))]
    has_end = rng.random() < 0.7
    end = rng.choice(_ENDS)(rng, _framed(_request(rng, verbs))) if has_end else b""
    stage = [b"".join(good), *slowly(rng, end)]
    is_left = rng.random() < 0.02
    return Talk("control", len(good) + has_end, [stage], _answers(len(good)), is_left)


def _request(rng: Random, verbs: Mapping[str, Verb]) -> bytes:
    name = rng.choice([*verbs]) if rng.random() < 0.95 else a_text(rng)
    request: dict[str, Any] = {"verb": name or "?", "args": _args(rng, verbs.get(name))}
    if rng.random() < 0.3:
        request["id"] = rng.choice((a_text(rng), a_value(rng, int), None))
    if not request["args"] and rng.random() < 0.5:
        del request["args"]
    body = json.dumps(request, ensure_ascii=False).encode(errors="replace")  # halves of a pair are refused
    return body if rng.random() < 0.5 else json.dumps(json.loads(body)).encode()


def _args(rng: Random, verb: Verb | None) -> dict[str, Any]:
    parameters = {} if verb is None else verb.parameters
    args = {name: a_value(rng, kind) for name, kind in parameters.items() if rng.random() < 0.9}
    if rng.random() < 0.1:
        args[rng.choice([*parameters, a_text(rng)])] = any_value(rng)
    return args


def _framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


# ── frames that break the rules ─────────────────────────────────────────────────────────────────


def _changed(rng: Random, frame: bytes) -> bytes:
    return _framed(mutated(rng, frame[4:]))


def _changed_all(rng: Random, frame: bytes) -> bytes:
    return mutated(rng, frame) or b"\x00"


def _cut(rng: Random, frame: bytes) -> bytes:
    return cut(rng, frame)


def _huge(rng: Random, frame: bytes) -> bytes:
    size = rng.choice((protocol.MAX_REQUEST_BYTES, protocol.MAX_REQUEST_BYTES + 1, 2**31, 2**32 - 1))
    return struct.pack(">I", size) + (frame * 40)[: rng.choice((0, 8000, 66_000))]


def _nested(rng: Random, _frame: bytes) -> bytes:
    depth = rng.choice((15, 16, 17, 1000, 30_000))
    return _framed(b'{"verb":"jobs","args":' + b'{"a":' * depth + b"1" + b"}" * (depth + 1))


def _not_json(rng: Random, _frame: bytes) -> bytes:
    return _framed(
        rng.choice((
            b"", b"null", b"[]", b'"status"', b"{}", b'{"verb":NaN}', b'{"verb":"jobs","verb":"jobs"}',
            b'{"verb":"jobs","args":[]}', b'{"verb":"jobs","id":1.5}', b'{"verb":"jobs","id":true}',
            b'{"verb":"\xff"}', b'{"verb":"\\ud800"}', b'{"verb":"jobs"} x',
            b'{"verb":' + b"9" * 5000 + b"}",
        ))
    )  # fmt: skip


def _random(rng: Random, _frame: bytes) -> bytes:
    return rng.randbytes(rng.randint(1, 200))


_ENDS: tuple[Callable[[Random, bytes], bytes], ...] = (
    _changed, _changed, _changed_all, _changed_all, _cut, _huge, _nested, _not_json, _random,
)  # fmt: skip


# ── what comes back ─────────────────────────────────────────────────────────────────────────────


def _answers(least: int) -> Check:
    def check(received: bytes) -> str:
        answers = []
        while received:
            if len(received) < 4 or len(received) < 4 + int.from_bytes(received[:4], "big"):
                return "an answer is cut off"
            end = 4 + int.from_bytes(received[:4], "big")
            answers.append(json.loads(received[4:end]))
            received = received[end:]
        if len(answers) < least:
            return f"{least} requests and {len(answers)} answers"
        return next((f"answered {one}" for one in answers if not _is_answer(one)), "")

    return check


def _is_answer(answer: Any) -> bool:
    if answer["ok"]:
        return "result" in answer
    return isinstance(answer["error"], str) and answer["error"] != "internal error"
