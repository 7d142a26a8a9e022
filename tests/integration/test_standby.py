"""A daemon that finds the lease on its database with another one."""

from pathlib import Path

import httpx
import pytest

from orchestrator import aio
from orchestrator.db import lease
from orchestrator.db.pool import open_database
from orchestrator.settings import DatabaseSettings
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
