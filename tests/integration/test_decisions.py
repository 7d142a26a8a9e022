"""The real program: `ctl` settles what is in doubt, and the site is compared with the database."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.daemon import Daemon, run_to_end, running, wait_until

pytestmark = pytest.mark.timeout(300)


async def ctl(daemon: Daemon, *args: str) -> tuple[int, str]:
    """The command's exit code, and what it says on either stream."""
    socket = str(daemon.state_dir / "control.sock")
    ended = await run_to_end([sys.executable, "-m", "orchestrator", "ctl", "--socket", socket, *args])
    return ended.returncode, (ended.stdout + ended.stderr).decode()


async def listed(daemon: Daemon, state: str) -> list[dict[str, Any]]:
    code, said = await ctl(daemon, "posts", "--state", state, "--json")
    assert code == 0, said
    found: list[dict[str, Any]] = json.loads(said)["posts"]
    return found


async def test_a_post_in_doubt_is_settled_by_hand_once_and_then_site_and_database_agree(
    state_dir: Path,
) -> None:
    async with running(state_dir) as daemon:
        await daemon.wait_for_mode("ready")
        assert (await ctl(daemon, "pause", "reconciliation"))[0] == 0
        await daemon.set_faults(
            drop_answer={"path": "/compose", "method": "POST", "processed": True, "times": 1}
        )

        async def is_in_doubt() -> list[dict[str, Any]]:
            return await listed(daemon, "ambiguous")

        [post] = await wait_until(is_in_doubt, "a post is ambiguous", daemon.said)
        number = str(post["id"])
        code, said = await ctl(daemon, "post", "show", number, "--json")
        assert code == 0, said
        text = json.loads(said)["post"]["text"]
        [reference] = [ref for ref, there in (await daemon.ledger()).items() if there.split() == text.split()]
        code, said = await ctl(daemon, "post", "resolve", number, "published", "--reference", "no reference!")
        assert (code, "can't be a reference" in said) == (1, True)
        code, said = await ctl(daemon, "post", "resolve", number, "published", "--reference", reference)
        assert (code, f"is published as {reference}" in said) == (0, True)
        code, said = await ctl(daemon, "post", "resolve", number, "drop")
        assert (code, "nothing is to be decided" in said, said.count("\n")) == (1, True, 1)
        assert (await daemon.published())[reference].split() == text.split()
        [counted] = await daemon.query(
            "SELECT (SELECT sum(posts) FROM daily_counters) = "
            "(SELECT count(*) FROM posts WHERE counted_on IS NOT NULL) AS agrees"
        )
        assert counted["agrees"]

        await ctl(daemon, "resume", "reconciliation")
        await ctl(daemon, "run", "reconciliation")

        async def compared() -> list[dict[str, Any]]:
            """In the record: the job's next runs, which have nothing to do, come soon after."""
            return await daemon.query(
                "SELECT detail FROM job_runs WHERE detail LIKE '%compared with the site%'"
            )

        for run in await wait_until(compared, "the site is compared with the database", daemon.said):
            assert "0 unknown, 0 gone, 0 moved, 0 wrong" in run["detail"]
