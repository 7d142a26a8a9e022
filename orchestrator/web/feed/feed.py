"""Keeps listeners up to date: a snapshot first, then patches, each compressed once for all of them.

A listener that has lost its connection says what it had last, and gets the patches since then if they are
still kept, else a snapshot. Every message has a number `n` and the moment `at` which it was made, in seconds
since 1970; a snapshot has `document`, and `life`, which with `n` says what a listener has; a change has
`patch`.
"""

import itertools
import json
import math
import secrets
import time
import zlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
import trio

from orchestrator.metrics import Metrics
from orchestrator.web.feed.patch import Document, diff

TICK_S = 1.0
"""Between two looks while anybody listens."""
KEPT = 120
"""Patches that are kept for listeners who come back."""
BEAT_S = 15.0
"""A message at least so often, so that both sides know of a connection that is gone."""
WAITING = 32
"""Messages that may wait for a listener; one that is behind by more is slow, and dropped."""
MAX_LISTENERS = 1_000
MAX_OF_USER = 3
COMPRESSION = 6

log = structlog.get_logger("web.feed")


@dataclass(eq=False, slots=True)
class Listener:
    """One connection; `messages` ends when it is to be closed, and `why` says the reason then."""

    user: str
    send: trio.MemorySendChannel[bytes] = field(init=False)
    messages: trio.MemoryReceiveChannel[bytes] = field(init=False)
    why: str = ""

    def __post_init__(self) -> None:
        self.send, self.messages = trio.open_memory_channel[bytes](WAITING)

    def close(self, why: str) -> None:
        self.why = why
        self.send.close()


class Feed:
    """What is shown, and to whom. `look` gives the document of now."""

    def __init__(self, look: Callable[[], Awaitable[Document]], metrics: Metrics) -> None:
        self._look = look
        self._metrics = metrics
        self._listeners: list[Listener] = []
        self._has_listeners = trio.Event()
        self._life = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._number = 0
        self._document: Document | None = None
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=KEPT)
        self._sent_at = -math.inf
        self._looking = trio.Lock()
        self._snapshot = (0, b"")

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    async def run(self) -> None:
        """Look for ever, while anybody listens. A fault in what is shown is logged, and no more than that."""
        while True:
            await self._has_listeners.wait()
            try:
                await self.tick()
            except Exception:
                log.exception("feed_failed")
            await trio.sleep(TICK_S)

    async def tick(self) -> None:
        """Look once, and tell everybody what has changed."""
        async with self._looking:  # or an older look could be told after a newer one
            self._tell(await self._look())

    def _tell(self, document: Document) -> None:
        if self._document is None:
            self._document, self._number = document, next(self._numbers)
            return
        patch = diff(self._document, document)
        if patch:
            self._document, self._number = document, next(self._numbers)
            message = _packed({"n": self._number, "at": time.time(), "patch": patch})
            self._kept.append((self._number, message))
            self._tell_all(message)
        elif trio.current_time() - self._sent_at >= BEAT_S:
            self._tell_all(_packed({"n": self._number, "at": time.time()}))

    async def join(self, user: str, had: str) -> Listener:
        """A new listener, with all it needs to be up to date; `had` is what it had last, or empty.

        The oldest connection of a user who has too many is closed, and when there are too many in all, the
        new one.
        """
        if not self._listeners:
            async with self._looking:
                if not self._listeners:  # nobody has kept it up to date
                    self._tell(await self._look())
        listener = Listener(user)
        if len(self._listeners) >= MAX_LISTENERS:
            listener.close("too many listeners")
            return listener
        others = [other for other in self._listeners if user and other.user == user]
        for other in others[: max(0, len(others) - MAX_OF_USER + 1)]:
            self._drop(other, "the same user has newer connections")
        for message in self._missing(had):
            listener.send.send_nowait(message)
            self._metrics.feed_bytes.inc(len(message))
        self._listeners.append(listener)
        self._has_listeners.set()
        self._count()
        return listener

    def leave(self, listener: Listener) -> None:
        """The connection is gone."""
        if listener in self._listeners:
            self._drop(listener, "it left")

    def _missing(self, had: str) -> list[bytes]:
        """Up to WAITING patches since `had`, or a snapshot."""
        life, _, number = had.partition(".")
        if life == self._life and number.isdecimal() and int(number) <= self._number:
            later = [message for n, message in self._kept if n > int(number)]
            if len(later) == self._number - int(number) < WAITING:
                return later or [_packed({"n": self._number, "at": time.time()})]
        if self._snapshot[0] != self._number:  # made once, however many come at once
            document = {"life": self._life, "n": self._number, "at": time.time(), "document": self._document}
            self._snapshot = (self._number, _packed(document))
        return [self._snapshot[1]]

    def _tell_all(self, message: bytes) -> None:
        self._sent_at = trio.current_time()
        for listener in [*self._listeners]:
            try:
                listener.send.send_nowait(message)
            except trio.WouldBlock:
                log.warning("listener_too_slow", behind=WAITING)
                self._drop(listener, "too slow")
        self._metrics.feed_bytes.inc(len(message) * len(self._listeners))

    def _drop(self, listener: Listener, why: str) -> None:
        self._listeners.remove(listener)
        listener.close(why)
        if not self._listeners:
            self._has_listeners = trio.Event()
        self._count()

    def _count(self) -> None:
        self._metrics.feed_clients.set(len(self._listeners))


def _packed(message: Document) -> bytes:
    """JSON, compressed as raw deflate, which browsers and zlib undo by themselves."""
    packer = zlib.compressobj(COMPRESSION, wbits=-zlib.MAX_WBITS)
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
    return packer.compress(text) + packer.flush()


def unpacked(message: bytes, limit: int = 16 * 2**20) -> Document:
    """What a message says. Raises ValueError when it is none, or has more than `limit` bytes inside."""
    opener = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        text = opener.decompress(message, limit)
    except zlib.error as error:
        raise ValueError(f"no message of the feed: {error}") from error
    if not opener.eof:
        raise ValueError("no message of the feed: it is cut off or too long")
    document: Document = json.loads(text)
    return document
