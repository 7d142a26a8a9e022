"""The cache as everybody uses it: look up, or compute once for all who ask; forget when data changes."""

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import structlog
import trio

from orchestrator.cache.flights import Flight, Flights
from orchestrator.cache.namespace import Level, Namespace, of_account
from orchestrator.cache.store import Store, StoreFigures
from orchestrator.clock import Clock
from orchestrator.errors import BreakerOpenError, CacheError, CacheFullError, CacheUnavailableError
from orchestrator.metrics import Metrics

T = TypeVar("T")

MAX_NAMESPACES = 64
"""Their names are labels of metrics, so there can't be one for each account."""
MAX_OWED = 1000
"""Patterns to forget that wait for the store; more of them become one that forgets everything."""
EVERYTHING = "*"
LOOK_EVERY_S = 15.0
"""Between two looks at the store, so that one that nobody uses is known to be away too."""
LOOK_AGAIN_S = 1.0
"""The same after a look that failed."""

log = structlog.get_logger("cache")


@dataclass(slots=True)
class Tally:
    """How a namespace was used."""

    hits: int = 0
    """Reads that cost no computation: found, or found by somebody else who was looking."""
    misses: int = 0
    """Reads that were computed."""

    @property
    def hit_rate(self) -> float | None:
        """None before the first read."""
        reads = self.hits + self.misses
        return self.hits / reads if reads else None


@dataclass(frozen=True, slots=True)
class _Found:
    value: Any
    data: bytes


