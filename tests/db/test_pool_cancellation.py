"""No cancellation, at whatever moment it comes, costs a connection."""

import random
import time
from typing import Any

import asyncpg
import pytest
import trio

from orchestrator import aio
from orchestrator.db.pool import Connection, Database, open_database
from orchestrator.settings import DatabaseSettings

CANCELLATIONS = 2_000
CALLERS = 8
POOL_SIZE = 4


async def read_and_write(connection: Connection) -> int:
    await connection.execute("SELECT pg_sleep(0.0005)")
    await connection.execute("INSERT INTO steps VALUES (1)")
    number: int = await connection.fetchval("SELECT count(*) FROM steps")
    return number


async def _cancel_at_a_random_moment(database: Database, randomness: random.Random) -> bool:
    """Whether the cancellation came before the result."""
    with trio.CancelScope(deadline=trio.current_time() + randomness.uniform(0, 0.012)) as scope:
        await database.run(read_and_write)
    return scope.cancelled_caught


async def _everyone_holds_one(database: Database) -> set[int]:
    """Backend ids of as many connections as the pool may have, all in use at the same time."""
    barrier: list[int] = []

    async def wait_for_the_others(connection: Connection) -> None:
        barrier.append(await connection.fetchval("SELECT pg_backend_pid()"))
        while len(barrier) < POOL_SIZE:
            await connection.fetchval("SELECT 1")

    async with trio.open_nursery() as nursery:
        for _ in range(POOL_SIZE):
            nursery.start_soon(database.run, wait_for_the_others)
    return set(barrier)


@pytest.mark.timeout(120)
async def test_two_thousand_random_cancellations_leak_no_connection(database_dsn: str) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    cancelled: list[bool] = []
    started_at = time.monotonic()

    async def caller(database: Database, number: int) -> None:
        randomness = random.Random(seed * CALLERS + number)
        while sum(cancelled) < CANCELLATIONS:
            cancelled.append(await _cancel_at_a_random_moment(database, randomness))

    settings = DatabaseSettings(pool_size=POOL_SIZE)
    async with aio.open_bridge() as bridge, open_database(database_dsn, settings) as database:
        await database.run(_make_table)
        async with trio.open_nursery() as nursery:
            for number in range(CALLERS):
                nursery.start_soon(caller, database, number)
        took_s = time.monotonic() - started_at
        print(f"{sum(cancelled)} of {len(cancelled)} calls were cancelled in {took_s:.1f} s")  # noqa: T201 - shown when the test fails
        assert bridge.calls_in_flight == 0
        assert len(await _everyone_holds_one(database)) == POOL_SIZE
        statistics = database.statistics()
        assert (statistics.size, statistics.idle, statistics.waiting) == (POOL_SIZE, POOL_SIZE, 0)
        assert statistics.holders == ()
        assert await database.run(_sessions) == POOL_SIZE
    assert False in cancelled  # late cancellations were tried too


async def _make_table(connection: Connection) -> None:
    await connection.execute("CREATE UNLOGGED TABLE steps (step int)")


async def _sessions(connection: Connection) -> Any:
    return await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    )


async def test_a_connection_cancelled_while_it_is_made_leaves_its_place_free(database_dsn: str) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    randomness = random.Random(seed)
    settings = DatabaseSettings(pool_size=2, connect_timeout_s=5)
    async with aio.open_bridge(), open_database(database_dsn, settings) as database:
        for _ in range(50):
            await aio.call(_expire, database)
            with trio.CancelScope(deadline=trio.current_time() + randomness.uniform(0, 0.02)):
                await database.ping()
        await database.ping()
        assert database.statistics().in_use == 0
    connection = await _count_sessions(database_dsn)
    assert connection == 1


async def _expire(database: Database) -> None:
    await database._pool.expire_connections()


async def _count_sessions(dsn: str) -> Any:
    async def count() -> Any:
        connection = await asyncpg.connect(dsn)
        try:
            query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            while (number := await connection.fetchval(query)) > 1:
                pass  # sessions whose client has gone end by themselves
            return number
        finally:
            await connection.close()

    async with aio.open_bridge():
        return await aio.call(count)
