"""Caches for tests: in this process, or in a real Redis server."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

import trio

from orchestrator.breaker import Transition
from orchestrator.breakers import Breakers
from orchestrator.cache.cache import Cache
from orchestrator.cache.parts import cache_parties, make_cache
from orchestrator.clock import Clock
from orchestrator.metrics import Metrics
from orchestrator.settings import Settings

PATIENCE_S = 20.0


@dataclass(slots=True)
class CacheHouse:
    """A cache that runs, and what tests look at."""

    cache: Cache
    breakers: Breakers
    metrics: Metrics
    moved: list[str] = field(default_factory=list)
    """The states that the server's breaker came to."""

    def count(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"orchestrator_cache_{name}", labels)

    async def until(self, state: str) -> None:
        """Wait until the server's breaker is there."""
        with trio.fail_after(PATIENCE_S):
            while self.breakers.of("cache").view().state != state:
                await trio.sleep(0.02)


@asynccontextmanager
async def open_cache(url: str | None = None, speed: float = 1.0, **more: object) -> AsyncIterator[CacheHouse]:
    """In this process, or in the server at `url`, whose breaker opens at the second failure."""
    figures = {"failures": 2, "open_s": 0.2, "open_max_s": 0.4}
    own = {"parties": {"cache": figures}} if url else {}
    given = {"cache": {"url": url, "timeout_s": 0.3, **more}, "breakers": own}
    settings = Settings.load(overrides=given, environ={})
    moved: list[str] = []

    def on_change(change: Transition, _may_come: Collection[str]) -> None:
        moved.append(str(change.new))

    metrics = Metrics()
    breakers = Breakers(rng=Random(1), metrics=metrics, on_change=on_change)
    cache = make_cache(settings, breakers, Clock(speed), metrics)
    for party in cache_parties(settings, cache):
        breakers.add(party)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(breakers.run)
        await nursery.start(cache.run)
        yield CacheHouse(cache, breakers, metrics, moved)
        nursery.cancel_scope.cancel()


class Source:
    """What values are computed from; counts how often it is asked."""

    def __init__(self, value: object = 1) -> None:
        self.value = value
        self.asked = 0
        self.gate = trio.Event()
        self.gate.set()
        self.begun = trio.Event()

    async def read(self) -> object:
        self.asked += 1
        value = self.value  # as it was when we began
        self.begun.set()
        await self.gate.wait()
        await trio.lowlevel.checkpoint()
        if isinstance(value, Exception):
            raise value
        return value
