"""What the simulation asks of whoever hands out contexts, and the simplest thing that does it."""

import heapq
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import trio


class Held(Protocol):
    """A context while it is held; `allocator.Lease` and `FifoLease` are."""

    @property
    def slot(self) -> int: ...

    @property
    def is_called_back(self) -> bool: ...


class Slots(Protocol):
    """Hands out contexts; `allocator.Allocator` and `FifoSlots` do."""

    def lease(self, holder: str, *, priority: int) -> AbstractAsyncContextManager[Held]: ...


@dataclass(frozen=True, slots=True)
class FifoLease:
    """A context that nobody takes away again."""

    slot: int
    is_called_back: bool = False


class FifoSlots:
    """First come, first served, for as long as the holder likes: what a bare semaphore does."""

    def __init__(self, capacity: int) -> None:
        self._turn = trio.Semaphore(capacity)  # wakes waiters in the order of their coming
        self._free = list(range(capacity))

    @asynccontextmanager
    async def lease(self, holder: str, *, priority: int) -> AsyncIterator[FifoLease]:
        async with self._turn:
            slot = heapq.heappop(self._free)
            try:
                yield FifoLease(slot)
            finally:
                heapq.heappush(self._free, slot)
