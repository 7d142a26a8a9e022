"""Handshakes and messages for the live feed."""

import json
from collections.abc import Callable
from random import Random

from orchestrator.web.feed.connection import MAX_MESSAGE, PATH
from tests.fuzz.mutate import a_text, any_value, cut, mutated
from tests.fuzz.talk import Talk, slowly

MOST = 80
"""Messages on one connection."""
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
MASK = bytes(4)
"""Of zeros, so that nothing has to be computed."""
TEXT, BYTES, CLOSE, PING, PONG = 1, 2, 8, 9, 10
HANDSHAKE = (
    b"GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n" % (PATH.encode(), KEY)
)
HEADERS = (
    b"Origin: http://localhost", b"Origin: null", b"Origin: http://localhost.evil.example", b"Origin: \xff",
    b"Sec-WebSocket-Protocol: a, b", b"Sec-WebSocket-Protocol: \xff",
    b"Sec-WebSocket-Extensions: permessage-deflate", b"Sec-WebSocket-Extensions: \xff;;=", b"Cookie: a=b",
    b"Connection: \xff", b"Content-Length: 3",
)  # fmt: skip


def feed_talk(rng: Random, token: str) -> Talk:
    """A handshake, a greeting, and messages that nobody waits for."""
    handshake = (
        HANDSHAKE
        + b"".join(b"%s\r\n" % one for one in rng.choices(HEADERS, k=rng.choice((0, 0, 1))))
        + b"\r\n"
    )
    if rng.random() < 0.3:
        broken = rng.choice((_changed, _cut, _foreign))(rng, handshake)
        return Talk("http", 1, [slowly(rng, broken)], is_left=rng.random() < 0.05)
    count = rng.randint(0, MOST)
    messages = [_message(rng) for _ in range(count)]
    greeting = _greeting(rng, token)
    stages = [slowly(rng, handshake), slowly(rng, greeting), slowly(rng, b"".join(messages))]
    return Talk("http", 2 + count, stages, _is_handshake, is_left=rng.random() < 0.02)


def _greeting(rng: Random, token: str) -> bytes:
    right = {
        "token": token,
        "user": a_text(rng),
        "had": rng.choice(("", "x.1", "9.9.9", f"a.{10**30}", "\u0661.\u0662")),
    }
    match rng.randrange(6):
        case 0:
            return frame(TEXT, json.dumps({"token": any_value(rng)}).encode())
        case 1:
            return frame(TEXT, mutated(rng, json.dumps(right).encode()))
        case 2:
            return _message(rng)
        case _:
            return frame(TEXT, json.dumps(right).encode())


def _message(rng: Random) -> bytes:
    return rng.choice(_MESSAGES)(rng)


def frame(
    opcode: int, payload: bytes, *, is_last: bool = True, is_masked: bool = True, reserved: int = 0
) -> bytes:
    """A WebSocket frame of a client (RFC 6455, 5.2)."""
    size, first = len(payload), (0x80 if is_last else 0) | reserved << 4 | opcode
    if size < 126:
        sizes = bytes([size])
    else:
        sizes = b"\x7e" + size.to_bytes(2, "big") if size < 1 << 16 else b"\x7f" + size.to_bytes(8, "big")
    head = bytes([first, sizes[0] | (0x80 if is_masked else 0)]) + sizes[1:]
    if not is_masked:
        return head + payload
    return head + MASK + payload


# ── messages of which each does something that it should not ────────────────────────────────────


def _plain(rng: Random) -> bytes:
    return frame(rng.choice((TEXT, BYTES)), rng.randbytes(rng.randint(0, 60)))


def _spoken(rng: Random) -> bytes:
    return frame(TEXT, a_text(rng).encode(errors="replace"))


def _ping(rng: Random) -> bytes:
    return frame(rng.choice((PING, PONG)), rng.randbytes(rng.choice((0, 4, 125, 126))))


def _huge(rng: Random) -> bytes:
    return frame(BYTES, bytes(rng.choice((MAX_MESSAGE, MAX_MESSAGE + 1, 70_000))))


def _in_parts(rng: Random) -> bytes:
    return frame(TEXT, b"a", is_last=False) + frame(
        rng.choice((0, TEXT, PING)), b"b", is_last=rng.random() < 0.5
    )


def _close(rng: Random) -> bytes:
    return frame(
        CLOSE, rng.choice((b"", b"\x03\xe8", b"\x03", b"\x00\x00", b"\xff\xff\xff", b"\x03\xe8" + b"a" * 123))
    )


def _odd(rng: Random) -> bytes:
    return frame(rng.randrange(16), b"abc", is_masked=rng.random() < 0.5, reserved=rng.randrange(8))


def _broken(rng: Random) -> bytes:
    return mutated(rng, _plain(rng))


_MESSAGES: tuple[Callable[[Random], bytes], ...] = (
    _plain, _plain, _plain, _spoken, _spoken, _ping, _ping, _huge, _in_parts, _close, _odd, _broken,
)  # fmt: skip


# ── handshakes that break the rules ─────────────────────────────────────────────────────────────


def _changed(rng: Random, handshake: bytes) -> bytes:
    begin = len(b"GET /feed ")  # what begins otherwise is not the feed's matter
    return handshake[:begin] + mutated(rng, handshake[begin:])


def _cut(rng: Random, handshake: bytes) -> bytes:
    return cut(rng, handshake) or handshake[:1]


def _foreign(rng: Random, handshake: bytes) -> bytes:
    hosts = (
        b"evil.example",
        b"\xff",
        b"xn--",
        b"xn--a-ecp.ru",
        b"." * 70,
        b"a" * 300 + b".b",
        b"\xc3\xa9",
        b"",
    )
    return handshake.replace(b"localhost", rng.choice(hosts), 1)


def _is_handshake(received: bytes) -> str:
    return "" if received.startswith(b"HTTP/1.1 ") or not received else f"answered {received[:200]!r}"
