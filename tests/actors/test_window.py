"""Posting windows, and the jobs that are not started in one."""

from datetime import datetime, timedelta

import pytest
import trio

from orchestrator.actors.actor import ActorState
from orchestrator.actors.mailbox import Kind, Wake
from orchestrator.actors.window import PostingWindow, PostingWindows
from orchestrator.errors import SiteUnavailableError
from orchestrator.model import Outcome, done
from orchestrator.retry import RetryRule
from tests.fakes import NOON, Highest, Stage, Work, a_job, a_stage, settle

MINUTE_S = 60.0
HOUR_S = 3600.0
DAY_S = 86_400.0
MINUTE = timedelta(minutes=1)


def event(stage: Stage, reason: str = "posting is done") -> None:
    stage.actor.mailbox.put(Wake(Kind.EVENT, reason))


# ── when one is open ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("now", "is_open"),
    [
        (NOON - 2.1 * MINUTE, False),
        (NOON - 2 * MINUTE, True),
        (NOON, True),
        (NOON + 9.9 * MINUTE, True),
        (NOON + 10 * MINUTE, False),
    ],
)
def test_a_window_is_open_from_2_min_before_the_due_time_to_10_min_after_it(
    now: datetime, is_open: bool
) -> None:
    windows = PostingWindows()
    windows.expect([NOON])
    assert windows.open_at(now) == (PostingWindow(NOON) if is_open else None)
    assert PostingWindow(NOON).until == NOON + 10 * MINUTE


def test_without_posts_no_window_is_open() -> None:
    assert PostingWindows().open_at(NOON) is None


def test_a_window_closes_when_its_post_is_out() -> None:
    windows = PostingWindows()
    windows.expect([NOON, NOON + 60 * MINUTE])
    windows.expect([NOON + 60 * MINUTE])
    assert windows.open_at(NOON) is None
    assert windows.open_at(NOON + 59 * MINUTE) is not None


def test_of_windows_that_overlap_the_one_that_closes_last_counts() -> None:
    windows = PostingWindows()
    windows.expect([NOON + 5 * MINUTE, NOON, NOON + 30 * MINUTE])
    assert windows.open_at(NOON + 4 * MINUTE) == PostingWindow(NOON + 5 * MINUTE)


# ── the jobs ────────────────────────────────────────────────────────────────────────────────────


async def test_a_job_that_is_not_for_windows_waits_for_the_end_and_then_runs_once(
    autojump_clock: object,
) -> None:
    work = Work()
    async with a_stage([a_job(work=work, not_in_window=True)]) as stage:
        stage.windows.expect([NOON + 61 * MINUTE])
        await trio.sleep(65 * MINUTE_S)
        assert work.runs == []
        assert stage.state() is ActorState.WAITING
        assert stage.actor.detail == (
            "until 13:11:00 UTC at the latest, because a post is due at 13:01:00 UTC"
        )
        assert stage.actor.next_at == NOON + 71 * MINUTE
        await trio.sleep(30 * MINUTE_S)
    assert work.at == [71 * MINUTE_S]


async def test_it_runs_as_soon_as_the_post_is_published(autojump_clock: object) -> None:
    async def publish() -> Outcome:
        stage.windows.expect([])
        return done()

    work, posting = Work(), Work([publish])
    jobs = [a_job("metrics_scraper", work, not_in_window=True), a_job("posting", posting, every_s=DAY_S)]
    async with a_stage(jobs) as stage:
        stage.windows.expect([NOON + 61 * MINUTE])
        await trio.sleep(61 * MINUTE_S)
        assert work.runs == []
        stage.supervisor.run_now("posting", "alice")
        await settle()
        assert len(work.runs) == 1


async def test_other_jobs_run_in_a_window(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work)]) as stage:
        stage.windows.expect([NOON + 61 * MINUTE])
        await trio.sleep(1.1 * HOUR_S)
    assert work.at == [HOUR_S]


async def test_a_wake_in_a_window_is_kept_until_its_end(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work, not_in_window=True)]) as stage:
        stage.windows.expect([NOON])
        event(stage, "posting is done")
        event(stage, "another one")
        await trio.sleep(15 * MINUTE_S)
    assert (work.at, work.triggers) == ([10 * MINUTE_S], ["posting is done"])


