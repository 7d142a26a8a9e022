"""What the cache costs, in this process and in a Redis server, and how many reads of a day it answers."""

import math
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, cast

import trio
import trio.testing

from bench.figure import Aim, Figure, Report, ratio, spread
from orchestrator.breakers import Breakers
from orchestrator.cache.cache import Cache
from orchestrator.cache.parts import cache_parties, make_cache
from orchestrator.clock import Clock
from orchestrator.db import learned, models
from orchestrator.db.learned import ArmRow
from orchestrator.db.pool import Database
from orchestrator.learning import cached
from orchestrator.metrics import Metrics
from orchestrator.settings import Settings

HIT_RATE_AIM = Aim(0.8, unit="", is_floor=True)
SERIES = 10
"""Each round is the best of so many series."""
POLL_S = 0.05
READS = 200
WAITERS = 100
ARMS: list[ArmRow] = [("hour", f"{hour:02}", 1.5 + hour, 2.5) for hour in range(35)]
"""As many as a site has of topics, formats and hours."""
SITE, DAY_MIN = "murmur", 1440


def measure(directory: Path, rounds: int) -> Report:
    """Without a redis-server on this machine, the day alone."""
    day = trio.run(live_a_day, clock=trio.testing.MockClock(autojump_threshold=0))
    if shutil.which("redis-server") is None:
        return Report([day], ["cache: no redis-server is here, so what a read costs was not taken"])
    with _redis(directory) as url:
        costs = trio.run(_compare, url, rounds)
    series = f"{rounds} rounds, each the best of {SERIES} series; a value has {len(ARMS)} arms of the bandit"
    return Report([*costs, day], [f"cache: {series}; Redis on a Unix socket"])


async def _compare(url: str, rounds: int) -> list[Figure]:
    works = {
        "a hit": _hits,
        "a miss, computed and kept": _misses,
        f"{WAITERS} who miss the same at once, of whom one computes": _crowd,
    }
    figures = []
    async with _open_cache() as here, _open_cache(url) as there:
        for what, series in works.items():
            ours: list[float] = []
            beside: list[float] = []
            for _ in range(rounds):
                ours.append(await _best_of(partial(series, here)))
                beside.append(await _best_of(partial(series, there)))
            figures.append(
                Figure(
                    f"cache: {what}, in Redis next to this process",
                    ratio(beside, ours),
                    f"Redis {spread(beside, 1e6, 0)} µs",
                    f"this process {spread(ours, 1e6, 0)} µs",
                )
            )
    return figures


# ── what a read costs ───────────────────────────────────────────────────────────────────────────


async def _best_of(series: Callable[[], Awaitable[int]]) -> float:
    """Seconds for one of as many things as a series says that it did."""
    best_s = math.inf
    for _ in range(SERIES):
        started_at = time.perf_counter()
        count = await series()
        best_s = min(best_s, (time.perf_counter() - started_at) / count)
    return best_s


async def _hits(cache: Cache) -> int:
    await cache.get_or_set(cached.ARMS, SITE, _arms)
    for _ in range(READS):
        await cache.get_or_set(cached.ARMS, SITE, _not_asked)
    return READS


async def _misses(cache: Cache) -> int:
    for number in range(READS):
        await cache.get_or_set(cached.ARMS, f"{time.perf_counter_ns()}/{number}", _arms)
    return READS


async def _crowd(cache: Cache) -> int:
    name, computed = f"{time.perf_counter_ns()}", 0

    async def compute() -> list[ArmRow]:
        nonlocal computed
        computed += 1
        return await _arms()

    async with trio.open_nursery() as nursery:
        for _ in range(WAITERS):
            nursery.start_soon(partial(cache.get_or_set, cached.ARMS, name, compute))
    if computed != 1:
        raise RuntimeError(f"{computed} of {WAITERS} computed the same value")
    return 1


async def _arms() -> list[ArmRow]:
    await trio.lowlevel.checkpoint()
    return ARMS


async def _not_asked() -> list[ArmRow]:
    raise RuntimeError("a value that was kept a moment ago is not there")


@asynccontextmanager
async def _open_cache(url: str | None = None) -> AsyncIterator[Cache]:
    """As the daemon has it: in this process, or in the server at `url` past a breaker."""
    settings = Settings.load(overrides={"cache": {"url": url}}, environ={})
    metrics = Metrics()
    breakers = Breakers(rng=Random(1), metrics=metrics, on_change=lambda _change, _may_come: None)
    cache = make_cache(settings, breakers, Clock(), metrics)
    for party in cache_parties(settings, cache):
        breakers.add(party)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(breakers.run)
        await nursery.start(cache.run)
        yield cache
        nursery.cancel_scope.cancel()


@contextmanager
def _redis(directory: Path) -> Iterator[str]:
    """A server that keeps nothing on the disk; its address."""
    socket = directory / "redis.sock"
    options = ("--port", "0", "--save", "", "--appendonly", "no", "--unixsocket", str(socket))
    command = ["redis-server", *options, "--dir", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            while not socket.exists():
                if server.poll() is not None:
                    raise RuntimeError(f"redis-server ended at once, with {server.returncode}")
                time.sleep(POLL_S)
            yield f"unix://{socket}?db=1"
        finally:
            server.terminate()


# ── a day ───────────────────────────────────────────────────────────────────────────────────────


class _Answers:
    """A database in which nothing was ever learned."""

    async def run(self, work: Callable[..., Any], /, *_args: object) -> Any:
        await trio.lowlevel.checkpoint()
        if work is learned.count_outcomes:
            return 0
        return {} if work is models.in_use else []


async def live_a_day() -> Figure:
    """Jobs that read and change, and people who look now and then. Needs a clock that jumps."""
    async with _open_cache() as cache:
        database, rng, today = cast("Database", _Answers()), Random(1), date(2026, 6, 1)
        for minute in range(DAY_MIN):
            await trio.sleep(60)
            await _change_data(cache, minute)
            if minute % 120 == 0:
                await _plan(cache, database)
            if rng.random() < 0.2:  # somebody has `ctl status` or `ctl insights` on the screen
                for _ in range(10):
                    await cached.count_outcomes(cache, database)
                    await cached.arms(cache, database, SITE)
                since = today - timedelta(days=28)
                for _ in range(2):
                    await cached.standing(cache, database, [SITE], None, 100)
                    await cached.sums(cache, database, [SITE], since)
        tallies = {name: tally for name, tally in cache.tallies.items() if tally.hits + tally.misses}
    hits = sum(tally.hits for tally in tallies.values())
    reads = hits + sum(tally.misses for tally in tallies.values())
    each = ", ".join(f"{name} {tally.hit_rate:.2f}" for name, tally in sorted(tallies.items()))
    what = "cache: hit rate in a simulated day"
    return Figure(what, hits / reads, f"{reads:,} reads: {each}", "", HIT_RATE_AIM, unit="")


async def _change_data(cache: Cache, minute: int) -> None:
    """What jobs forget, as often as they have something new."""
    if minute % 60 == 0:  # learn
        await cached.forget_learned(cache, SITE)
    if minute % 30 == 0:  # analytics, and expert_analysis after it
        await cached.forget_sums(cache)
        await cached.forget_findings(cache)
    if minute % 720 == 0:  # learn has trained, model_review has judged
        await cached.forget_models(cache, SITE)


async def _plan(cache: Cache, database: Database) -> None:
    await cached.models_in_use(cache, database, SITE)
    await cached.arms(cache, database, SITE)
