"""Serves an HTTP application on one port with Hypercorn, and keeps bad clients from doing harm.

Requests for `upgrade.path` are handed on with their connection, from its first byte: the live feed speaks
WebSocket, which is not Hypercorn's matter here.

Hypercorn's own accept loop lets an error of one connection end the whole server, and a client that
does not read holds a send, shielded, for ever. So each connection is served here by itself: bounded in
number, in time, and in what its errors reach. It comes to Hypercorn when the head of its first request is
there: until then it is a few bytes and a deadline.
"""

import errno
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
import trio
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext
from starlette.types import ASGIApp

from orchestrator.errors import AddressInUseError, SettingsError
from orchestrator.web.http1 import Connection
from orchestrator.web.places import Place, Places

log = structlog.get_logger("web")

MAX_CONNECTIONS = 512
"""Half of the files that a process may usually have; for one more, the one that waits longest goes."""
HEADER_TIMEOUT_S = 5
"""From the connection, or the last answer, to the end of the next request's headers."""
BODY_TIMEOUT_S = 10
"""Longest pause within a request's body."""
SEND_TIMEOUT_S = 10.0
"""A client that does not take its answer for so long is dropped."""
LIFE_S = 60.0
"""Of a connection, whatever its client does to keep it open."""
GRACE_S = 2.0
"""What requests that are under way get when the server ends."""
BACKLOG = MAX_CONNECTIONS
UNREAD_BYTES = 128 * 1024
"""What the kernel keeps for a client that does not read; on its own it would go up to megabytes for each."""
PEEK_BYTES = 4096
MAX_HEAD_BYTES = 16 * 1024

_END_OF_HEAD = re.compile(rb"\n\r?\n")
_FIRST_PRINTABLE = 0x21
"""No request begins with less; h11 knows what to say to one that does."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Who serves the connections whose request is for `path`; `serve` bounds them itself."""

    path: str
    serve: Callable[[trio.abc.Stream], Awaitable[None]]

    @property
    def beginning(self) -> bytes:
        """Of a request, as far as it tells that it is meant."""
        return f"GET {self.path} ".encode()


async def serve_http(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    on_count: Callable[[int], None] = lambda count: None,
    upgrade: Upgrade | None = None,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; `task_status` gets the port (the one found, when `port` is 0).

    `on_count` is told how many clients there are.

    Raises AddressInUseError when the port is taken, SettingsError when there is no such address here.
    """
    with bind(host, port) as listening:
        server = _Server(app, on_count, upgrade)
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
        async with trio.open_nursery() as clients:
            task_status.started(listening.getsockname()[1])
            try:
                await trio.serve_listeners(server.serve, [listener], handler_nursery=clients)
            finally:
                with trio.move_on_after(GRACE_S, shield=True):
                    await server.close_soon()


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; see `serve_http` for the errors."""
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise SettingsError(
            f"http.host {host!r} is no address of this machine: {error.strerror}",
            remedy="Set http.host (ORCHESTRATOR_HTTP__HOST), for instance to 127.0.0.1",
        ) from error
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD_BYTES)  # of its connections too
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise _bind_error(host, port, error) from error
    return listening


def _bind_error(host: str, port: int, error: OSError) -> AddressInUseError | SettingsError:
    if error.errno == errno.EADDRINUSE:
        return AddressInUseError(
            f"port {port} on {host} is in use",
            remedy="Choose another with http.port (ORCHESTRATOR_HTTP__PORT); for the demo: "
            f'make run ARGS="--http-port {port + 2}"',
        )
    return SettingsError(
        f"http.host {host} and http.port {port} can't be used: {error.strerror}",
        remedy="Set http.host to an address of this machine and http.port to one above 1023",
    )


