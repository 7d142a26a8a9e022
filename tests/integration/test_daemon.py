"""The real program with its real database, browser and site, from outside.

The site's own ledger is the truth: every post on it is exactly once in the database, with the same
reference, whatever happened in between.
"""

import signal
from pathlib import Path

import pytest
import trio

from orchestrator import aio
from orchestrator.browser.launcher import find_browser
from orchestrator.db.embedded import open_embedded
from tests.integration.daemon import (
    PATIENCE_S,
    SETTLE_S,
    UNFINISHED,
    Daemon,
    living,
    processes_of,
    running,
    wait_until,
)

pytestmark = pytest.mark.timeout(300)
"""Each starts the whole house once or twice, which takes seconds, on a machine that may be busy."""


async def wait_for_posts(daemon: Daemon, count: int) -> None:
    """Until the site has accepted `count` posts or more."""

    async def are_there() -> bool:
        return len(await daemon.ledger()) >= count

    await wait_until(are_there, f"{count} posts are on the site", daemon.said)


async def wait_for_runs(daemon: Daemon, job: str, count: int) -> None:
    """Until the job has had `count` further runs."""

    async def runs() -> int:
        return int(sum((await daemon.job(job)).get("runs", {}).values()))

    before = await runs()

    async def are_over() -> bool:
        return await runs() >= before + count

    await wait_until(are_over, f"{job} has run {count} times more", daemon.said)


async def wait_for_state(daemon: Daemon, job: str, state: str) -> None:
    async def has_come() -> bool:
        return (await daemon.job(job)).get("state") == state

    await wait_until(has_come, f"{job} is {state}", daemon.said)


async def settle(daemon: Daemon) -> None:
    """Plan nothing new; until every post is published, and the database says what the site says."""
    await daemon.ask("pause", job="plan")

    async def is_settled() -> bool:
        found = await daemon.query(UNFINISHED)
        assert not [row for row in found if row["state"] == "failed"], found
        return not found

    patience_s = PATIENCE_S + 2 * SETTLE_S  # two looks tell that the site has not taken a post
    await wait_until(is_settled, "every post is published", daemon.said, patience_s)
    assert await daemon.published() == await daemon.ledger()


async def drain(daemon: Daemon) -> None:
    """End it by SIGTERM, as systemd does; nothing of it may be left."""
    family = daemon.family()
    daemon.signal(signal.SIGTERM)
    assert await daemon.ended() == 0
    assert living(family) == []
    assert processes_of(daemon.state_dir) == []


# ── its main job ────────────────────────────────────────────────────────────────────────────────


async def test_posts_are_planned_published_measured_and_learned_from_until_it_is_told_to_end(
    state_dir: Path,
) -> None:
    async with running(state_dir) as daemon:
        await daemon.wait_for_mode("ready")
        code, document = await daemon.readyz()
        assert (code, document["mode"]) == (200, "ready")
        await wait_for_posts(daemon, 6)
        await settle(daemon)

        async def is_measured() -> bool:
            found = await daemon.query(
                "SELECT 1 FROM posts p WHERE state = 'published' "
                "AND NOT EXISTS (SELECT FROM post_metrics WHERE post_id = p.id)"
            )
            return not found

        await wait_until(is_measured, "every post is measured", daemon.said)
        await wait_until(lambda: daemon.query("SELECT 1 FROM outcomes"), "something is learned", daemon.said)
        learning = (await daemon.status())["learning"]
        assert learning["outcomes"] >= 1
        assert {arm["dimension"] for arm in learning["arms"]} == {"topic", "format", "hour"}
        await drain(daemon)


async def test_a_paused_job_stays_paused_over_a_restart_and_goes_on_when_it_is_resumed(
    state_dir: Path,
) -> None:
    async with running(state_dir) as daemon:
        await daemon.wait_for_mode("ready")
        await wait_for_posts(daemon, 1)
        await daemon.ask("pause", job="posting")
        await check_that_posting_is_paused(daemon)
        family = daemon.family()
        daemon.interrupt_group()
        assert await daemon.ended() == 0
        assert living(family) == []
        assert processes_of(state_dir) == []
    async with running(state_dir) as daemon:
        await daemon.wait_for_mode("ready")
        await check_that_posting_is_paused(daemon)
        count = len(await daemon.ledger())
        await daemon.ask("resume", job="posting")
        await wait_for_posts(daemon, count + 2)
        await settle(daemon)


async def check_that_posting_is_paused(daemon: Daemon) -> None:
    """Posts come to be due and stay where they are, while other jobs go on."""
    await wait_for_state(daemon, "posting", "paused")
    before = await daemon.ledger()

    async def is_overdue() -> bool:
        now = (await daemon.status())["clock"]["now"]
        overdue = f"due_at < timestamptz '{now}' - interval '15 min'"  # posting runs every 5
        return bool(await daemon.query(f"SELECT 1 FROM posts WHERE state = 'queued' AND {overdue}"))

    await wait_until(is_overdue, "a post is overdue", daemon.said)
    await wait_for_runs(daemon, "plan", 2)
    assert await daemon.ledger() == before


# ── its end ─────────────────────────────────────────────────────────────────────────────────────


