"""The real program, killed in the middle of a reply: the site has it once, and the database says so."""

import signal
from pathlib import Path
from typing import Any

import pytest

from tests import rows
from tests.integration.daemon import PATIENCE_S, SETTLE_S, Daemon, running, wait_until

pytestmark = pytest.mark.timeout(400)


async def published_post(daemon: Daemon) -> rows.Row:
    async def found() -> list[rows.Row]:
        return await daemon.query("SELECT account, reference FROM posts WHERE state = 'published' LIMIT 1")

    [post] = await wait_until(found, "a post is published", daemon.said)
    return post


@pytest.mark.parametrize(
    "point",
    [
        "press:before",  # the intent is written down, and nothing was sent
        "send:after",  # the site has taken it, and nobody knows
    ],
)
async def test_a_daemon_killed_in_the_middle_of_a_reply_leaves_one_reply_in_the_end(
    state_dir: Path, point: str
) -> None:
    async with running(state_dir) as daemon:
        await daemon.wait_for_mode("ready")
        post = await published_post(daemon)
        account = next(name for name in ("ada", "grace") if name != post["account"])
        target = post["reference"]
        draft = await daemon.ask("draft", account=account, to=target, text="An answer, once.")
        number: Any = draft["reply"]

    crash = {"ORCHESTRATOR_CRASH_AT": point, "ORCHESTRATOR_CRASH_BY": "kill"}
    async with running(
        state_dir, environment={**crash, "ORCHESTRATOR_JOBS__POSTING__ENABLED": "false"}
    ) as daemon:
        await daemon.wait_for_mode("ready")
        await daemon.ask("approve", post=number)
        await daemon.ask("run", job="reply_posting")
        assert await daemon.ended() == -signal.SIGKILL, daemon.said()

    async with running(state_dir) as daemon:
        await daemon.wait_for_mode("ready")

        async def is_out() -> bool:
            await daemon.ask("run", job="reply_posting")
            found = await daemon.query(f"SELECT state FROM posts WHERE id = {number:d}")
            return found == [{"state": "published"}]

        await wait_until(is_out, "the reply is out", daemon.said, PATIENCE_S + 4 * SETTLE_S)
        assert await daemon.answers() == [(account, target)]
        [counters] = await daemon.query("SELECT sum(replies)::int AS replies FROM daily_counters")
        assert counters == {"replies": 1}
