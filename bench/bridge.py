"""What `aio.call` costs: a pooled `SELECT 1` from trio, next to the same on the asyncio thread itself."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import asyncpg
import trio

from bench.figure import Figure, Report, ratio, spread
from orchestrator import aio

CALLS = 1000
TASKS = 10


async def measure(dsn: str, rounds: int) -> Report:
    """Needs an open bridge. One caller at a time, then ten at once; rounds alternate."""
    pool = await aio.call(_open_pool, dsn)
    one = await _compare(pool, 1, rounds)
    ten = await _compare(pool, TASKS, rounds)
    await aio.call(pool.close)
    return Report([one, ten])


async def _compare(pool: "asyncpg.Pool[asyncpg.Record]", tasks: int, rounds: int) -> Figure:
    each = CALLS // tasks
    bridged, native = [], []
    await _through_the_bridge(pool, tasks, each)  # a warm-up: connections are made
    for _ in range(rounds):
        bridged.append(await _timed(lambda: _through_the_bridge(pool, tasks, each)))
        native.append(await _timed(lambda: aio.call(_natively, pool, tasks, each)))
    who = "one caller" if tasks == 1 else f"{tasks} callers"
    return Figure(
        f"aio.call with a pooled SELECT 1, {who}, next to native asyncio",
        ratio(bridged, native),
        f"{spread(bridged, 1e6 / CALLS, 0)} µs a call",
        f"{spread(native, 1e6 / CALLS, 0)} µs",
    )


async def _timed(work: Callable[[], Awaitable[None]]) -> float:
    started_at = time.perf_counter()
    await work()
    return time.perf_counter() - started_at


async def _through_the_bridge(pool: "asyncpg.Pool[asyncpg.Record]", tasks: int, each: int) -> None:
    async def caller() -> None:
        for _ in range(each):
            await aio.call(_select, pool)

    async with trio.open_nursery() as nursery:
        for _ in range(tasks):
            nursery.start_soon(caller)


async def _natively(pool: "asyncpg.Pool[asyncpg.Record]", tasks: int, each: int) -> None:
    async def caller() -> None:
        for _ in range(each):
            await _select(pool)

    await asyncio.gather(*(caller() for _ in range(tasks)))


async def _select(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    async with pool.acquire() as connection:
        await connection.fetchval("SELECT 1")


async def _open_pool(dsn: str) -> "asyncpg.Pool[asyncpg.Record]":
    pool: asyncpg.Pool[asyncpg.Record] = await asyncpg.create_pool(dsn, min_size=TASKS, max_size=TASKS)
    return pool
