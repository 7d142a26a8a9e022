"""The real program with a cache in a Redis server that goes away and comes back."""

import tempfile
from pathlib import Path

import pytest

from tests.integration.daemon import Daemon, running, wait_until
from tests.redis_server import redis_server

pytestmark = pytest.mark.timeout(300)

QUICK = {"ORCHESTRATOR_BREAKERS__PARTIES": '{"cache": {"failures": 2, "open_s": 0.5, "open_max_s": 1}}'}


SLOWED = "runs half as often as else"


async def wait_for_hits(daemon: Daemon, more: int) -> None:
    async def hits() -> int:
        cache = (await daemon.status())["cache"]
        return sum(space["hits"] for space in cache["namespaces"])

    until = await hits() + more

    async def are_there() -> bool:
        return await hits() >= until

    await wait_until(are_there, f"{more} more reads are found in the cache", daemon.said)


async def test_without_its_server_the_daemon_is_degraded_and_goes_on(state_dir: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="redis-") as directory, redis_server(Path(directory)) as redis:
        await redis.start()
        async with running(state_dir, environment={**QUICK, "ORCHESTRATOR_CACHE__URL": redis.url}) as daemon:
            await daemon.wait_for_mode("ready")
            await wait_for_hits(daemon, 5)
            assert "cmdstat_set:" in redis.do("INFO", "commandstats"), "values are there, not here"
            redis.kill()
            await daemon.wait_for_mode("degraded")
            assert (await daemon.readyz())[0] == 200, "its work is done all the same"
            status = await daemon.status()
            [problem] = [row for row in status["problems"] if row.get("subject") == "cache"]
            assert problem["name"] == "breaker_open"
            assert "the database answers instead" in problem["remedy"]
            assert status["learning"]["arms"] is not None
            assert SLOWED in str(await daemon.ask("why", job="learn"))
            assert SLOWED not in str(await daemon.ask("why", job="posting"))
            await redis.start()
            await daemon.wait_for_mode("ready")
            assert SLOWED not in str(await daemon.ask("why", job="learn"))
            await wait_for_hits(daemon, 5)
