"""Makes answers smaller, for clients that say that they can read it (RFC 9110, 12.5.3)."""

import gzip
from collections.abc import Callable

import brotli
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MIN_BYTES = 1024
"""Smaller answers fit into one packet anyway."""
GZIP_LEVEL, BROTLI_QUALITY = 5, 4
"""Both take about a millisecond for 50 KB; the best ones take fifty."""


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, GZIP_LEVEL, mtime=0)


def _brotli(body: bytes) -> bytes:
    return bytes(brotli.compress(body, quality=BROTLI_QUALITY, mode=brotli.MODE_TEXT))


CODINGS: dict[str, Callable[[bytes], bytes]] = {"br": _brotli, "gzip": _gzip}
"""The best first."""


class Compression:
    """Compresses answers of one piece from MIN_BYTES on; what is sent in several goes as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            send = _Answer(send, coding_for(Headers(scope=scope).get("accept-encoding", ""))).send
        await self._app(scope, receive, send)


def coding_for(accepted: str) -> str | None:
    """The best coding that the client takes; None: it wants the answer as it is.

    What can't be read of the header counts as not said.
    """
    weights: dict[str, float] = {}
    for part in accepted.lower().split(","):
        name, _, parameter = part.partition(";")
        weights[name.strip()] = _weight(parameter.strip())
    found = {name: weights.get(name, weights.get("*", 0.0)) for name in CODINGS}
    best = max(found, key=lambda name: found[name])  # of equals the first
    return best if found[best] > 0 else None


def _weight(parameter: str) -> float:
    if not parameter:
        return 1.0
    try:
        return float(parameter.removeprefix("q="))
    except ValueError:
        return 0.0


class _Answer:
    """The way out of one response: its start waits for the body."""

    def __init__(self, send: Send, coding: str | None) -> None:
        self._send = send
        self._coding = coding
        self._start: Message | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        start, self._start = self._start, None
        if start is not None:
            message = self._packed(start, message)
            await self._send(start)
        await self._send(message)

    def _packed(self, start: Message, message: Message) -> Message:
        headers = MutableHeaders(scope=start)
        body = message.get("body", b"")
        if message.get("more_body", False) or len(body) < MIN_BYTES or "content-encoding" in headers:
            return message
        headers.add_vary_header("Accept-Encoding")
        if self._coding is None:
            return message
        body = CODINGS[self._coding](body)
        headers["Content-Encoding"] = self._coding
        headers["Content-Length"] = str(len(body))
        return {**message, "body": body}
