"""Bytes and values as nobody who means well sends them."""

from random import Random
from typing import Any

TOKENS = (
    b"\x00", b"\xff", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b":", b"{", b"}", b"[", b"]", b'"', b"\\",
    b"\\ud800", b"%00", b"%ff", b"%", b"//", b"..", b"\xc0\xaf", b"\xed\xa0\x80", b"NaN", b"1e999", b"-1",
    b"18446744073709551616", b"chunked", b"Host: evil.example\r\n", b"Content-Length: 5\r\n",
    b"Upgrade: h2c\r\n", b"HTTP/9.9",
)  # fmt: skip
TEXTS = (
    "", " ", "a", "plan", "posting", "ada", "nobody", "null", "-1", "0", "é", "😀", "\x00", "a\x00b",
    "\ud800", "\u202e", "../../etc/passwd", "'; DROP TABLE posts; --", "%s%n", "a\r\nb", "\x1b[31m",
    "published", "draft", "2026-06-01T12:00:00Z", "9999-12-31T23:59:59+14:00", "0001-01-01T00:00:00-14:00",
    "x"*300, "open",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 50, 100, 101, 500, 2**31-1, 2**31, -(2**31), 2**63-1, 2**63, 2**64, -(2**63)-1, 10**40,
)  # fmt: skip
MAX_CHANGES = 6


def mutated(rng: Random, data: bytes) -> bytes:
    """`data` with a few changes, each at a place by chance; never much longer."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, MAX_CHANGES)):
        begin = rng.randrange(len(changed) + 1)
        end = min(len(changed), begin + rng.choice((1, 1, 2, 8, 64)))
        match rng.randrange(7):
            case 0:
                changed[begin:end] = b""
            case 1:
                changed[begin:begin] = changed[begin:end] * rng.randint(1, 3)
            case 2:
                changed[begin:begin] = rng.choice(TOKENS)
            case 3:
                changed[begin:end] = rng.choice(TOKENS)
            case 4:
                changed[begin:end] = rng.randbytes(end - begin)
            case 5:
                changed[begin:end] = bytes(changed[begin:end]).swapcase()
            case _:
                if begin < len(changed):
                    changed[begin] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(rng: Random, data: bytes) -> bytes:
    """The beginning of it, which is not the whole."""
    return data[: rng.randrange(len(data))]


def pieces(rng: Random, data: bytes) -> list[bytes]:
    """It in a few pieces, some of one byte."""
    places = sorted(rng.sample(range(1, len(data)), min(len(data) - 1, rng.randint(1, 8)))) if data else []
    return [data[begin:end] for begin, end in zip([0, *places], [*places, len(data)], strict=True)]


def a_text(rng: Random) -> str:
    return rng.choice(TEXTS) if rng.random() < 0.9 else "".join(map(chr, rng.choices(range(0xD7FF), k=20)))


def a_value(rng: Random, kind: type) -> Any:
    """A value of that type."""
    if kind is int:
        return rng.choice(NUMBERS)
    if kind is float:
        return rng.choice((0.0, -1.5, 1e308, 0.1))
    if kind is bool:
        return rng.random() < 0.5
    if kind is list:
        return [a_text(rng)]
    if kind is dict:
        return {a_text(rng): a_text(rng)}
    return a_text(rng)


def any_value(rng: Random) -> Any:
    return None if rng.random() < 0.1 else a_value(rng, rng.choice((int, float, bool, list, dict, str)))