class _Server:
    """The connections of one port."""

    def __init__(self, app: ASGIApp, on_count: Callable[[int], None], upgrade: Upgrade | None) -> None:
        self._places = Places("http", MAX_CONNECTIONS, on_count)
        self._upgrade = upgrade
        self._config = _config()
        self._app = app
        self._context = WorkerContext(None)

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection; an error in it ends it alone."""
        patient = _Stream(stream)
        is_upgrade = False
        try:
            with self._places.take() as place:
                if place is not None and await _has_head(patient):
                    is_upgrade = self._is_upgrade(patient)
                    if not is_upgrade:
                        await self._serve_requests(place, patient)
            if is_upgrade:
                await self._serve_upgrade(patient)
        finally:
            await trio.aclose_forcefully(stream)

    async def _serve_requests(self, place: Place, stream: "_Stream") -> None:
        with trio.move_on_after(LIFE_S, shield=True) as place.scope:  # `close_soon` shortens it
            try:
                await Connection(place.watch(self._app), self._config, self._context, stream)
            except Exception:
                log.exception("http_connection_failed")

    def _is_upgrade(self, stream: "_Stream") -> bool:
        return self._upgrade is not None and stream.read_ahead.startswith(self._upgrade.beginning)

    async def _serve_upgrade(self, stream: "_Stream") -> None:
        assert self._upgrade is not None
        try:
            await self._upgrade.serve(stream)
        except Exception:
            log.exception("upgraded_connection_failed", path=self._upgrade.path)

    async def close_soon(self) -> None:
        """End idle connections now and the others after GRACE_S at most."""
        await self._context.terminated.set()
        deadline = trio.current_time() + GRACE_S
        for place in self._places:
            place.scope.deadline = min(place.scope.deadline, deadline)


async def _has_head(stream: "_Stream") -> bool:
    """Whether a request's head came in time, or what is none; it is read again later."""
    with trio.move_on_after(HEADER_TIMEOUT_S):
        looked_at = 0
        while await stream.peek():
            head = stream.read_ahead
            if (
                len(head) > MAX_HEAD_BYTES
                or head[0] < _FIRST_PRINTABLE
                or _END_OF_HEAD.search(head, looked_at)
            ):
                return True
            looked_at = max(0, len(head) - 2)  # the end may have come by half
    return False


def _config() -> Config:
    config = Config()
    config.errorlog = None  # errors are logged here and in the application
    config.include_server_header = False
    config.keep_alive_timeout = HEADER_TIMEOUT_S
    config.read_timeout = BODY_TIMEOUT_S
    config.h11_max_incomplete_size = MAX_HEAD_BYTES
    return config


class _Stream(trio.abc.HalfCloseableStream):
    """A socket stream whose sends have a deadline, which Hypercorn's shielded ones lack, and whose beginning
    can be looked at ahead.

    An end that is told while an answer is being sent waits for it: Hypercorn does both at once when a client
    breaks the rules behind a request that was well formed.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self.socket = stream.socket
        self.read_ahead = b""
        self._sending = trio.Lock()

    async def peek(self) -> bool:
        """Read more ahead; False at the end of the stream, whoever brought it about."""
        try:
            more = await self._stream.receive_some(PEEK_BYTES)
        except trio.BrokenResourceError:
            return False
        self.read_ahead += more
        return bool(more)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self.read_ahead:
            await trio.lowlevel.checkpoint()
            some = self.read_ahead if max_bytes is None else self.read_ahead[:max_bytes]
            self.read_ahead = self.read_ahead[len(some) :]
            return some
        return await self._stream.receive_some(max_bytes)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        with trio.move_on_after(SEND_TIMEOUT_S) as scope:
            async with self._sending:
                await self._stream.send_all(data)
        if scope.cancelled_caught:
            await trio.aclose_forcefully(self._stream)  # a part may be sent: nothing can follow it
            raise trio.BrokenResourceError(f"the client took nothing for {SEND_TIMEOUT_S:g} s")

    async def send_eof(self) -> None:
        async with self._sending:
            await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()