async def test_what_an_operator_asks_for_runs_in_a_window(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work, not_in_window=True)]) as stage:
        stage.windows.expect([NOON])
        event(stage)
        await settle()
        stage.supervisor.run_now("plan", "alice")
        await trio.sleep(20 * MINUTE_S)
    assert work.triggers == ["asked by alice"]  # which answers the event, too


async def test_windows_back_to_back_postpone_no_job_beyond_its_interval_and_a_half(
    autojump_clock: object,
) -> None:
    work = Work()
    async with a_stage([a_job(work=work, not_in_window=True)]) as stage:
        stage.windows.expect(NOON + n * 5 * MINUTE for n in range(1000))
        await trio.sleep(5 * HOUR_S)
    assert work.at == [1.5 * HOUR_S, 3 * HOUR_S, 4.5 * HOUR_S]


async def test_a_job_that_never_ran_is_not_postponed_for_ever_either(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work, not_in_window=True)]) as stage:
        stage.actor.history.last_start = None
        stage.windows.expect(NOON + n * 5 * MINUTE for n in range(1000))
        event(stage)
        await trio.sleep(2 * HOUR_S)
    assert work.at == [1.5 * HOUR_S]


async def test_a_run_under_way_goes_on_when_a_window_opens(autojump_clock: object) -> None:
    work = Work(is_held=True)
    async with a_stage([a_job(work=work, not_in_window=True)]) as stage:
        event(stage)
        await settle()
        stage.windows.expect([NOON])
        await trio.sleep(5 * MINUTE_S)
        assert work.under_way == 1


async def test_a_retry_that_falls_into_a_window_waits_for_its_end(autojump_clock: object) -> None:
    work = Work([SiteUnavailableError("no answer")])
    job = a_job(work=work, not_in_window=True, retry=RetryRule(3, 60.0))
    async with a_stage([job], rng=Highest()) as stage:
        event(stage)
        await settle()
        stage.windows.expect([NOON + 2 * MINUTE])
        await trio.sleep(20 * MINUTE_S)
    assert work.at == [0, 12 * MINUTE_S]


async def test_a_pause_in_a_window_holds_and_resume_makes_up_for_the_run(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work, not_in_window=True)]) as stage:
        stage.windows.expect([NOON])
        event(stage)
        await settle()
        stage.supervisor.pause("plan")
        await trio.sleep(30 * MINUTE_S)
        assert stage.state() is ActorState.PAUSED
        assert work.runs == []
        stage.supervisor.resume("plan")
        await settle()
    assert work.at == [30 * MINUTE_S]


async def test_a_drain_ends_a_job_that_waits_for_a_window(autojump_clock: object) -> None:
    async with a_stage([a_job(not_in_window=True)]) as stage:
        stage.windows.expect([NOON])
        event(stage)
        await settle()
        stage.supervisor.drain()
        await settle()
        assert stage.is_over


async def test_windows_are_of_the_faster_wall_clock(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work, not_in_window=True)], speed=60) as stage:
        stage.windows.expect([NOON])
        event(stage)
        await trio.sleep(20)
    assert work.at == [pytest.approx(10)]


async def test_a_clock_put_forward_past_a_window_ends_the_wait(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work, not_in_window=True)]) as stage:
        stage.windows.expect([NOON])
        event(stage)
        await settle()
        stage.wall.jump(20 * MINUTE_S)
        await trio.sleep(15)
    assert work.at == [10.0]


async def test_a_run_that_an_operator_wants_during_a_back_off_is_one_that_was_asked_for(
    autojump_clock: object,
) -> None:
    """So no window holds it up; its retries are asked for too, but begun by its own failure."""
    work = Work([SiteUnavailableError("no answer")] * 2)
    job = a_job(work=work, not_in_window=True, retry=RetryRule(3, 300.0))
    async with a_stage([job], rng=Highest()) as stage:
        event(stage)
        await settle()
        await trio.sleep(1)
        stage.windows.expect([stage.clock.now()])
        stage.supervisor.run_now("plan", "alice")
        await trio.sleep(MINUTE_S)
        assert work.triggers[1:] == ["asked by alice"]
        await trio.sleep(10 * MINUTE_S)
    assert [run.is_asked for run in work.runs] == [False, True, True]
    assert [run.is_retry for run in work.runs] == [False, False, True]
