"""What a real pool tells of waits and of statements that take long."""

from collections.abc import AsyncIterator

import pytest
import trio

from orchestrator import aio
from orchestrator.db import pool, strain
from orchestrator.db.pool import Connection, Database, Observer, open_database
from orchestrator.db.strain import MEMORY_S, Crowd, Excesses
from orchestrator.errors import DatabaseUnavailableError
from orchestrator.metrics import Metrics
from orchestrator.settings import DatabaseSettings


async def sleep(connection: Connection, seconds: float) -> None:
    await connection.execute("SELECT pg_sleep($1)", seconds)


@pytest.fixture
async def small(database_dsn: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """A pool of two, where more than a tenth of a second is long."""
    monkeypatch.setattr(pool, "LONG_S", 0.1)
    settings = DatabaseSettings(pool_size=2, connect_timeout_s=0.5)
    async with aio.open_bridge(), open_database(database_dsn, settings) as opened:
        yield opened


async def test_a_statement_that_takes_long_is_remembered_by_its_work(small: Database) -> None:
    assert small.statistics().long_query is None
    await small.run(sleep, 0.2)
    found = small.statistics().long_query
    assert found is not None
    assert found.work == "sleep"


async def test_a_long_wait_for_a_connection_is_remembered_also_when_none_came(small: Database) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(small.run, sleep, 600)
        while small.statistics().in_use < 2:
            await trio.sleep(0.01)
        with pytest.raises(DatabaseUnavailableError, match="2 of 2 are in use"):
            await small.run(sleep, 0)
        found = small.statistics()
        nursery.cancel_scope.cancel()
    assert found.long_wait is not None
    assert found.long_wait.work == "sleep"
    assert found.crowded_s > 0
    assert small.statistics().crowded_s == 0


async def test_waits_and_statements_are_figures(database_dsn: str) -> None:
    metrics = Metrics()
    observer = Observer(metrics.db_wait.observe, metrics.db_query.observe)
    async with (
        aio.open_bridge(),
        open_database(database_dsn, DatabaseSettings(), observer=observer) as database,
    ):
        await database.run(sleep, 0.2)

    def value(name: str) -> float:
        return metrics.registry.get_sample_value(f"orchestrator_{name}") or 0.0

    assert value("db_pool_wait_seconds_count") == 1
    assert value("db_query_seconds_count") >= 1
    assert value("db_query_seconds_sum") >= 0.2


# ── over time ───────────────────────────────────────────────────────────────────────────────────


def test_what_took_long_is_told_until_none_has_for_a_while_and_names_the_first() -> None:
    excesses = Excesses(5.0)
    excesses.note("quick", 5.0, 0.0)
    assert excesses.current(0.0) is None
    excesses.note("first", 5.1, 1.0)
    excesses.note("second", 9.0, 1.0 + MEMORY_S - 1)
    found = excesses.current(MEMORY_S * 2 - 1)
    assert found == strain.Excess("first", 1.0, MEMORY_S)
    assert excesses.current(MEMORY_S * 2) is None
    excesses.note("third", 6.0, MEMORY_S * 3)
    assert excesses.current(MEMORY_S * 3) == strain.Excess("third", MEMORY_S * 3, MEMORY_S * 3)


def test_a_crowd_lasts_from_its_beginning_until_there_is_room_once() -> None:
    crowd = Crowd(8)
    for in_use, now in ((8, 0.0), (9, 1.0), (10, 2.0)):
        crowd.note(in_use, now)
    assert crowd.lasts_s(4.0) == 3.0
    crowd.note(8, 5.0)
    assert crowd.lasts_s(6.0) == 0.0
