"""A connection that is held for too long: who has it, and from where it was asked for."""

import structlog.testing
import trio

from orchestrator import aio
from orchestrator.db.pool import Connection, Database, open_database
from orchestrator.settings import DatabaseSettings

LEAK_S = 0.05


async def never_ends(connection: Connection) -> None:
    await connection.execute("SELECT pg_sleep(600)")


async def wait_for_a_leak(database: Database) -> None:
    while database.statistics().leaks == 0:
        await trio.sleep(0.01)


async def ask_for_it(database: Database) -> None:
    await database.run(never_ends)


async def test_who_holds_a_connection_for_too_long_is_told_with_his_job_and_his_stack(
    database_dsn: str,
) -> None:
    settings = DatabaseSettings(leak_s=LEAK_S)

    async def work() -> None:
        async with trio.open_nursery() as nursery:  # a job's work may ask from a task of its own
            nursery.start_soon(ask_for_it, database)
            await trio.sleep_forever()

    async with aio.open_bridge(), open_database(database_dsn, settings) as database:
        with structlog.testing.capture_logs() as logs:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(work, name="actor:posting")
                await wait_for_a_leak(database)
                [holder] = database.statistics().holders
                nursery.cancel_scope.cancel()
        assert (holder.work, holder.owner, holder.is_leak) == ("never_ends", "job posting", True)
        [line] = [line for line in logs if line["event"] == "connection_held_too_long"]
        assert (line["work"], line["owner"]) == ("never_ends", "job posting")
        assert line["held_s"] > 0
        assert line["stack"][0].startswith(f"{__file__}:")
        assert line["stack"][0].endswith(" in ask_for_it")
        statistics = database.statistics()
        assert (statistics.leaks, statistics.holders) == (1, ())


async def test_what_ends_in_time_is_no_leak_and_who_is_no_job_is_named_by_his_task(database_dsn: str) -> None:
    async with aio.open_bridge(), open_database(database_dsn, DatabaseSettings()) as database:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_for_it, database)
            while not (holders := database.statistics().holders):
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        assert (holders[0].owner, holders[0].is_leak) == ("task ask_for_it", False)
        assert database.statistics().leaks == 0


async def test_a_leak_is_told_once_and_its_alarm_ends_with_it(database_dsn: str) -> None:
    settings = DatabaseSettings(leak_s=LEAK_S)

    async def sleep(connection: Connection, duration_s: float) -> None:
        await connection.execute("SELECT pg_sleep($1)", duration_s)

    async with aio.open_bridge(), open_database(database_dsn, settings) as database:
        with structlog.testing.capture_logs() as logs:
            await database.run(sleep, 4 * LEAK_S)
            for _ in range(20):
                await database.run(sleep, 0)
    assert [line["event"] for line in logs].count("connection_held_too_long") == 1
