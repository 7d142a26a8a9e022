"""The real daemon with less memory than it needs: it sheds, says so, and goes on posting."""

from pathlib import Path

import pytest

from tests.integration.daemon import SPEED, running, wait_until

pytestmark = pytest.mark.timeout(300)

SHORT = {
    "ORCHESTRATOR_MEMORY__WARNING_MB": "10",
    "ORCHESTRATOR_MEMORY__CRITICAL_MB": "20",
    "ORCHESTRATOR_JOBS__MEMORY_KEEPER__EVERY_S": str(2 * SPEED),
}


async def test_short_of_memory_the_daemon_refuses_all_but_posting(state_dir: Path) -> None:
    async with running(state_dir, environment=SHORT) as daemon:

        async def is_refusing() -> bool:
            shedding = (await daemon.status()).get("shedding")
            return bool(shedding and shedding["step"] == "refused")

        await wait_until(is_refusing, "new work is refused", daemon.said)

        async def is_learning_skipped() -> bool:
            return ((await daemon.job("learn")).get("last") or {}).get("ending") == "skipped"

        await wait_until(is_learning_skipped, "learn is skipped", daemon.said)
        status = await daemon.status()
        assert "memory is short" in (await daemon.job("learn"))["last"]["detail"]
        [row] = [row for row in status["problems"] if "memory is short" in row["what"]]
        assert "memory.warning_mb" in row["remedy"]
        assert status["shedding"]["used_bytes"] > status["shedding"]["limits"]["critical_bytes"]

        async def has_posted() -> bool:
            return ((await daemon.job("posting")).get("last") or {}).get("ending") in {
                "done",
                "nothing_to_do",
            }

        await wait_until(has_posted, "posting goes on", daemon.said)
        assert not status["is_paused"]
        _, ready = await daemon.readyz()
        assert ready["memory"]["daemon_bytes"] > 10_000_000
