"""The outermost layer: security headers on every answer, and one line on stderr for every failure."""

import logging
import traceback

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("murmur")

_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Edge:
    """An ASGI app around `inner` that never raises, so that one bad request can't end the server."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            await self._inner(scope, receive, send_with_headers)
        except ClientDisconnect:
            log.info("%s: the client went away", _name(scope))
        except Exception as error:  # noqa: BLE001 - the edge of a request; logged, on one line
            # The answer, a page with status 500, is sent by the layer below.
            log.error("%s: %s", _name(scope), one_line(error))


def one_line(error: BaseException) -> str:
    """The error and the place it came from, on one line."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return " ".join(f"{error!r}{place}".split())


def _name(scope: Scope) -> str:
    return f"{scope.get('method', scope['type'])} {scope.get('path', '')!r}"