async def test_it_waits_for_what_runs_and_a_second_signal_hurries_it(state_dir: Path) -> None:
    async with running(state_dir) as daemon:
        await daemon.wait_for_mode("ready")
        await daemon.set_faults(slow_s={"seconds": 2 * PATIENCE_S, "path": "/compose"})
        await wait_for_state(daemon, "posting", "running")
        family = daemon.family()
        daemon.signal(signal.SIGTERM)
        await daemon.wait_for_mode("draining")
        assert (await daemon.job("posting"))["state"] == "running"
        assert (await daemon.readyz())[0] == 503
        daemon.signal(signal.SIGTERM)
        assert await daemon.ended() == 0
        assert living(family) == []
        assert processes_of(state_dir) == []
    async with aio.open_bridge(), open_embedded(state_dir / "postgres"):
        found = await daemon.query("SELECT DISTINCT state, counted_on FROM posts WHERE in_reply_to IS NULL")
        assert found == [{"state": "queued", "counted_on": None}]


async def test_sign_ins_that_could_not_be_stored_in_time_are_stored_at_the_end(state_dir: Path) -> None:
    async with running(state_dir) as daemon:
        await daemon.wait_for_mode("ready")
        await wait_for_posts(daemon, 1)
        await daemon.query("ALTER TABLE sessions ADD CONSTRAINT full_disk CHECK (false) NOT VALID")
        await daemon.sign_out_everyone()
        await wait_for_posts(daemon, len(await daemon.ledger()) + 1)  # so somebody has signed in again
        await daemon.ask("pause")

        async def is_quiet() -> bool:
            return all(job["state"] != "running" for job in (await daemon.status())["jobs"])

        await wait_until(is_quiet, "no job runs", daemon.said)
        await daemon.query("ALTER TABLE sessions DROP CONSTRAINT full_disk")
        before = await daemon.query("SELECT account, state FROM sessions ORDER BY account")
        await drain(daemon)
    async with aio.open_bridge(), open_embedded(state_dir / "postgres"):
        assert await daemon.query("SELECT account, state FROM sessions ORDER BY account") != before


async def test_after_kill_9_nothing_is_left_and_the_next_start_goes_on(state_dir: Path) -> None:
    count = 0
    for _ in range(2):
        async with running(state_dir) as daemon:
            await daemon.wait_for_mode("ready")
            await wait_for_posts(daemon, count + 2)
            count = len(await daemon.ledger())
            await wait_for_state(daemon, "posting", "running")
            await kill(daemon)
    async with running(state_dir) as daemon:
        await daemon.wait_for_mode("ready")
        await wait_for_posts(daemon, count + 1)
        await settle(daemon)


async def kill(daemon: Daemon) -> None:
    """`kill -9`; whatever belongs to it must end by itself."""
    family = daemon.family()
    names = " ".join(living(family))
    assert all(name in names for name in ("postgres", "node", "chrom", "python")), names
    daemon.signal(signal.SIGKILL)
    await daemon.ended()

    async def is_gone() -> bool:
        return not living(family) and not processes_of(daemon.state_dir)

    await wait_until(is_gone, "nothing is left", lambda: processes_of(daemon.state_dir), patience_s=10)


# ── a site in trouble ───────────────────────────────────────────────────────────────────────────


async def test_a_site_in_trouble_costs_no_post_and_doubles_none(state_dir: Path) -> None:
    """Each fault strikes a press of the button: once with the post accepted behind it, once not."""
    press = {"path": "/compose", "method": "POST", "times": 1}
    page = {"path": "/", "method": "GET", "times": 2}
    async with running(state_dir) as daemon:
        await daemon.wait_for_mode("ready")
        await daemon.set_faults(
            slow_s={"seconds": 1, "times": 3},
            rate_limit_429={**press, "seconds": 1},
            error_500={**press, "processed": True},
            garbage={**press, "processed": True},
            drop_answer={**press, "processed": True},
        )
        await wait_until_struck(daemon)
        await daemon.set_faults(error_500=press, garbage=press, drop_answer={**press, "processed": False})
        await wait_until_struck(daemon)
        await daemon.sign_out_everyone()
        await daemon.set_faults(
            rate_limit_429={**page, "seconds": 1},
            error_500=page,
            garbage=page,
            drop_answer={**page, "processed": False},
        )
        await wait_until_struck(daemon)
        await settle(daemon)


async def wait_until_struck(daemon: Daemon) -> None:
    async def are_used_up() -> bool:
        await daemon.ledger()  # which checks that nothing is doubled
        return await daemon.faults_left() == 0

    await wait_until(are_used_up, "every fault has struck", daemon.said, patience_s=2 * PATIENCE_S)


# ── a browser that is missing ───────────────────────────────────────────────────────────────────


async def test_without_a_browser_it_is_degraded_and_recovers_when_there_is_one(state_dir: Path) -> None:
    browser = state_dir / "chromium"
    environment = {"ORCHESTRATOR_BROWSER__EXECUTABLE": str(browser), "ORCHESTRATOR_GATE__ATTEMPTS": "1"}
    async with running(state_dir, environment=environment) as daemon:
        await daemon.wait_for_mode("degraded")
        code, document = await daemon.readyz()
        [check] = [check for check in document["checks"] if check["state"] == "down"]
        assert (code, check["name"]) == (503, "browser")
        assert str(browser) in check["detail"]
        assert check["remedy"]
        assert "browser" in (await daemon.status())["summary"]
        lines = (await daemon.ask("why", job="posting"))["lines"]
        assert "browser" in " ".join(lines)
        await trio.Path(browser).symlink_to(find_browser(None).path)
        await daemon.wait_for_mode("ready")
        await wait_for_posts(daemon, 1)
        await drain(daemon)
