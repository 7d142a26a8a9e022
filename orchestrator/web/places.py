"""Places for connections: when all are taken, whoever has kept us waiting longest has to go.

So clients that open connections and say nothing, or a byte now and then, keep nobody out, however many they
are. A connection whose request we are at work on is never sent away.
"""

import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import structlog
import trio
from starlette.types import ASGIApp, Receive, Scope, Send

log = structlog.get_logger("web")

TELL_EVERY_S = 10.0
"""Full places are logged so often at most: a client decides how often it comes."""

P = ParamSpec("P")
T = TypeVar("T")


class Place:
    """One connection's. Cancelling `scope` ends it; it may be exchanged for one within it."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.waits_since = trio.current_time()
        self._requests = 0

    @property
    def is_at_work(self) -> bool:
        """Whether a request waits for us, and not for its client."""
        return self._requests > 0

    def watch(self, app: ASGIApp) -> ASGIApp:
        """The application, with an eye on whose turn it is in each of its requests."""

        async def run(scope: Scope, receive: Receive, send: Send) -> None:
            self._requests += 1
            try:
                await app(scope, self._their_turn(receive), self._their_turn(send))
            finally:
                self._requests -= 1
                self.waits_since = trio.current_time()

        return run

    def _their_turn(self, call: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        async def wait(*args: P.args, **kwargs: P.kwargs) -> T:
            self._requests -= 1
            self.waits_since = trio.current_time()
            try:
                return await call(*args, **kwargs)
            finally:
                self._requests += 1

        return wait


class Places:
    """So many at once; `on_count` is told how many are taken."""

    def __init__(self, name: str, limit: int, on_count: Callable[[int], None] = lambda count: None) -> None:
        self._name = name
        self._limit = limit
        self._on_count = on_count
        self._taken: list[Place] = []
        self._told_at = -math.inf

    @contextmanager
    def take(self) -> Iterator[Place | None]:
        """A place until the end of the block; None: all are taken, and at work."""
        if len(self._taken) >= self._limit:
            self._tell()
            if not self._make_room():
                yield None
                return
        place = Place()
        self._taken.append(place)
        self._on_count(len(self._taken))
        try:
            with place.scope:
                yield place
        finally:
            if place in self._taken:
                self._give_back(place)

    def __iter__(self) -> Iterator[Place]:
        return iter([*self._taken])

    def _make_room(self) -> bool:
        waiting = [place for place in self._taken if not place.is_at_work]
        if not waiting:
            return False
        longest = min(waiting, key=lambda place: place.waits_since)
        longest.scope.cancel()
        self._give_back(longest)
        return True

    def _give_back(self, place: Place) -> None:
        self._taken.remove(place)
        self._on_count(len(self._taken))

    def _tell(self) -> None:
        if trio.current_time() - self._told_at >= TELL_EVERY_S:
            self._told_at = trio.current_time()
            log.warning("connections_full", of=self._name, limit=self._limit)
