"""One computation for all who miss the same key at once."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Generic, TypeVar

import trio

from orchestrator.cache.namespace import matches

V = TypeVar("V")

_under_way: ContextVar[frozenset[str]] = ContextVar("orchestrator_cache_under_way", default=frozenset())
"""The keys that the present task computes: waiting for one of them would never end."""


class Flight(Generic[V]):
    """A computation under way. Its leader computes; the others wait for what it finds."""

    def __init__(self) -> None:
        self.is_outdated = False
        """Whether the data has changed since it began: what it finds must not be kept."""
        self.over = trio.Event()
        self.error: Exception | None = None
        self.values: list[V] = []
        """The value, when there is one. Neither it nor an error: the leader was cancelled."""


class Flights(Generic[V]):
    """The flights of a cache.

    A leader that is cancelled finds nothing, and one of those who wait leads a new flight. An error reaches
    everyone who waits.
    """

    def __init__(self) -> None:
        self._by_key: dict[str, Flight[V]] = {}

    async def share(self, key: str, compute: Callable[[Flight[V]], Awaitable[V]]) -> tuple[V, bool]:
        """The value of the flight to `key`, and whether we have led it.

        Raises what `compute` raises; RuntimeError when it wants the key that it computes.
        """
        if key in _under_way.get():
            raise RuntimeError(f"the computation of {key} asks the cache for {key}")
        while True:
            flight = self._by_key.get(key)
            if flight is None:
                return await self._lead(key, compute), True
            await flight.over.wait()
            if flight.error is not None:
                # Each with the leader's traceback: a raise of the same error adds to it.
                raise flight.error.with_traceback(flight.error.__traceback__)
            if flight.values:
                return flight.values[0], False

    async def _lead(self, key: str, compute: Callable[[Flight[V]], Awaitable[V]]) -> V:
        flight = self._by_key[key] = Flight[V]()
        mark = _under_way.set(_under_way.get() | {key})
        try:
            value = await compute(flight)
            flight.values.append(value)
        except Exception as error:
            flight.error = error
            raise
        else:
            return value
        finally:
            _under_way.reset(mark)
            if self._by_key.get(key) is flight:
                del self._by_key[key]
            flight.over.set()

    def outdate(self, pattern: str) -> None:
        """The data behind the matching keys has changed: whoever asks from now on starts anew."""
        for key in [key for key in self._by_key if matches(key, pattern)]:
            self._by_key.pop(key).is_outdated = True
