"""The real program on a server of its own, which is stopped, killed, frozen, demoted, filled and replaced."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from orchestrator import aio
from tests.disk import CAN_MOUNT, full, small_disk
from tests.integration.daemon import (
    Daemon,
    Document,
    check_that_nothing_is_lost_or_doubled,
    demo_command,
    run_to_end,
    running,
    wait_until,
)
from tests.servers import Server, open_server

pytestmark = pytest.mark.timeout(600)

DISK_MIB = 100
"""A new server takes half of it."""
RARELY_S = 20 * 86_400.0
"""In shown seconds: not within the test."""


@asynccontextmanager
async def daemon_on_a_server(state_dir: Path, **more: str) -> AsyncIterator[tuple[Daemon, Server]]:
    servers, own = state_dir / "servers", state_dir / "daemon"  # what is below `own` is killed at its end
    for directory in (servers, own):
        directory.mkdir(exist_ok=True)
    async with aio.open_bridge(), open_server(servers) as server:
        environment = {"ORCHESTRATOR_DATABASE__DSN": server.dsn, **more}
        async with running(own, environment=environment) as daemon:
            await daemon.wait_for_mode("ready")
            yield daemon, server


async def wait_for_posts(daemon: Daemon, more: int) -> None:
    until = len(await daemon.ledger()) + more

    async def are_there() -> bool:
        return len(await daemon.ledger()) >= until

    await wait_until(are_there, f"the site has {more} more posts", daemon.said)


async def check_that_it_says_so(daemon: Daemon, what: str) -> None:
    """It is degraded, and tells people why, as soon as that is the last word, and what to do."""
    await daemon.wait_for_mode("degraded")
    checks: list[Document] = []

    async def does_it() -> bool:
        code, document = await daemon.readyz()
        checks[:] = [check for check in document["checks"] if check["name"] == "database"]
        [check] = checks
        assert (code, check["state"]) == (503, "down")
        assert check["remedy"]
        return what in check["detail"]

    await wait_until(does_it, f"it says {what!r}", lambda: checks)
    assert "database" in (await daemon.status())["summary"]


async def check_that_it_goes_on(daemon: Daemon) -> None:
    await daemon.wait_for_mode("ready")
    await wait_for_posts(daemon, 1)


async def test_without_its_database_it_is_degraded_and_goes_on_by_itself_and_nothing_is_lost(
    state_dir: Path,
) -> None:
    async with daemon_on_a_server(state_dir) as (daemon, server):
        await wait_for_posts(daemon, 1)
        for how in (signal.SIGINT, signal.SIGKILL):
            await server.end(how)
            await check_that_it_says_so(daemon, "can't be reached")
            await server.start()
            await check_that_it_goes_on(daemon)

        server.freeze()
        await check_that_it_says_so(daemon, "")
        server.thaw()
        await check_that_it_goes_on(daemon)

        await server.do("ALTER SYSTEM SET default_transaction_read_only = on")
        await server.do("SELECT pg_reload_conf()")
        await check_that_it_says_so(daemon, "takes no writes")
        await server.do("ALTER SYSTEM RESET default_transaction_read_only")
        await server.do("SELECT pg_reload_conf()")
        await check_that_it_goes_on(daemon)
        await check_that_nothing_is_lost_or_doubled(daemon)


@pytest.mark.skipif(not CAN_MOUNT, reason="only root can mount a small disk")
async def test_while_the_databases_disk_is_full_it_is_degraded_and_nothing_is_lost(state_dir: Path) -> None:
    with small_disk(state_dir / "servers", DISK_MIB) as disk:
        async with daemon_on_a_server(state_dir) as (daemon, _server):
            await wait_for_posts(daemon, 1)
            with full(disk):
                await check_that_it_says_so(daemon, "disk is full")
            await check_that_it_goes_on(daemon)
            await check_that_nothing_is_lost_or_doubled(daemon)


async def wait_for_learn(daemon: Daemon, ending: str) -> None:
    seen: Document = {}

    async def has_come() -> bool:
        seen.update(await daemon.job("learn"))
        return bool((seen.get("last") or {}).get("ending") == ending)

    await wait_until(has_come, f"learn is {ending}", lambda: seen)


async def test_what_gave_up_has_its_turn_when_the_database_is_back_and_another_database_is_not_worked_on(
    state_dir: Path,
) -> None:
    seldom = {"ORCHESTRATOR_JOBS__LEARN__EVERY_S": str(RARELY_S)}
    async with daemon_on_a_server(state_dir, **seldom) as (daemon, server):
        await daemon.ask("pause", job="metrics_scraper")  # which would wake learn
        await server.do("ALTER TABLE post_metrics RENAME TO away")
        await daemon.ask("run", job="learn")
        await wait_for_learn(daemon, "given_up")
        await server.do("ALTER TABLE away RENAME TO post_metrics")
        await server.end()
        await check_that_it_says_so(daemon, "can't be reached")
        await server.start()
        await daemon.wait_for_mode("ready")

        async def is_made_up_for() -> object:
            return await daemon.query(
                "SELECT 1 FROM job_runs WHERE job = 'learn' AND trigger = 'the house has recovered' "
                "AND ending IN ('done', 'nothing_to_do')"
            )

        await wait_until(is_made_up_for, "learn has had its turn", daemon.said)

        await server.do("UPDATE daemon_lease SET renewals = 0")  # as in a backup
        assert await daemon.ended() == 2
        assert "an older state of itself" in daemon.said()


async def test_a_database_of_another_program_ends_the_start_with_one_line_and_is_left_alone(
    state_dir: Path,
) -> None:
    async with aio.open_bridge(), open_server(state_dir) as server:
        await server.do("CREATE TABLE users ()")
        own = state_dir / "daemon"
        result = await run_to_end(demo_command(own), {"ORCHESTRATOR_DATABASE__DSN": server.dsn})
        assert await server.do("SELECT to_regclass('daemon_lease')") is None
    assert result.returncode == 2
    [line] = [line for line in result.stderr.decode().splitlines() if line.startswith("error: ")]
    assert "another program's: it has tables (users)" in line
    assert "empty database" in line
