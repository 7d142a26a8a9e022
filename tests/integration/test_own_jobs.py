"""Users' own jobs in the real program: those of docs/own-jobs.md, on the bundled site."""

import sys
from pathlib import Path

import httpx
import pytest

from tests.integration.daemon import Daemon, run_to_end, running, wait_until
from tests.testing.tutorial import lay_out

pytestmark = pytest.mark.timeout(300)
"""It starts the whole house, which takes seconds, on a machine that may be busy."""


async def wait_for_success(daemon: Daemon, job: str) -> None:
    async def has_come() -> bool:
        return bool((await daemon.job(job)).get("runs", {}).get("done"))

    await wait_until(has_come, f"{job} is done", daemon.said)


async def test_the_jobs_of_the_tutorial_run_visit_the_site_and_keep_what_they_read(
    state_dir: Path, tmp_path: Path
) -> None:
    async with running(state_dir, environment=lay_out(tmp_path)) as daemon:
        await daemon.wait_for_mode("ready")
        await wait_for_success(daemon, "follower_count")
        await wait_for_success(daemon, "newest_likes")
        [note] = await daemon.query("SELECT job, key, value FROM notes WHERE job = 'follower_count'")
        assert (note["job"], note["key"]) == ("follower_count", "total")
        [run, *_] = await daemon.query(
            "SELECT figures FROM job_runs WHERE job = 'newest_likes' AND ending = 'done'"
        )
        assert run["figures"].keys() == {"read", "likes"}
        for words in (["jobs"], ["why", "follower_count"]):  # as the page says
            socket = str(state_dir / "control.sock")
            done = await run_to_end([sys.executable, "-m", "orchestrator", "ctl", "--socket", socket, *words])
            assert done.returncode == 0, done.stderr
            assert b"follower_count" in done.stdout
        assert 'orchestrator_job_runs_total{job_name="newest_likes",outcome="given_up"} 0.0' in await metrics(
            daemon
        )


async def metrics(daemon: Daemon) -> str:
    address = (await daemon.status())["links"]["health"].replace("/readyz", "/metrics")
    async with httpx.AsyncClient() as http:
        return (await http.get(address)).text