class Cache:
    """Values by namespace, account and name.

    `permit` is entered around each use of the store; it raises BreakerOpenError while the store is not to be
    asked. Whatever is wrong with the store, `get_or_set` computes instead.

    What can't be forgotten now is owed: it is forgotten before the store is read again.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        metrics: Metrics,
        max_value_bytes: int,
        permit: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._max_value_bytes = max_value_bytes
        self._permit = permit
        self._flights: Flights[_Found] = Flights()
        self._namespaces: dict[str, Namespace[Any]] = {}
        self._owed: dict[str, object] = {}
        """Patterns, and a token each: one that comes again while it is being forgotten stays."""
        self._putting: Counter[str] = Counter()
        """By key, how many are being put into the store at this moment."""
        self._is_full = False
        self.tallies: dict[str, Tally] = {}
        self.figures = StoreFigures()
        """As last measured."""

    @property
    def place(self) -> str:
        """Where values are, for people."""
        return self._store.name

    def level_s(self, name: str) -> int:
        """For how long values of a namespace count, in seconds of the daemon's clock."""
        return int(self._namespaces[name].level)

    def declare(self, *namespaces: Namespace[Any]) -> None:
        """Count them from now on; done by itself at the first use.

        Raises ValueError for another namespace of the same name, and for too many.
        """
        for namespace in namespaces:
            known = self._namespaces.setdefault(namespace.name, namespace)
            if known is not namespace:
                raise ValueError(f"there is another cache {namespace.name!r}: make a namespace once")
            if namespace.name not in self.tallies:
                if len(self.tallies) == MAX_NAMESPACES:
                    raise ValueError(f"{namespace!r} is one namespace too many; {MAX_NAMESPACES} are allowed")
                self.tallies[namespace.name] = Tally()
                self._metrics.declare_cache(namespace.name)

    # ── for whoever needs a value ───────────────────────────────────────────────────────────────

    async def get_or_set(
        self, namespace: Namespace[T], name: str, compute: Callable[[], Awaitable[T]], *, account: str = ""
    ) -> T:
        """The value, which `compute` finds if nobody has done so lately.

        Of all who ask at once one computes, and when that one is cancelled another does. Each gets a copy of
        his own. Raises what `compute` raises, which is not kept; CacheValueError for a value that is none of
        the namespace's; ValueError for a name that is empty or too long.
        """
        self.declare(namespace)
        key = namespace.key(name, account)
        found, has_led = await self._flights.share(key, partial(self._find, namespace, key, compute))
        if has_led:
            value: T = found.value
            return value
        self._count_hit(namespace)
        return namespace.decode(found.data)

    async def forget(self, namespace: Namespace[Any], name: str, *, account: str = "") -> None:
        """One value; its data has changed."""
        await self._forget(namespace.key(name, account))

    async def forget_matching(self, namespace: Namespace[Any], names: str) -> None:
        """The values of a namespace whose names match, of all accounts; `*` stands for any characters."""
        await self._forget(namespace.pattern(names))

    async def forget_account(self, account: str) -> None:
        """The values of all namespaces that belong to an account."""
        await self._forget(of_account(account))

    # ── finding ─────────────────────────────────────────────────────────────────────────────────

    async def _find(
        self,
        namespace: Namespace[T],
        key: str,
        compute: Callable[[], Awaitable[T]],
        flight: Flight[_Found],
    ) -> _Found:
        found = await self._read(namespace, key)
        if found is not None:
            self._count_hit(namespace)
            return found
        self.tallies[namespace.name].misses += 1
        self._metrics.cache_misses.labels(namespace=namespace.name).inc()
        data, value = namespace.pack(await compute())
        await self._keep(namespace, key, data, flight)
        return _Found(value, data)

    async def _read(self, namespace: Namespace[T], key: str) -> _Found | None:
        data = await self._ask("read", partial(self._look_up, key))
        if data is None:
            return None
        try:
            return _Found(namespace.decode(data), data)
        except ValueError as error:
            log.warning("cache_value_dropped", key=key, error=str(error).partition("\n")[0])
            self._metrics.cache_dropped.labels(reason="unreadable").inc()
        await self._forget_in_store(key)
        return None

    async def _look_up(self, key: str) -> bytes | None:
        await self._settle()
        if self._putting[key]:
            return None  # what is being put there was begun before the data changed
        return await self._store.get(key)

    async def _keep(self, namespace: Namespace[T], key: str, data: bytes, flight: Flight[_Found]) -> None:
        if len(data) > self._max_value_bytes:
            log.info("cache_value_too_large", key=key, size_bytes=len(data))
            self._metrics.cache_dropped.labels(reason="too_large").inc()
        elif not flight.is_outdated:
            await self._ask("write", partial(self._put, namespace, key, data, flight))

    async def _put(self, namespace: Namespace[T], key: str, data: bytes, flight: Flight[_Found]) -> None:
        is_owed = True
        self._putting[key] += 1
        try:
            await self._store.put(key, data, self._clock.real_seconds(namespace.level))
            # Whoever changed the data meanwhile has forgotten what was there before us.
            is_owed = flight.is_outdated
            self._is_full = False
        except CacheFullError as error:
            is_owed = False
            self._metrics.cache_dropped.labels(reason="full").inc()
            if not self._is_full:
                log.warning("cache_full", error=str(error))
            self._is_full = True
        finally:
            if is_owed:  # also by a store that did not answer: it may keep the value yet
                self._owed[key] = object()
            self._putting[key] -= 1
            if not self._putting[key]:
                del self._putting[key]

    # ── forgetting ──────────────────────────────────────────────────────────────────────────────

    async def _forget(self, pattern: str) -> None:
        self._flights.outdate(pattern)
        await self._forget_in_store(pattern)

    async def _forget_in_store(self, pattern: str) -> None:
        if len(self._owed) >= MAX_OWED:
            self._owed = {EVERYTHING: object()}
        self._owed[pattern] = object()
        await self._ask("forget", self._settle)

    async def _settle(self) -> None:
        """Forget what is owed. Raises CacheError."""
        for pattern, token in list(self._owed.items()):
            await self._store.forget(pattern)
            if self._owed.get(pattern) is token:
                del self._owed[pattern]

    # ── the store ───────────────────────────────────────────────────────────────────────────────

    async def _ask(self, what: str, use: Callable[[], Awaitable[T | None]]) -> T | None:
        """Use the store, without which everybody goes on: None then."""
        try:
            with self._permit():
                return await use()
        except BreakerOpenError:
            return None  # it is known to be away
        except CacheError as error:
            log.info("cache_does_without", what=what, error=str(error))
            return None

    async def probe(self) -> None:
        """Whether the store is well, and forget what is owed. Raises CacheError."""
        self.figures = await self._store.measure()
        await self._settle()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the store open for ever, look at it, and sweep it."""
        async with self._store.open(), trio.open_nursery() as nursery:
            task_status.started()
            nursery.start_soon(self._keep_looking)
            while True:
                await trio.sleep(self._clock.real_seconds(Level.QUARTER_HOUR))
                if count := self._store.sweep():
                    log.debug("cache_swept", entries=count)

    async def _keep_looking(self) -> None:
        while True:
            pause_s = LOOK_EVERY_S
            try:
                with self._permit():
                    await self.probe()
            except BreakerOpenError as error:
                pause_s = min(LOOK_EVERY_S, error.retry_in_s or LOOK_AGAIN_S)
            except CacheUnavailableError:
                pause_s = LOOK_AGAIN_S
            await trio.sleep(pause_s)

    def shed(self) -> int:
        """Give up what is held in this process, since memory is short; how many values."""
        return self._store.shed()

    def _count_hit(self, namespace: Namespace[Any]) -> None:
        self.tallies[namespace.name].hits += 1
        self._metrics.cache_hits.labels(namespace=namespace.name).inc()
