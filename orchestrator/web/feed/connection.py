"""A listener's WebSocket: who may open one, and what goes over it.

The listener says first, as JSON: its `token`, and, each if it likes, `user` (a name that it keeps: so many
connections of one user are open at once) and `had` (what it had last, as `LIFE.NUMBER`). Then it only
listens.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
import trio
from starlette.datastructures import Headers
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, wrap_server_stream
from wsproto.utilities import ProtocolError

from orchestrator.web.feed.feed import Feed, Listener
from orchestrator.web.guard import Token, is_origin_allowed
from orchestrator.web.places import Place, Places

PATH = "/feed"
MAX_MESSAGE = 4096
"""Bytes of what a listener says."""
HELLO_S = 5.0
"""From the connection to the listener's first words."""
SEND_S = 10.0
"""A listener that does not take a message for so long is dropped."""
POLICY, TOO_SLOW = 1008, 1013
USER_CHARS = 64
MAX_GREETING = 50
"""Connections that have not shown the token yet; for one more, the one that waits longest goes."""

log = structlog.get_logger("web.feed")


class Gate:
    """Lets in whoever shows the token; `is_host` says whether a request's Host is one of ours."""

    def __init__(self, feed: Feed, token: Token, is_host: Callable[[Headers], bool]) -> None:
        self._feed = feed
        self._token = token
        self._is_host = is_host
        self._greeting = Places("feed", MAX_GREETING)

    async def serve(self, stream: trio.abc.Stream) -> None:
        """One connection, from its request to its end."""
        async with trio.open_nursery() as nursery:
            connection, hello = None, None
            with self._greeting.take() as place:
                assert place is not None  # nobody is at work there
                place.scope.deadline = trio.current_time() + HELLO_S
                connection = await self._open(_Reader(nursery, place), stream)
                hello = await self._hello(connection) if connection is not None else None
            if connection is not None and hello is not None:
                await self._keep_up_to_date(connection, hello, nursery)
            nursery.cancel_scope.cancel()

    async def _open(self, reader: "_Reader", stream: trio.abc.Stream) -> WebSocketConnection | None:
        """The handshake; None when the request is refused, or its client gone."""
        nursery: Any = reader
        request = await wrap_server_stream(nursery, stream, max_message_size=MAX_MESSAGE)
        try:
            return await self._answer(request)
        except ConnectionClosed:
            return None

    async def _answer(self, request: WebSocketRequest) -> WebSocketConnection | None:
        headers = Headers(raw=[(name.lower(), value) for name, value in (_host(request), *request.headers)])
        if request.path != PATH:
            await request.reject(404)
        elif not self._is_host(headers):
            await request.reject(400)
        elif not is_origin_allowed(headers):
            log.warning("origin_refused", origin=headers.get("origin"))
            await request.reject(403)
        else:
            return await request.accept()
        return None

    async def _hello(self, connection: WebSocketConnection) -> dict[str, str] | None:
        """What the listener says first; None when it has not the token or says something else."""
        try:
            hello = _read(await connection.get_message())
        except (ConnectionClosed, ValueError):
            hello = {}
        if self._token.is_right(hello.get("token", "")):
            return hello
        log.warning("feed_refused", reason="no token, or a wrong one")
        await connection.aclose(POLICY, "the first message must be JSON with the token")
        return None

    async def _keep_up_to_date(
        self, connection: WebSocketConnection, hello: dict[str, str], nursery: trio.Nursery
    ) -> None:
        listener = await self._feed.join(hello.get("user", "")[:USER_CHARS], hello.get("had", ""))
        nursery.start_soon(self._until_closed, connection, listener)
        try:
            async for message in listener.messages:
                with trio.fail_after(SEND_S):
                    await connection.send_message(message)
            with trio.move_on_after(SEND_S):
                await connection.aclose(TOO_SLOW, listener.why)
        except (ConnectionClosed, trio.TooSlowError):
            pass  # it is gone, or as good as
        finally:
            self._feed.leave(listener)

    async def _until_closed(self, connection: WebSocketConnection, listener: Listener) -> None:
        """Take what the listener says, and make nothing of it, until the connection ends."""
        try:
            while True:
                await connection.get_message()
        except ConnectionClosed:
            self._feed.leave(listener)


class _Reader:
    """What reads a connection in the background, where the library wants a nursery.

    The library lets out some errors that a client's bytes bring about. They end that connection, and
    so does the end of what can be read while it has not come in yet.
    """

    def __init__(self, nursery: trio.Nursery, place: Place) -> None:
        self._nursery = nursery
        self._place = place

    def start_soon(self, read: Callable[[], Awaitable[None]]) -> None:
        self._nursery.start_soon(self._run, read)

    async def _run(self, read: Callable[[], Awaitable[None]]) -> None:
        try:
            await read()
        except (ConnectionClosed, ProtocolError, UnicodeError) as error:
            log.debug("feed_client_broke_off", error=repr(error))
        finally:
            self._place.scope.cancel()


def _host(request: WebSocketRequest) -> tuple[bytes, bytes]:
    """The Host header, which the library keeps to itself."""
    return b"host", request._event.host.encode()


def _read(message: str | bytes) -> dict[str, str]:
    """Raises ValueError."""
    try:
        hello: Any = json.loads(message)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(hello, dict) or not all(isinstance(value, str) for value in hello.values()):
        raise ValueError("not an object of texts")
    return hello
