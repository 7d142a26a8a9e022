"""Fixtures for tests that need PostgreSQL: one embedded server for the session, an empty database each time.

As a program (`python -m tests.fixtures_db DIRECTORY`) it is that server: it runs `open_embedded` on its own
main thread until its standard input closes, which happens even when pytest is killed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import asyncpg
import pytest
import trio

from orchestrator import aio
from orchestrator.db import lease
from orchestrator.db.embedded import SERVER_SETTINGS, open_embedded
from orchestrator.db.migrate import migrate
from orchestrator.db.pool import Database, open_database
from orchestrator.settings import DatabaseSettings

MIGRATED = "migrated"
QUICK = {**SERVER_SETTINGS, "fsync": "off", "max_connections": "100"}
"""The data of tests may be lost."""

EMPTY = """
DO $$ DECLARE name text; BEGIN
    SET LOCAL session_replication_role = replica;  -- in any order
    FOR name IN SELECT tablename FROM pg_tables
        WHERE schemaname = 'public' AND tablename <> 'schema_migrations' LOOP
        EXECUTE format('DELETE FROM %I', name);
    END LOOP;
END $$
"""

_numbers = count(1)


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """A directory that PostgreSQL's user can enter; pytest's own `tmp_path` bars everybody but us."""
    directory = Path(tempfile.mkdtemp(prefix="orchestrator-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def postgres_dsn() -> Iterator[str]:
    """The session's server: its own database, as a superuser. Tests take `database_dsn` or `database`."""
    directory = Path(tempfile.mkdtemp(prefix="orchestrator-tests-"))
    directory.chmod(0o755)
    with start_server_process(directory / "postgres") as (_, dsn):
        yield dsn
    shutil.rmtree(directory)


@contextmanager
def start_server_process(directory: Path) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """A process that runs `open_embedded` on `directory` until the end of the block, and the server's DSN."""
    command = [sys.executable, "-m", "tests.fixtures_db", str(directory)]
    root = Path(__file__).parent.parent
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root, start_new_session=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        first_line = process.stdout.readline().decode()
        assert first_line.startswith("postgresql://"), "the server did not start; its words are above"
        yield process, first_line.strip()
        process.stdin.close()


@pytest.fixture
def database_dsn(postgres_dsn: str) -> Iterator[str]:
    """An empty database of the test's own."""
    name = f"test_{next(_numbers)}"
    trio.run(_execute, postgres_dsn, f"CREATE DATABASE {name} STRATEGY file_copy")
    yield with_database(postgres_dsn, name)
    trio.run(_execute, postgres_dsn, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def shared_dsn(postgres_dsn: str) -> str:
    """The one database with all migrations that the tests use in turn: a new one for each takes too long."""
    trio.run(_execute, postgres_dsn, f"CREATE DATABASE {MIGRATED}")
    dsn = with_database(postgres_dsn, MIGRATED)
    trio.run(_migrate, dsn)
    return dsn


@pytest.fixture
def migrated_dsn(shared_dsn: str) -> str:
    """A database with all migrations applied and no rows."""
    trio.run(_execute, shared_dsn, EMPTY)
    return shared_dsn


@pytest.fixture
async def database(migrated_dsn: str) -> AsyncIterator[Database]:
    """A pool on `migrated_dsn`, with a bridge of its own."""
    async with aio.open_bridge(), open_database(migrated_dsn, DatabaseSettings()) as opened:
        yield opened


def with_database(dsn: str, name: str) -> str:
    """`dsn` with another database on the same server."""
    return dsn.replace("@/orchestrator?", f"@/{name}?")


async def _execute(dsn: str, statement: str) -> None:
    async with aio.open_bridge():
        await aio.call(_execute_outside_transaction, dsn, statement)


async def _execute_outside_transaction(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()  # noqa: ASYNC102 - on the asyncio side


async def _migrate(dsn: str) -> None:
    async with aio.open_bridge(), open_database(dsn, DatabaseSettings()) as opened:
        await opened.run(lease.prepare)
        await migrate(opened)


async def _serve(directory: Path) -> None:
    async with aio.open_bridge(), open_embedded(directory, settings=QUICK) as server:
        sys.stdout.write(f"{server.dsn}\n")
        sys.stdout.flush()
        await trio.lowlevel.wait_readable(sys.stdin)
        assert os.read(sys.stdin.fileno(), 1) == b""


if __name__ == "__main__":
    import structlog

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    trio.run(_serve, Path(sys.argv[1]))
