"""The store in this process: least recently used values go when it is full."""

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from orchestrator.cache.namespace import matches
from orchestrator.cache.store import StoreFigures

ENTRY_BYTES = 300
"""What Python takes for an entry besides the characters of its key and value."""


@dataclass(frozen=True, slots=True)
class _Entry:
    data: bytes
    expires_at: float
    """By trio's clock."""


class MemoryStore:
    """Never holds more than `max_entries`, nor more than `max_bytes`."""

    name = "in this process"

    def __init__(self, *, max_bytes: int, max_entries: int) -> None:
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        """The one that was used longest ago first."""
        self._size_bytes = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        await trio.lowlevel.checkpoint()
        yield

    async def get(self, key: str) -> bytes | None:
        await trio.lowlevel.checkpoint()
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires_at <= trio.current_time():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry.data

    async def put(self, key: str, data: bytes, ttl_s: float) -> None:
        await trio.lowlevel.checkpoint()
        if key in self._entries:
            self._drop(key)
        if _size(key, data) > self._max_bytes:
            return
        self._entries[key] = _Entry(data, trio.current_time() + ttl_s)
        self._size_bytes += _size(key, data)
        while self._size_bytes > self._max_bytes or len(self._entries) > self._max_entries:
            self._drop(next(iter(self._entries)))

    async def forget(self, pattern: str) -> None:
        await trio.lowlevel.checkpoint()
        for key in [key for key in self._entries if matches(key, pattern)]:
            self._drop(key)

    async def measure(self) -> StoreFigures:
        await trio.lowlevel.checkpoint()
        return StoreFigures(len(self._entries), self._size_bytes)

    def sweep(self) -> int:
        now = trio.current_time()
        expired = [key for key, entry in self._entries.items() if entry.expires_at <= now]
        for key in expired:
            self._drop(key)
        return len(expired)

    def shed(self) -> int:
        count = len(self._entries)
        self._entries.clear()
        self._size_bytes = 0
        return count

    def _drop(self, key: str) -> None:
        self._size_bytes -= _size(key, self._entries.pop(key).data)


def _size(key: str, data: bytes) -> int:
    return len(key) + len(data) + ENTRY_BYTES
