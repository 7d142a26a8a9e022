"""The lease on the database while a daemon starts: with another one, or its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio

from orchestrator import aio
from orchestrator.db import lease
from orchestrator.db.migrate import LOCK
from orchestrator.db.pool import Connection, Database, open_database
from orchestrator.settings import DatabaseSettings
from tests import rows
from tests.integration.daemon import running, wait_until

pytestmark = pytest.mark.timeout(120)
"""It starts the whole house, on a machine that may be busy."""


async def test_a_standby_says_so_before_there_are_tables_and_takes_over_when_it_may(
    state_dir: Path, database_dsn: str
) -> None:
    environment = {"ORCHESTRATOR_DATABASE__DSN": database_dsn, "ORCHESTRATOR_DATABASE__LEASE_TTL_S": "1"}
    note = "daemon elsewhere-0f owns this database; this one stands by"
    async with aio.open_bridge(), open_database(database_dsn, DatabaseSettings()) as database:
        await database.run(lease.prepare)
        fence = await database.run(lease.claim, "elsewhere-0f", 3600)
        assert isinstance(fence, int)
        async with running(state_dir, environment=environment) as daemon:

            async def stands_by() -> bool:
                return bool((await daemon.status()).get("note"))

            await wait_until(stands_by, "it stands by", daemon.said)
            status = await daemon.status()
            assert (status["note"], status["problems"]) == (note, [])
            async with httpx.AsyncClient() as http:
                response = await http.get(status["links"]["health"])
            assert (response.status_code, response.json()["note"]) == (503, note)
            await database.run(lease.release, fence)
            await daemon.wait_for_mode("ready")
            assert (await daemon.readyz())[1]["note"] == ""


@asynccontextmanager
async def migrations_held_up(database: Database) -> AsyncIterator[None]:
    """As another program does that migrates the database."""
    token, is_held = trio.lowlevel.current_trio_token(), trio.Event()

    async def hold(connection: Connection) -> None:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        token.run_sync_soon(is_held.set)
        await aio.sleep(3600)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.run, hold)
        await is_held.wait()
        yield
        nursery.cancel_scope.cancel()


async def test_the_lease_is_renewed_while_migrations_take_their_time(
    state_dir: Path, database_dsn: str
) -> None:
    environment = {
        "ORCHESTRATOR_DATABASE__DSN": database_dsn,
        "ORCHESTRATOR_DATABASE__LEASE_TTL_S": "1",
        "ORCHESTRATOR_BROWSER__EXECUTABLE": "/nonexistent",
    }
    seen: set[object] = set()
    async with aio.open_bridge(), open_database(database_dsn, DatabaseSettings()) as database:
        await database.run(lease.prepare)
        async with migrations_held_up(database), running(state_dir, environment=environment) as daemon:

            async def is_renewed() -> bool:
                seen.update(row["expires_at"] for row in await rows.fetch(database, "TABLE daemon_lease"))
                return len(seen) > 2

            await wait_until(is_renewed, "the lease is renewed", daemon.said)
            assert await daemon.mode() == "starting"
