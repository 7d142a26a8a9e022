"""Serves the application on Hypercorn's trio worker, connection by connection.

The connections are our own to serve, not Hypercorn's `serve()`, so that the application can be given the
power to end its connection without an answer, and so that shutting down never waits for a client.
"""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.demo.edge import one_line
from orchestrator.demo.faults import ABORT_EXTENSION

log = logging.getLogger("murmur.server")

GRACE_S = 0.4
"""How long requests that are being answered may take when the server is told to stop."""
_KEEP_ALIVE_S = 75
_READ_TIMEOUT_S = 900  # longer than the slowest fault, since it also runs while an answer is made


async def serve(app: ASGIApp, listeners: Sequence[trio.SocketListener], stop: trio.Event) -> None:
    """Serve until `stop` is set: then idle connections end at once, the others within GRACE_S."""
    context = WorkerContext(None)
    streams: set[trio.SocketStream] = set()
    handler = partial(_serve_connection, app, _config(), context, streams)
    async with trio.open_nursery() as reaper:
        async with trio.open_nursery() as connections:
            await _accept_until(stop, handler, listeners, connections)
            await context.terminated.set()
            # It may outlive the inner nursery: cancelling a scope that has ended does nothing.
            reaper.start_soon(_reap, connections.cancel_scope, streams)  # noqa: ASYNC111
        reaper.cancel_scope.cancel()


async def _accept_until(
    stop: trio.Event,
    handler: Any,
    listeners: Sequence[trio.SocketListener],
    connections: trio.Nursery,
) -> None:
    async with trio.open_nursery() as accepting:
        accepting.start_soon(
            partial(trio.serve_listeners, handler, list(listeners), handler_nursery=connections)
        )
        await stop.wait()
        accepting.cancel_scope.cancel()


async def _reap(connections: trio.CancelScope, streams: set[trio.SocketStream]) -> None:
    await trio.sleep(GRACE_S)
    connections.cancel()
    # Hypercorn shields its sends from cancellation: only a closed stream ends a send that nobody reads.
    for stream in list(streams):
        await trio.aclose_forcefully(stream)


async def _serve_connection(
    app: ASGIApp,
    config: Config,
    context: WorkerContext,
    streams: set[trio.SocketStream],
    stream: trio.SocketStream,
) -> None:
    streams.add(stream)
    try:
        server = TCPServer(_ConnectionApp(app, stream), config, context, ConnectionState({}), stream)  # type: ignore[arg-type]
        await server.run()
    except Exception as error:  # noqa: BLE001 - the edge of a connection; logged, on one line
        log.error("connection failed: %s", one_line(error))
    finally:
        streams.discard(stream)


class _ConnectionApp:
    """The application as one connection sees it, called the way Hypercorn calls."""

    def __init__(self, app: ASGIApp, stream: trio.SocketStream) -> None:
        self._app = app
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send, *_hypercorn: Any) -> None:
        scope.setdefault("extensions", {})[ABORT_EXTENSION] = self._abort
        await self._app(scope, receive, send)

    async def _abort(self) -> None:
        await trio.aclose_forcefully(self._stream)


def _config() -> Config:
    config = Config()
    config.include_server_header = False
    config.keep_alive_timeout = _KEEP_ALIVE_S
    config.read_timeout = _READ_TIMEOUT_S
    config.errorlog = logging.getLogger("murmur.hypercorn")
    return config
