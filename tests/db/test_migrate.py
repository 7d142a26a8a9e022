"""Migrations: each once, in order, whole or not at all."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
import trio

from orchestrator import aio
from orchestrator.db import lease
from orchestrator.db import migrate as migrate_module
from orchestrator.db.migrate import check_fit, load_migrations, migrate
from orchestrator.db.pool import Connection, Database, open_database
from orchestrator.errors import (
    DatabaseError,
    DatabaseTooNewError,
    DatabaseUnfitError,
    MigrationChangedError,
)
from orchestrator.settings import DatabaseSettings

Write = Callable[[str, str], None]


@pytest.fixture
async def empty(database_dsn: str) -> AsyncIterator[Database]:
    settings = DatabaseSettings(statement_timeout_s=0.5)
    async with aio.open_bridge(), open_database(database_dsn, settings) as database:
        yield database


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(name: str, sql: str) -> None:
        (tmp_path / name).write_text(sql)

    return write_file


async def fetch_all(connection: Connection, query: str) -> list[Any]:
    return [row[0] for row in await connection.fetch(query)]


async def applied(database: Database) -> list[Any]:
    return await database.run(fetch_all, "SELECT version FROM schema_migrations ORDER BY version")


async def test_missing_migrations_are_applied_in_order_and_once(
    empty: Database, write: Write, tmp_path: Path
) -> None:
    write("0002_fill.sql", "INSERT INTO topics VALUES ('birds'); INSERT INTO topics VALUES ('bees');")
    write("0001_start.sql", "CREATE TABLE topics (name text)")
    assert await migrate(empty, tmp_path) == 2
    assert await migrate(empty, tmp_path) == 0
    write("0003_more.sql", "INSERT INTO topics VALUES ('trees')")
    assert await migrate(empty, tmp_path) == 1
    assert await empty.run(fetch_all, "SELECT name FROM topics") == ["birds", "bees", "trees"]


async def test_each_is_recorded_with_name_checksum_and_moment(
    empty: Database, write: Write, tmp_path: Path
) -> None:
    write("0001_start.sql", "SELECT 1")
    await migrate(empty, tmp_path)

    async def read(connection: Connection) -> Any:
        return await connection.fetchrow(
            "SELECT *, now() - applied_at < '1 h' AS is_new FROM schema_migrations"
        )

    row = await empty.run(read)
    checksum = "e004ebd5b5532a4b85984a62f8ad48a81aa3460c1ca07701f386135d72cdecf5"
    assert (row["version"], row["name"], row["checksum"], row["is_new"]) == (1, "start", checksum, True)


async def test_a_changed_migration_is_refused_before_anything_is_done(
    empty: Database, write: Write, tmp_path: Path
) -> None:
    write("0001_start.sql", "CREATE TABLE a (x int)")
    await migrate(empty, tmp_path)
    write("0001_start.sql", "CREATE TABLE a (x bigint)")
    write("0002_more.sql", "CREATE TABLE b (x int)")
    with pytest.raises(MigrationChangedError, match=r"0001_start\.sql") as caught:
        await migrate(empty, tmp_path)
    assert caught.value.remedy
    assert await applied(empty) == [1]


async def test_a_database_of_a_newer_program_is_refused(
    empty: Database, write: Write, tmp_path: Path
) -> None:
    write("0001_start.sql", "SELECT 1")
    write("0002_more.sql", "SELECT 2")
    await migrate(empty, tmp_path)
    (tmp_path / "0002_more.sql").unlink()
    with pytest.raises(DatabaseTooNewError, match=r"version 2.*knows only 1") as caught:
        await migrate(empty, tmp_path)
    assert "newer program" in caught.value.remedy


# ── before the first change ─────────────────────────────────────────────────────────────────────


async def tables(database: Database) -> list[Any]:
    return await database.run(
        fetch_all, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
    )


async def test_a_new_database_and_one_of_this_program_are_fit_and_looking_changes_nothing(
    empty: Database,
) -> None:
    await check_fit(empty)
    assert await tables(empty) == []
    await empty.run(lease.prepare)
    await check_fit(empty)
    await migrate(empty)
    await check_fit(empty)


async def test_a_database_of_a_newer_program_is_told_before_anything_is_changed(
    empty: Database, write: Write, tmp_path: Path
) -> None:
    write("0001_start.sql", "SELECT 1")
    await migrate(empty)
    with pytest.raises(DatabaseTooNewError, match="knows only 1"):
        await check_fit(empty, tmp_path)


@pytest.mark.parametrize(
    ("foreign", "said"),
    [
        ("CREATE TABLE posts (id int)", r"tables \(posts\)"),
        (
            "CREATE TABLE a (); CREATE TABLE b (); CREATE VIEW c AS SELECT 1; CREATE TABLE d ()",
            r"\(a, b, c, …\)",
        ),
        ("CREATE TABLE schema_migrations (version varchar)", "schema_migrations is not ours"),
    ],
    ids=["a table", "many", "migrations"],
)
async def test_a_database_of_another_program_is_left_alone(empty: Database, foreign: str, said: str) -> None:
    await empty.run(execute, foreign)
    before = await tables(empty)
    with pytest.raises(DatabaseUnfitError, match=f"another program's.*{said}") as caught:
        await check_fit(empty)
    assert "empty database" in caught.value.remedy
    assert await tables(empty) == before


async def test_what_an_extension_has_brought_is_no_other_programs(empty: Database) -> None:
    await empty.run(execute, "CREATE TABLE brought (); ALTER EXTENSION plpgsql ADD TABLE brought")
    await check_fit(empty)


async def test_a_server_that_is_too_old_is_refused(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate_module, "OLDEST_SERVER", 99)
    with pytest.raises(DatabaseUnfitError, match=r"PostgreSQL 18\.\d+, too old") as caught:
        await check_fit(empty)
    assert "99 or newer" in caught.value.remedy


async def execute(connection: Connection, statements: str) -> None:
    await connection.execute(statements)


async def test_a_table_of_migrations_with_gaps_is_refused(
    empty: Database, write: Write, tmp_path: Path
) -> None:
    for number in (1, 2, 3):
        write(f"000{number}_step.sql", "SELECT 1")
    await migrate(empty, tmp_path)
    await empty.run(fetch_all, "DELETE FROM schema_migrations WHERE version = 2 RETURNING 1")
    with pytest.raises(DatabaseError, match="gaps: 1, 3"):
        await migrate(empty, tmp_path)


async def test_a_failing_migration_leaves_no_trace_and_keeps_those_before(
    empty: Database, write: Write, tmp_path: Path
) -> None:
    write("0001_start.sql", "CREATE TABLE a (x int)")
    write("0002_broken.sql", "CREATE TABLE b (x int);\n\nINSERT INTO nowhere VALUES (1);")
    with pytest.raises(DatabaseError, match=r"0002_broken\.sql, line 3, failed: .*nowhere"):
        await migrate(empty, tmp_path)
    assert await applied(empty) == [1]
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
    assert await empty.run(fetch_all, tables) == ["a", "schema_migrations"]


async def test_the_statement_time_out_does_not_bind_migrations(
    empty: Database, write: Write, tmp_path: Path
) -> None:
    write("0001_slow.sql", "SELECT pg_sleep(0.6)")
    assert await migrate(empty, tmp_path) == 1
    assert await empty.run(fetch_all, "SHOW statement_timeout") == ["500ms"]


async def test_runners_at_the_same_time_apply_each_migration_once(
    empty: Database, write: Write, tmp_path: Path
) -> None:
    for number in range(1, 9):
        write(f"{number:04}_step.sql", f"CREATE TABLE step_{number} (x int)")
    counts: list[int] = []

    async def runner() -> None:
        counts.append(await migrate(empty, tmp_path))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(runner)
    assert sum(counts) == 8
    assert await applied(empty) == list(range(1, 9))


async def test_a_runner_waits_while_another_holds_the_lock(
    empty: Database, write: Write, tmp_path: Path
) -> None:
    write("0001_start.sql", "SELECT 1")
    token, is_locked, order = trio.lowlevel.current_trio_token(), trio.Event(), []

    async def hold_lock(connection: Connection) -> None:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", migrate_module.LOCK)
        token.run_sync_soon(is_locked.set)
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not await connection.fetchval(waiting):
            pass
        order.append("lock released")

    async def run_migrations() -> None:
        await is_locked.wait()
        await migrate(empty, tmp_path)
        order.append("migrated")

    with structlog.testing.capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(empty.run, hold_lock)
            nursery.start_soon(run_migrations)
    assert order == ["lock released", "migrated"]
    assert "migration_waits" in [line["event"] for line in logs]


def test_a_gap_in_the_numbers_is_found(write: Write, tmp_path: Path) -> None:
    write("0001_start.sql", "")
    write("0003_more.sql", "")
    with pytest.raises(DatabaseError, match="migration 0002 is missing"):
        load_migrations(tmp_path)


def test_a_number_used_twice_is_found(write: Write, tmp_path: Path) -> None:
    write("0001_start.sql", "")
    write("0002_one.sql", "")
    write("0002_other.sql", "")
    with pytest.raises(DatabaseError, match="migration 0002 is there twice"):
        load_migrations(tmp_path)


@pytest.mark.parametrize("name", ["1_start.sql", "0001-start.sql", "0001_Start.sql", "start.sql"])
def test_a_name_that_fits_no_migration_is_found(write: Write, tmp_path: Path, name: str) -> None:
    write(name, "")
    with pytest.raises(DatabaseError, match="no name for a migration"):
        load_migrations(tmp_path)


def test_other_files_are_passed_over(write: Write, tmp_path: Path) -> None:
    write("0001_start.sql", "SELECT 1")
    write("README.md", "")
    assert [migration.name for migration in load_migrations(tmp_path)] == ["start"]


async def test_the_programs_own_migrations_apply_to_an_empty_database(empty: Database) -> None:
    count = await migrate(empty)
    assert count >= 1
    assert await applied(empty) == list(range(1, count + 1))
    assert await migrate(empty) == 0
