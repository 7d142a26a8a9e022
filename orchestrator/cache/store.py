"""What a store of values can do; there are two, in this process and in Redis."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """How full a store is."""

    entries: int = 0
    size_bytes: int = 0
    connections: int = 0


class Store(Protocol):
    """Bytes by key. Each method raises CacheError when it can't do its work."""

    name: str
    """For people."""

    def open(self) -> AbstractAsyncContextManager[None]:
        """The store works inside the block."""

    async def get(self, key: str) -> bytes | None: ...

    async def put(self, key: str, data: bytes, ttl_s: float) -> None:
        """Keep it for `ttl_s` real seconds. Raises CacheFullError when there is no room."""

    async def forget(self, pattern: str) -> None:
        """Drop all keys that match; a pattern without `*` is a key."""

    async def measure(self) -> StoreFigures: ...

    def sweep(self) -> int:
        """Drop what has expired and is still held in this process; how many."""

    def shed(self) -> int:
        """Drop all that is held in this process, whose memory is short; how many."""
