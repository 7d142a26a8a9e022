"""The HTTP application: is the daemon alive, is it ready, its figures, and what holds for every request."""

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import structlog
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.errors import OrchestratorError
from orchestrator.model import Mode
from orchestrator.web.compression import Compression
from orchestrator.web.page import page_routes, show_page
from orchestrator.web.problem import of_http, of_ours, problem

log = structlog.get_logger("web")

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})

SLOW_S = 1.0
"""A request that takes longer is logged with its checkpoints."""

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}

_INDEX = """orchestrator

/          in a browser: the live page
/livez     200 while the daemon's loop runs
/startupz  200 when the start is over, else 503
/readyz    200 when it is ready for work, else 503; each check by name
/health    the same, with memory and connections
/metrics   figures for Prometheus
/api/v1/   what there is, for programs; described by /api/v1/openapi.json

More: orchestrator ctl status
"""


def make_app(
    *,
    look: Callable[[], tuple[bool, dict[str, Any]]],
    weigh: Callable[[], dict[str, Any]] = dict,
    metrics: Callable[[], bytes],
    hosts: Collection[str] = (),
    more: Sequence[Route] = (),
) -> Starlette:
    """The endpoints as an ASGI application.

    `look` says whether the daemon is ready, and gives `mode` and `checks`; `weigh` gives what it uses: memory
    and connections; `metrics` gives Prometheus' text format. `hosts` are names, besides those of the
    loopback, that a request's Host may have; `more` is served besides.
    """

    async def index(request: Request) -> Response:
        wants_page = "text/html" in request.headers.get("accept", "")
        return show_page() if wants_page else PlainTextResponse(_INDEX)

    async def livez(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def startupz(_request: Request) -> Response:
        _, document = look()
        is_over = document["mode"] != Mode.STARTING
        return PlainTextResponse(f"{document['mode']}\n", status_code=200 if is_over else 503)

    async def health(_request: Request) -> Response:
        is_ready, document = look()
        whole = {"ready": is_ready, **document, **weigh()}
        return _JSON(whole, status_code=200 if is_ready else 503)

    async def readyz(request: Request) -> Response:
        is_ready, document = look()
        mark(request, "look")
        return _JSON({"ready": is_ready, **document}, status_code=200 if is_ready else 503)

    async def figures(request: Request) -> Response:
        text = metrics()
        mark(request, "metrics")
        return Response(text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    routes = [
        Route("/", index),
        Route("/livez", livez),
        Route("/startupz", startupz),
        Route("/readyz", readyz),
        Route("/health", health),
        Route("/metrics", figures),
        *page_routes(),
        *more,
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(_Edge, hosts=allowed_hosts(hosts)), Middleware(Compression)],
        exception_handlers={HTTPException: of_http, OrchestratorError: of_ours},
    )


def allowed_hosts(hosts: Collection[str]) -> frozenset[str]:
    """`hosts` and the names of the loopback, as `is_host_allowed` wants them."""
    return LOOPBACK_HOSTS | {host.lower() for host in hosts}


def mark(request: Request, name: str) -> None:
    """Note that `request` has come to the checkpoint `name`; told in the log when it ends up slow."""
    request.scope["checkpoints"].append((name, time.perf_counter()))


class _JSON(JSONResponse):
    """Indented: at night a person reads it with curl."""

    def render(self, content: Any) -> bytes:
        return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


class _Edge:
    """What holds for every request: its host, its headers, its time, and an end to its errors."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        scope["checkpoints"] = []
        if not is_host_allowed(Headers(scope=scope), self._hosts):
            refusal = problem(400, "this host name is not served here", remedy="Set http.allowed_hosts")
            await refusal(scope, receive, answer.send)
            return
        await self._run(answer, scope, receive)
        answer.log_if_slow(scope)

    async def _run(self, answer: "_Answer", scope: Scope, receive: Receive) -> None:
        try:
            await self._app(scope, receive, answer.send)
        except ClientDisconnect:
            log.debug("client_gone", method=scope["method"], path=scope["path"])
        except Exception:
            log.exception("request_failed", method=scope["method"], path=scope["path"])
            if not answer.has_started:
                refusal = problem(500, "internal error", remedy="The daemon's log has the details")
                await refusal(scope, receive, answer.send)


def is_host_allowed(headers: Headers | Mapping[str, str], hosts: frozenset[str]) -> bool:
    """Whether the Host header names one of `hosts`, with any port.

    So a page elsewhere that has its own name point at this machine gets nothing. The port may differ,
    since people reach the daemon through tunnels.
    """
    name, colon, port = headers.get("host", "").lower().rpartition(":")
    if colon and port.isascii() and port.isdigit() and len(port) <= 5:
        return name in hosts
    return f"{name}{colon}{port}" in hosts


class _Answer:
    """The way out of one request; adds the headers that every response has."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._started_at = time.perf_counter()
        self.has_started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_started = True
            headers = MutableHeaders(scope=message)
            headers["X-Response-Time"] = f"{self._elapsed_s() * 1000:.2f}ms"
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)

    def _elapsed_s(self) -> float:
        return time.perf_counter() - self._started_at

    def log_if_slow(self, scope: Scope) -> None:
        duration_s = self._elapsed_s()
        if duration_s <= SLOW_S:
            return
        checkpoints = {name: round(at - self._started_at, 3) for name, at in scope["checkpoints"]}
        log.warning(
            "slow_request",
            method=scope["method"],
            path=scope["path"],
            duration_s=round(duration_s, 3),
            checkpoints=checkpoints,
        )
