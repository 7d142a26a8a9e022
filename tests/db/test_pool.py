"""What the pool promises to its callers, on a real server."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import structlog.testing
import trio

from orchestrator import aio
from orchestrator.db import connection as connection_module
from orchestrator.db import pool
from orchestrator.db.pool import Connection, Database, open_database
from orchestrator.errors import (
    DatabaseError,
    DatabaseRefusedError,
    DatabaseUnavailableError,
    PostStateError,
)
from orchestrator.settings import DatabaseSettings

SECRET = "hunter2/correct#horse"


@pytest.fixture
async def notes(database_dsn: str) -> AsyncIterator[Database]:
    """A database with one empty table."""
    async with aio.open_bridge(), open_database(database_dsn, DatabaseSettings(pool_size=2)) as database:
        await database.run(execute, "CREATE TABLE notes (id int PRIMARY KEY, body text)")
        yield database


async def execute(connection: Connection, statement: str) -> None:
    await connection.execute(statement)


async def fetch(connection: Connection, query: str) -> Any:
    return await connection.fetchval(query)


async def count_notes(connection: Connection) -> int:
    number: int = await connection.fetchval("SELECT count(*) FROM notes")
    return number


async def backend_pid(connection: Connection) -> int:
    pid: int = await connection.fetchval("SELECT pg_backend_pid()")
    return pid


class Hog:
    """A work that keeps its connection until the trio side lets it go."""

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._has_begun = trio.Event()
        self._release: Callable[[], object]

    async def hold(self, connection: Connection) -> None:
        released, loop = asyncio.Event(), asyncio.get_running_loop()
        self._release = lambda: loop.call_soon_threadsafe(released.set)
        self._token.run_sync_soon(self._has_begun.set)
        await released.wait()

    @asynccontextmanager
    async def holding(self, database: Database) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(database.run, self.hold)
            await self._has_begun.wait()
            yield
            self._release()


# ── transactions ────────────────────────────────────────────────────────────────────────────────


async def test_a_work_gets_its_arguments_and_its_result_comes_back(notes: Database) -> None:
    async def add(connection: Connection, a: int, b: int) -> int:
        total: int = await connection.fetchval("SELECT $1::int + $2::int", a, b)
        return total

    assert await notes.run(add, 2, 3) == 5


async def test_a_work_that_returns_is_committed(notes: Database) -> None:
    await notes.run(execute, "INSERT INTO notes VALUES (1, 'kept')")
    assert await notes.run(count_notes) == 1


async def test_a_work_that_raises_is_rolled_back_and_its_error_passes_untouched(notes: Database) -> None:
    refusal = PostStateError("not yours")

    async def write_then_refuse(connection: Connection) -> None:
        await connection.execute("INSERT INTO notes VALUES (1, 'gone')")
        raise refusal

    with pytest.raises(PostStateError) as caught:
        await notes.run(write_then_refuse)
    assert caught.value is refusal
    assert await notes.run(count_notes) == 0


async def test_a_bug_in_a_work_passes_untouched(notes: Database) -> None:
    async def is_broken(connection: Connection) -> None:
        raise KeyError("likes")

    with pytest.raises(KeyError, match="likes"):
        await notes.run(is_broken)


async def test_a_cancelled_work_is_rolled_back_and_gives_its_connection_back(notes: Database) -> None:
    token, has_written = trio.lowlevel.current_trio_token(), trio.Event()

    async def write_then_wait(connection: Connection) -> None:
        await connection.execute("INSERT INTO notes VALUES (1, 'gone')")
        token.run_sync_soon(has_written.set)
        await connection.execute("SELECT pg_sleep(50)")

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(notes.run, write_then_wait)
            await has_written.wait()
            scope.cancel()
    assert scope.cancelled_caught
    assert notes.statistics().in_use == 0
    assert await notes.run(count_notes) == 0


async def test_a_read_only_work_can_not_write_and_that_is_a_fault_of_ours(notes: Database) -> None:
    with pytest.raises(DatabaseError, match="read-only") as caught:
        await notes.run(execute, "INSERT INTO notes VALUES (1, 'no')", read_only=True)
    assert not isinstance(caught.value, DatabaseUnavailableError)
    assert notes.statistics().connections_lost == 0


# ── sessions ────────────────────────────────────────────────────────────────────────────────────


async def test_json_goes_in_and_out_as_python_values(notes: Database) -> None:
    async def through(connection: Connection, value: object) -> Any:
        return await connection.fetchrow("SELECT $1::json, $1::jsonb", value)

    value = {"likes": [1, 2.5, None], "name": "grün"}
    assert tuple(await notes.run(through, value)) == (value, value)


async def test_moments_come_back_aware_and_in_utc(notes: Database) -> None:
    moment = await notes.run(fetch, "SELECT timestamptz '2026-03-29 03:30:00+02'")
    assert moment == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert moment.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("application_name", "orchestrator"),
        ("timezone", "UTC"),
        ("statement_timeout", "30s"),
        ("lock_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "10s"),
    ],
)
async def test_every_session_has_our_settings(notes: Database, name: str, value: str) -> None:
    assert await notes.run(fetch, f"SHOW {name}") == value


async def test_what_a_work_sets_for_its_session_does_not_reach_the_next(notes: Database) -> None:
    await notes.run(execute, "SET statement_timeout = '7s'")
    assert await notes.run(fetch, "SHOW statement_timeout") == "30s"


# ── errors ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_refused_statement_is_an_error_that_shows_no_rows(notes: Database) -> None:
    await notes.run(execute, "INSERT INTO notes VALUES (4711, 'one')")
    with pytest.raises(DatabaseError, match="unique") as caught:
        await notes.run(execute, "INSERT INTO notes VALUES (4711, 'two')")
    assert not isinstance(caught.value, DatabaseUnavailableError | DatabaseRefusedError)
    assert "4711" not in str(caught.value)
    assert isinstance(caught.value.__cause__, asyncpg.UniqueViolationError)


@pytest.mark.parametrize(
    "state", ["40001", "40P01", "53100", "53200", "53300", "55P03", "57014", "58030"], ids=str
)
async def test_what_passes_by_itself_is_unavailable_and_keeps_the_connection(
    notes: Database, state: str
) -> None:
    before = await notes.run(backend_pid)
    with pytest.raises(DatabaseUnavailableError):
        await notes.run(execute, _raising(state))
    assert await notes.run(backend_pid) == before


@pytest.mark.parametrize("state", ["08006", "25006", "57P01", "57P02", "57P03"], ids=str)
async def test_a_lost_or_demoted_server_is_unavailable_and_every_connection_is_replaced(
    notes: Database, state: str
) -> None:
    async with Hog().holding(notes):
        other = await notes.run(backend_pid)
    before = {other, await notes.run(backend_pid)}
    with pytest.raises(DatabaseUnavailableError):
        await notes.run(execute, _raising(state))
    async with Hog().holding(notes):
        after = await notes.run(backend_pid)
    assert {after, await notes.run(backend_pid)}.isdisjoint(before)
    assert notes.statistics().connections_lost == 1


@pytest.mark.parametrize("state", ["28000", "42501"], ids=str)
async def test_missing_rights_are_refused_for_good(notes: Database, state: str) -> None:
    with pytest.raises(DatabaseRefusedError) as caught:
        await notes.run(execute, _raising(state))
    assert caught.value.remedy


def _raising(state: str) -> str:
    return f"DO $$ BEGIN RAISE EXCEPTION 'made up' USING ERRCODE = '{state}'; END $$"


async def test_a_session_ended_by_the_server_is_unavailable_and_the_next_work_succeeds(
    notes: Database,
) -> None:
    with pytest.raises(DatabaseUnavailableError, match="administrator command"):
        await notes.run(execute, "SELECT pg_terminate_backend(pg_backend_pid())")
    assert await notes.run(count_notes) == 0


async def cut_ours(connection: Connection) -> None:
    with contextlib.suppress(asyncpg.PostgresError):
        await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")


async def test_a_lost_connection_that_a_work_goes_on_with_is_unavailable(notes: Database) -> None:
    async def cut_and_go_on(connection: Connection) -> None:
        await cut_ours(connection)
        await connection.execute("SELECT 1")

    with pytest.raises(DatabaseUnavailableError, match="lost"):
        await notes.run(cut_and_go_on)
    assert await notes.run(count_notes) == 0


async def test_a_connection_lost_before_the_commit_is_unavailable(notes: Database) -> None:
    with pytest.raises(DatabaseUnavailableError, match="lost"):
        await notes.run(cut_ours)
    assert await notes.run(count_notes) == 0


async def test_a_roll_back_that_fails_does_not_hide_why_it_was_needed(notes: Database) -> None:
    async def cut_and_refuse(connection: Connection) -> None:
        await cut_ours(connection)
        raise PostStateError("not yours")

    with pytest.raises(PostStateError, match="not yours"):
        await notes.run(cut_and_refuse)
    assert await notes.run(count_notes) == 0


async def test_a_cancelled_work_whose_server_hangs_ends_as_cancelled(
    notes: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "ROLL_BACK_TIMEOUT_S", 0.05)
    token, has_begun = trio.lowlevel.current_trio_token(), trio.Event()

    async def hang(connection: Connection) -> None:
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        hung.append(pid)
        os.kill(pid, signal.SIGSTOP)
        token.run_sync_soon(has_begun.set)
        await connection.execute("SELECT 1")

    hung: list[int] = []
    try:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(notes.run, hang)
                await has_begun.wait()
                scope.cancel()
    finally:
        for pid in hung:
            os.kill(pid, signal.SIGCONT)
    assert scope.cancelled_caught
    assert await notes.run(count_notes) == 0


async def test_a_statement_that_takes_too_long_is_unavailable(database_dsn: str) -> None:
    settings = DatabaseSettings(statement_timeout_s=0.05)
    async with aio.open_bridge(), open_database(database_dsn, settings) as database:
        with pytest.raises(DatabaseUnavailableError, match="time limit"):
            await database.run(execute, "SELECT pg_sleep(50)")


async def test_a_transaction_may_have_a_limit_of_its_own(notes: Database) -> None:
    with pytest.raises(DatabaseUnavailableError, match="did not answer in time"):
        await notes.run(execute, "SELECT pg_sleep(50)", limit_s=0.05)
    assert await notes.run(count_notes) == 0


async def test_a_work_that_raises_unavailable_by_itself_has_its_connection_replaced(notes: Database) -> None:
    async def finds_it_useless(connection: Connection) -> None:
        raise DatabaseUnavailableError("useless")

    before = await notes.run(backend_pid)
    with pytest.raises(DatabaseUnavailableError, match="useless"):
        await notes.run(finds_it_useless)
    assert await notes.run(backend_pid) != before


# ── connecting ──────────────────────────────────────────────────────────────────────────────────


PLACE = "posts on db.example.org; database.dsn in o.toml, line 4"


async def attempt(dsn: str, place: str = "") -> DatabaseError:
    """The error that a first work meets on `dsn`."""
    async with aio.open_bridge(), open_database(dsn, DatabaseSettings(), place) as database:
        with pytest.raises(DatabaseError) as caught:
            await database.ping()
        return caught.value


async def test_an_unknown_database_is_refused_for_good(postgres_dsn: str) -> None:
    error = await attempt(postgres_dsn.replace("@/orchestrator?", "@/nowhere?"))
    assert isinstance(error, DatabaseRefusedError)
    assert "nowhere" in str(error)


async def test_an_unknown_user_is_refused_for_good(postgres_dsn: str) -> None:
    error = await attempt(postgres_dsn.replace("orchestrator@", "stranger@"))
    assert isinstance(error, DatabaseRefusedError)


@pytest.mark.parametrize("address", ["postgresql:///x?host=/nowhere", "postgresql://u@127.0.0.1:1/x"])
async def test_a_server_that_is_not_there_is_unavailable(address: str) -> None:
    error = await attempt(address, PLACE)
    assert isinstance(error, DatabaseUnavailableError)
    assert str(error).endswith(f" ({PLACE})")


async def test_whoever_refuses_us_or_says_nothing_is_named(postgres_dsn: str) -> None:
    assert str(await attempt(postgres_dsn.replace("orchestrator@", "stranger@"), PLACE)).endswith(
        f" ({PLACE})"
    )
    assert str(await attempt("mysql://host/x", PLACE)).endswith(f" ({PLACE})")
    settings = DatabaseSettings(connect_timeout_s=0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dsn = f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/x?sslmode=disable"
        async with aio.open_bridge(), open_database(dsn, settings, PLACE) as database:
            with pytest.raises(DatabaseUnavailableError) as caught:
                await database.ping()
    assert str(caught.value).endswith(f" ({PLACE})")


@pytest.mark.parametrize(
    "address", [f"postgresql://user:{SECRET}@host/name", f"mysql://user:{SECRET}@host/x"]
)
async def test_an_address_that_is_none_is_refused_without_showing_it(address: str) -> None:
    error = await attempt(address)
    assert isinstance(error, DatabaseRefusedError)
    shown = f"{error.line()} {error.__cause__!r}"
    assert not any(part in shown for part in SECRET.replace("#", "/").split("/"))
    assert error.__suppress_context__


async def test_ping_refuses_a_server_that_takes_no_writes_and_recovers_with_it(
    notes: Database, database_dsn: str
) -> None:
    await notes.ping()
    name = await notes.run(fetch, "SELECT current_database()")
    await notes.run(execute, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    async with open_database(database_dsn, DatabaseSettings(), PLACE) as demoted:
        with pytest.raises(DatabaseUnavailableError, match="takes no writes") as caught:
            await demoted.ping()
        assert str(caught.value).endswith(f" ({PLACE})")
        await notes.run(execute, f"ALTER DATABASE {name} RESET default_transaction_read_only")
        await demoted.ping()


# ── the pool ────────────────────────────────────────────────────────────────────────────────────


async def test_statistics_name_the_works_that_hold_connections(notes: Database) -> None:
    async with Hog().holding(notes):
        statistics = notes.statistics()
    assert (statistics.max_size, statistics.in_use, statistics.waiting) == (2, 1, 0)
    assert [holder.work for holder in statistics.holders] == ["Hog.hold"]
    after = notes.statistics()
    assert (after.in_use, after.holders) == (0, ())
    assert after.idle == after.size


async def test_a_pool_that_is_used_up_says_by_whom(database_dsn: str) -> None:
    settings = DatabaseSettings(pool_size=2, connect_timeout_s=0.5)
    async with aio.open_bridge(), open_database(database_dsn, settings) as database:
        async with Hog().holding(database), Hog().holding(database):
            with pytest.raises(
                DatabaseUnavailableError, match=r"2 of 2 are in use, by Hog\.hold of task \S+ for 0\.\d s"
            ) as caught:
                await database.run(count_notes)
        assert await database.run(fetch, "SELECT 1") == 1
    assert "slow_query" in caught.value.remedy


async def test_a_work_waits_for_a_connection_that_comes_free(database_dsn: str) -> None:
    async with aio.open_bridge(), open_database(database_dsn, DatabaseSettings(pool_size=2)) as database:
        results: list[int] = []

        async def waiter() -> None:
            results.append(await database.run(fetch, "SELECT 1"))

        async with trio.open_nursery() as nursery, Hog().holding(database), Hog().holding(database):
            nursery.start_soon(waiter)
            while database.statistics().waiting == 0:
                await aio.call(_nothing)
            assert results == []
        assert results == [1]


async def _nothing() -> None:
    """A round through the asyncio thread."""


async def test_slow_statements_and_transactions_are_logged_by_the_name_of_their_work(
    notes: Database, database_dsn: str
) -> None:
    settings = DatabaseSettings(slow_s=1e-9)
    with structlog.testing.capture_logs() as logs:
        async with open_database(database_dsn, settings) as slow:
            await slow.run(count_notes)
            await aio.call(_nothing)
    queries = [line["query"] for line in logs if line["event"] == "slow_query"]
    assert queries == ["BEGIN;", "SELECT count(*) FROM notes", "COMMIT;"]
    assert [line["work"] for line in logs if line["event"] == "slow_transaction"] == ["count_notes"]
    assert {line["work"] for line in logs} == {"count_notes"}


async def test_after_the_end_a_work_is_unavailable(database_dsn: str) -> None:
    async with aio.open_bridge():
        async with open_database(database_dsn, DatabaseSettings()) as database:
            await database.ping()
        with pytest.raises(DatabaseUnavailableError):
            await database.ping()


async def test_the_end_cuts_off_a_work_that_does_not_end(
    database_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "CLOSE_TIMEOUT_S", 0.05)

    async def hog(database: Database, work: Callable[[Connection], Awaitable[None]]) -> None:
        with pytest.raises(DatabaseUnavailableError):
            await database.run(work)

    async with aio.open_bridge(), trio.open_nursery() as nursery:
        with structlog.testing.capture_logs() as logs:
            async with open_database(database_dsn, DatabaseSettings()) as database:
                nursery.start_soon(hog, database, _sleep_long)
                while not database.statistics().holders:
                    await aio.call(_nothing)
        assert [line["event"] for line in logs] == ["pool_cut_off"]


async def _sleep_long(connection: Connection) -> None:
    await connection.execute("SELECT pg_sleep(50)")
