"""Listens to a daemon's live feed from another process, and comes back after a lost connection."""

import json
import time
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import unquote, urlsplit

import trio
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection, wrap_client_stream

from orchestrator.errors import ControlError, OrchestratorError
from orchestrator.web.feed.connection import PATH, POLICY
from orchestrator.web.feed.feed import unpacked
from orchestrator.web.feed.patch import Document, apply

AGAIN_S: Sequence[float] = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Before the next try to connect; the last one for good."""
SILENT_S = 40.0
"""A connection on which nothing has come for so long is lost: the daemon says something every 15 s."""
CONNECT_S = 10.0
MAX_MESSAGE = 16 * 2**20


class _RefusedError(ControlError):
    """The daemon does not take the token; to ask again would change nothing."""


class Ear:
    """Keeps `document` as the daemon last told it; None before the first snapshot.

    Invariants: 1. `is_live` implies a document. 2. With `life` and `number` the document is known, so that
    who comes back is told what it missed.
    """

    def __init__(self, find: Callable[[], Awaitable[str]], on_message: Callable[[], None]) -> None:
        """`find` says where the live page is, with the token; it is asked before each connection.

        `on_message` is called after each message, and when the connection is lost.
        """
        self._find = find
        self._on_message = on_message
        self._tries = 0
        self.life = ""
        self.number = 0
        self.document: Document | None = None
        self.is_live = False
        self._ahead_s = 0.0

    def now(self) -> float:
        """Now by the daemon's machine, in seconds since 1970."""
        return time.time() + self._ahead_s

    async def run(self) -> None:
        """Listen for ever.

        Raises ControlError when the daemon does not take the token, and when it can't be heard at first.
        """
        while True:
            try:
                await self._listen(await self._find())
            except _RefusedError:
                raise
            except OrchestratorError:
                if self.document is None:
                    raise
            self.is_live = False
            self._on_message()
            await trio.sleep(AGAIN_S[min(self._tries, len(AGAIN_S) - 1)])
            self._tries += 1

    async def _listen(self, address: str) -> None:
        """One connection, until it is lost, which is told as a ControlError."""
        url = urlsplit(address)
        try:
            with trio.fail_after(CONNECT_S):
                stream = await trio.open_tcp_stream(url.hostname or "", url.port or 80)
        except (OSError, trio.TooSlowError) as error:
            raise _lost(url.netloc, str(error) or "no answer") from error
        why = ""
        async with stream, trio.open_nursery() as nursery:
            try:
                connection = await _connect(nursery, stream, url.netloc)
                await self._take_all(connection, unquote(url.fragment.removeprefix("token=")))
            except ConnectionClosed as closed:
                why = _reason(closed)
                is_refused = closed.reason is not None and closed.reason.code == POLICY
            except (HandshakeError, trio.TooSlowError, trio.BrokenResourceError) as error:
                why, is_refused = str(error) or "it says nothing", False
            except ValueError as error:
                why, is_refused = str(error), False
                self.life = ""  # begin with a snapshot
            nursery.cancel_scope.cancel()
        raise _RefusedError(f"the daemon lets nobody listen: {why}") if is_refused else _lost(url.netloc, why)

    async def _take_all(self, connection: WebSocketConnection, token: str) -> None:
        had = f"{self.life}.{self.number}" if self.life else ""
        await connection.send_message(json.dumps({"token": token, "had": had}))
        while True:
            with trio.fail_after(SILENT_S):
                message = await connection.get_message()
            self._take(unpacked(message if isinstance(message, bytes) else message.encode()))

    def _take(self, message: Document) -> None:
        """Raises ValueError when the message makes no sense."""
        if "document" in message:
            self.life, self.document = message["life"], message["document"]
        elif self.document is None:
            raise ValueError("the first message is no snapshot")
        elif "patch" in message:
            self.document = apply(self.document, message["patch"])
        self.number = message["n"]
        self._ahead_s = message["at"] - time.time()
        self.is_live = True
        self._tries = 0
        self._on_message()


async def _connect(nursery: trio.Nursery, stream: trio.SocketStream, netloc: str) -> WebSocketConnection:
    with trio.fail_after(CONNECT_S):
        return await wrap_client_stream(nursery, stream, netloc, PATH, max_message_size=MAX_MESSAGE)


def _reason(closed: ConnectionClosed) -> str:
    return (closed.reason.reason if closed.reason is not None else None) or "the connection was closed"


def _lost(place: str, why: str) -> ControlError:
    return ControlError(
        f"the live feed at {place} can't be heard: {why}", remedy="See: orchestrator ctl status"
    )
