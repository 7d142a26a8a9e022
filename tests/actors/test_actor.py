"""When a job runs, whether it may, and how each run ends; restarts after a crash are the supervisor's."""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import trio
import trio.testing
from structlog.contextvars import get_contextvars
from structlog.typing import EventDict

from orchestrator.actors.actor import STUCK_S, ActorState, Beat
from orchestrator.actors.attempt import RECORD_PATIENCE_S
from orchestrator.actors.history import History, LastRun
from orchestrator.actors.job import Run
from orchestrator.actors.mailbox import Kind, Wake
from orchestrator.actors.schedule import stagger_s
from orchestrator.actors.supervisor import RestartRule
from orchestrator.actors.watch import LOOK_EVERY_S
from orchestrator.errors import (
    BrowserError,
    ContextBrokenError,
    Failure,
    LeaseEndedError,
    OrchestratorError,
    PageUnexpectedError,
    PostRefusedError,
    SiteRateLimitedError,
    SiteUnavailableError,
)
from orchestrator.model import Ending, Outcome, done, nothing_to_do, over_budget
from orchestrator.retry import FREE_TRIES, RetryRule
from tests.fakes import NOON, Highest, Stage, Step, Work, a_job, a_stage, settle

HOUR_S = 3600.0
DAY_S = 86_400.0
BERLIN = ZoneInfo("Europe/Berlin")


class SpentError(OrchestratorError):
    """Stands for any spent budget."""

    failure = Failure.BUDGET


def event(stage: Stage, reason: str = "something happened") -> None:
    stage.actor.mailbox.put(Wake(Kind.EVENT, reason))


# ── when ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_job_runs_once_in_each_interval(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work)]):
        await trio.sleep(3.5 * HOUR_S)
    assert work.at == [HOUR_S, 2 * HOUR_S, 3 * HOUR_S]
    assert set(work.triggers) == {"schedule"}


async def test_an_interval_counts_from_the_start_of_the_last_run_not_from_its_end(
    autojump_clock: object,
) -> None:
    async def slow() -> Outcome:
        await trio.sleep(600)
        return done()

    work = Work([slow, slow])
    async with a_stage([a_job(work=work, max_run_s=900)]):
        await trio.sleep(2.5 * HOUR_S)
    assert work.gaps_s == [HOUR_S]


async def test_what_is_overdue_at_start_runs_once_after_its_stagger(autojump_clock: object) -> None:
    work = Work()
    job = a_job(work=work)
    async with a_stage([job], is_overdue=True):
        await trio.sleep(0.9 * HOUR_S)
    assert work.at == pytest.approx([stagger_s(job)], abs=1e-3)


async def test_a_daily_job_runs_at_its_time(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work, daily_at=time(3, tzinfo=UTC))]):
        await trio.sleep(2 * DAY_S)
    assert work.at == [15 * HOUR_S, 39 * HOUR_S]  # from noon


async def test_a_daily_job_runs_once_on_the_day_of_twenty_five_hours(autojump_clock: object) -> None:
    work = Work()
    start = datetime(2026, 10, 24, 0, 30, tzinfo=BERLIN)
    async with a_stage([a_job(work=work, daily_at=time(3, tzinfo=BERLIN))], start=start):
        await trio.sleep(2 * DAY_S)
    assert work.gaps_s == [25 * HOUR_S]


async def test_a_wake_runs_the_job_at_once_and_says_why(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work)]) as stage:
        event(stage, "plan is done")
        await settle()
    assert work.triggers == ["plan is done"]


async def test_a_woken_run_begins_a_new_interval(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work)]) as stage:
        await trio.sleep(0.5 * HOUR_S)
        event(stage)
        await trio.sleep(1.2 * HOUR_S)
    assert work.at == [0.5 * HOUR_S, 1.5 * HOUR_S]


async def test_wakes_that_come_during_a_run_are_answered_by_one_more_run(autojump_clock: object) -> None:
    work = Work(is_held=True)
    async with a_stage([a_job(work=work)]) as stage:
        event(stage, "first")
        await settle()
        for number in range(100):
            event(stage, f"during {number}")
            stage.actor.mailbox.put(Wake(Kind.POKE))
            await settle()
        assert len(work.runs) == 1
        work.is_held = False
        work.release()
        await settle()
    assert work.triggers == ["first", "during 0"]


async def test_there_are_never_two_runs_of_a_job_at_once(autojump_clock: object) -> None:
    async def slow() -> Outcome:
        await trio.sleep(0.25 * HOUR_S)
        return done()

    work = Work([slow] * 5)
    async with a_stage([a_job(work=work, max_run_s=0.5 * HOUR_S)]) as stage:
        for _ in range(50):
            await trio.sleep(0.0125 * HOUR_S)
            event(stage)
            stage.supervisor.run_now("plan", "alice")
            stage.supervisor.pause(None)
            stage.supervisor.resume(None)
    assert len(work.runs) == 3
    assert work.most_at_once == 1


# ── the wall clock ──────────────────────────────────────────────────────────────────────────────


async def test_a_machine_that_slept_for_days_makes_up_with_exactly_one_run(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work)]) as stage:
        await trio.sleep(600)
        stage.wall.jump(3 * DAY_S)
        await trio.sleep(LOOK_EVERY_S + 1)
        assert len(work.runs) == 1
        await trio.sleep(0.9 * HOUR_S)
    assert len(work.runs) == 1


async def test_a_clock_put_forward_a_day_gives_exactly_one_run(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work, daily_at=time(3, tzinfo=UTC))]) as stage:
        stage.wall.jump(DAY_S)
        await trio.sleep(HOUR_S)
    assert len(work.runs) == 1


@pytest.mark.parametrize("back_s", [60.0, HOUR_S, DAY_S])
async def test_a_clock_put_back_neither_prolongs_an_interval_nor_shortens_it(
    back_s: float, autojump_clock: object
) -> None:
    work = Work()
    async with a_stage([a_job(work=work)]) as stage:
        await trio.sleep(1.5 * HOUR_S)
        stage.wall.jump(-back_s)
        await trio.sleep(2 * HOUR_S)
    assert len(work.runs) == 3
    gaps = [after - before for before, after in pairwise(work.at)]
    assert all(0.94 * HOUR_S < gap < 1.01 * HOUR_S for gap in gaps), gaps


@pytest.mark.parametrize("back_s", [60.0, 2 * HOUR_S, DAY_S])
async def test_a_clock_put_back_over_a_daily_time_gives_that_time_no_second_run(
    back_s: float, autojump_clock: object
) -> None:
    work = Work()
    async with a_stage([a_job(work=work, daily_at=time(3, tzinfo=UTC))]) as stage:
        await trio.sleep(16 * HOUR_S)
        assert work.at == [15 * HOUR_S]
        stage.wall.jump(-back_s)
        await trio.sleep(23.5 * HOUR_S + back_s)
    assert work.at == [15 * HOUR_S, 39 * HOUR_S + back_s]


async def test_a_clock_put_back_before_a_daily_time_lets_it_come_when_it_is_shown(
    autojump_clock: object,
) -> None:
    work = Work()
    async with a_stage([a_job(work=work, daily_at=time(3, tzinfo=UTC))]) as stage:
        await trio.sleep(14.5 * HOUR_S)
        stage.wall.jump(-HOUR_S)
        await trio.sleep(12 * HOUR_S)
    assert work.at == [16 * HOUR_S]


async def test_a_clock_that_was_years_ahead_stops_no_daily_job(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work, daily_at=time(3, tzinfo=UTC))]) as stage:
        stage.wall.jump(3000 * DAY_S)
        await trio.sleep(60)
        assert len(work.runs) == 1  # what it seemed to have missed
        stage.wall.jump(-3000 * DAY_S)
        await trio.sleep(15.5 * HOUR_S)
    assert work.at[1:] == [15 * HOUR_S]


async def test_a_machine_that_sleeps_over_a_daily_time_runs_it_once_at_wake_up(
    autojump_clock: object,
) -> None:
    work = Work()
    async with a_stage([a_job(work=work, daily_at=time(3, tzinfo=UTC))]) as stage:
        for _ in range(5):
            stage.wall.jump(DAY_S)
            await trio.sleep(LOOK_EVERY_S + 1)
    assert len(work.runs) == 5


async def test_a_machine_that_sleeps_through_a_back_off_retries_when_it_is_awake_for_as_long(
    autojump_clock: object,
) -> None:
    work = Work([SiteUnavailableError("no answer")])
    async with a_stage([a_job(work=work, retry=RetryRule(3, 60.0))], rng=Highest()) as stage:
        event(stage)
        await settle()
        stage.wall.jump(DAY_S)
        await trio.sleep(600)
    assert work.at == [0, 60]


@pytest.mark.parametrize(
    ("start", "runs"),
    [
        (datetime(2026, 3, 28, 0, 30, tzinfo=BERLIN), [2, 26, 49]),  # 02:30 is skipped: it is 03:30
        (datetime(2026, 10, 24, 0, 30, tzinfo=BERLIN), [2, 26, 51]),  # 02:30 comes twice: the first one
    ],
)
async def test_a_daily_job_runs_once_a_day_when_its_time_is_skipped_or_comes_twice(
    start: datetime, runs: list[int], autojump_clock: object
) -> None:
    work = Work()
    async with a_stage([a_job(work=work, daily_at=time(2, 30, tzinfo=BERLIN))], start=start):
        await trio.sleep(2.5 * DAY_S)
    assert work.at == [hours * HOUR_S for hours in runs]


async def test_whatever_the_clock_does_a_daily_time_never_has_two_runs(autojump_clock: object) -> None:
    rng, work = Random(11), Work()
    async with a_stage([a_job(work=work, daily_at=time(3, tzinfo=UTC))]) as stage:
        for _ in range(200):
            stage.wall.jump(rng.choice([0, 60, HOUR_S, DAY_S, -60, -HOUR_S, -3 * HOUR_S]))
            await trio.sleep(rng.uniform(60, 3 * HOUR_S))
        slots = [(shown - timedelta(hours=3)).date() for shown in stage.run_log.started_at]
    assert len(slots) > 20
    assert len(set(slots)) == len(slots)


async def test_a_faster_clock_shortens_the_waits(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work)], speed=60):
        await trio.sleep(150)
    assert work.at == pytest.approx([60, 120], abs=1e-3)


# ── pause, resume, run ──────────────────────────────────────────────────────────────────────────


async def test_a_paused_job_starts_no_run(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work)]) as stage:
        stage.supervisor.pause("plan")
        event(stage)
        await trio.sleep(5 * HOUR_S)
        assert stage.state() is ActorState.PAUSED
    assert work.runs == []


async def test_a_pause_does_not_end_the_run_under_way(autojump_clock: object) -> None:
    work = Work(is_held=True)
    async with a_stage([a_job(work=work)]) as stage:
        event(stage)
        await settle()
        stage.supervisor.pause("plan")
        await settle()
        assert work.under_way == 1
        assert stage.state() is ActorState.RUNNING
        work.release()
        await settle()
        assert stage.endings == [Ending.DONE]
        assert stage.state() is ActorState.PAUSED


async def test_resume_makes_up_for_all_missed_runs_with_exactly_one(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work)]) as stage:
        stage.supervisor.pause("plan")
        await trio.sleep(5.5 * HOUR_S)
        stage.supervisor.resume("plan")
        await trio.sleep(0.9 * HOUR_S)
    assert work.at == [5.5 * HOUR_S]


async def test_resume_runs_nothing_when_nothing_was_missed(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work)]) as stage:
        stage.supervisor.pause("plan")
        await trio.sleep(60)
        stage.supervisor.resume("plan")
        await settle()
        assert stage.state() is ActorState.WAITING
    assert work.runs == []


async def test_a_wake_during_a_pause_is_made_up_for_at_resume(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work)]) as stage:
        stage.supervisor.pause("plan")
        await settle()
        for _ in range(3):
            event(stage)
            await settle()
        stage.supervisor.resume("plan")
        await settle()
    assert len(work.runs) == 1


async def test_a_resume_that_meets_a_wake_loses_neither(autojump_clock: object) -> None:
    work = Work(is_held=True)
    async with a_stage([a_job(work=work)]) as stage:
        event(stage)
        await settle()
        stage.supervisor.pause("plan")
        stage.supervisor.resume("plan")  # its poke lies in the mailbox when the wake comes
        event(stage, "plan is done")
        work.is_held = False
        work.release()
        await settle()
    assert work.triggers[1:] == ["plan is done"]


async def test_what_an_operator_asks_for_runs_while_paused(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work)]) as stage:
        stage.supervisor.pause("plan")
        await settle()
        stage.supervisor.run_now("plan", "alice")
        await settle()
        assert stage.state() is ActorState.PAUSED
    assert work.triggers == ["asked by alice"]


async def test_what_an_operator_asks_for_in_the_breath_of_the_pause_runs_too(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work)]) as stage:
        event(stage)
        stage.supervisor.pause("plan")
        stage.supervisor.run_now("plan", "alice")
        await settle()
    assert work.triggers == ["asked by alice"]


async def test_what_an_operator_asks_for_while_paused_gets_its_retries(autojump_clock: object) -> None:
    work = Work([SiteUnavailableError("no answer")])
    async with a_stage([a_job(work=work)], rng=Highest()) as stage:
        stage.supervisor.pause("plan")
        stage.supervisor.run_now("plan", "alice")
        await trio.sleep(10)
        assert stage.endings == [Ending.RETRY, Ending.DONE]


async def test_a_pause_during_the_back_off_ends_it_and_resume_makes_up_for_the_retry(
    autojump_clock: object,
) -> None:
    work = Work([SiteUnavailableError("no answer")])
    async with a_stage([a_job(work=work, retry=RetryRule(3, 60.0))], rng=Highest()) as stage:
        event(stage)
        await settle()
        stage.supervisor.pause("plan")
        await settle()
        assert stage.state() is ActorState.PAUSED
        await trio.sleep(600)
        assert len(work.runs) == 1
        stage.supervisor.resume("plan")
        await trio.sleep(60)
    assert len(work.runs) == 2


async def test_an_operator_ends_the_back_off_by_asking_for_a_run(autojump_clock: object) -> None:
    work = Work([SiteUnavailableError("no answer")])
    async with a_stage([a_job(work=work, retry=RetryRule(3, 60.0))], rng=Highest()) as stage:
        event(stage)
        await settle()
        event(stage)
        await trio.sleep(5)
        assert len(work.runs) == 1  # an event is answered by the retry
        stage.supervisor.run_now("plan", "alice")
        await settle()
    assert work.at == [0, 5]


# ── endings and retries ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "outcome", [done("3 posts", posts=3), nothing_to_do("no post"), over_budget("spent")]
)
async def test_an_ending_that_is_no_failure_is_noted_recorded_and_not_retried(
    outcome: Outcome, autojump_clock: object
) -> None:
    work = Work([outcome])
    async with a_stage([a_job(work=work)]) as stage:
        event(stage)
        await trio.sleep(600)
        assert [entry[1] for entry in stage.ended] == [outcome]
        assert stage.run_log.finished == {1: (outcome, NOON)}
        history = stage.actor.history
        assert history.last is not None
        assert history.last.outcome == outcome
        is_success = outcome.ending is not Ending.OVER_BUDGET
        assert history.last_success_at == (NOON if is_success else None)


async def test_a_transient_failure_is_retried_by_the_rule_and_then_given_up(autojump_clock: object) -> None:
    work = Work([SiteUnavailableError("no answer", remedy="Wait.")] * 10)
    rng = Highest()
    async with a_stage([a_job(work=work)], rng=rng) as stage:
        rng.draws.clear()
        event(stage)
        await trio.sleep(0.5 * HOUR_S)
        assert stage.endings == [Ending.RETRY, Ending.RETRY, Ending.RETRY, Ending.GIVEN_UP]
        assert stage.ended[-1][1].detail == "no answer. Wait."
    assert work.gaps_s == [2, 4, 8]  # A2.4
    assert rng.draws[:3] == [(0, 2), (0, 4), (0, 8)]  # full jitter
    assert [run.attempt for run in work.runs] == [1, 2, 3, 4]


async def test_a_retry_that_works_ends_the_retries(autojump_clock: object) -> None:
    work = Work([SiteUnavailableError("no answer"), done()])
    async with a_stage([a_job(work=work)], rng=Highest()) as stage:
        event(stage)
        await trio.sleep(60)
        assert stage.endings == [Ending.RETRY, Ending.DONE]


async def test_the_next_turn_has_all_its_tries_again(autojump_clock: object) -> None:
    work = Work([SiteUnavailableError("no answer")] * 8)
    async with a_stage([a_job(work=work)]) as stage:
        event(stage)
        await trio.sleep(1.5 * HOUR_S)
        assert stage.endings == ([Ending.RETRY] * 3 + [Ending.GIVEN_UP]) * 2


async def test_a_failure_for_good_is_not_retried(autojump_clock: object) -> None:
    work = Work([PostRefusedError("the site says no")])
    async with a_stage([a_job(work=work)]) as stage:
        event(stage)
        await trio.sleep(600)
        assert stage.endings == [Ending.GIVEN_UP]


async def test_a_spent_budget_is_not_retried(autojump_clock: object) -> None:
    work = Work([SpentError("the budget is spent")])
    async with a_stage([a_job(work=work)]) as stage:
        event(stage)
        await trio.sleep(600)
        assert stage.endings == [Ending.OVER_BUDGET]


@pytest.mark.parametrize("error", [ContextBrokenError("the browser died"), LeaseEndedError("called back")])
async def test_a_failure_that_the_run_is_not_to_blame_for_costs_no_try(
    error: OrchestratorError, autojump_clock: object
) -> None:
    work = Work([error] * FREE_TRIES)
    async with a_stage([a_job(work=work, retry=RetryRule(0, 1.0))], rng=Highest()) as stage:
        event(stage)
        await trio.sleep(600)
        assert stage.endings == [Ending.RETRY] * FREE_TRIES + [Ending.DONE]
    assert {run.attempt for run in work.runs} == {1}


async def test_a_browser_that_breaks_for_ever_is_given_up_in_the_end(autojump_clock: object) -> None:
    work = Work([ContextBrokenError("the browser died")] * 100)
    async with a_stage([a_job(work=work)], rng=Highest()) as stage:
        event(stage)
        await trio.sleep(0.9 * HOUR_S)
        assert stage.endings == [Ending.RETRY] * (FREE_TRIES + 3) + [Ending.GIVEN_UP]


async def test_the_last_try_too_may_break_without_cost(autojump_clock: object) -> None:
    work = Work([SiteUnavailableError("no answer")] * 3 + [ContextBrokenError("the browser died")])
    async with a_stage([a_job(work=work)]) as stage:
        event(stage)
        await trio.sleep(600)
        assert stage.endings == [Ending.RETRY] * 4 + [Ending.DONE]


async def test_work_that_says_retry_for_ever_is_given_up_by_the_rule(autojump_clock: object) -> None:
    work = Work([Outcome(Ending.RETRY, "not yet")] * 100)
    async with a_stage([a_job(work=work)]) as stage:
        event(stage)
        await trio.sleep(600)
        assert stage.endings == [Ending.RETRY] * 3 + [Ending.GIVEN_UP]
        assert stage.ended[-1][1].detail == "not yet"


async def test_a_site_that_asks_for_patience_gets_it(autojump_clock: object) -> None:
    work = Work([SiteRateLimitedError("slower, please", retry_in_s=45)])
    async with a_stage([a_job(work=work)]) as stage:
        event(stage)
        await trio.sleep(600)
    assert work.gaps_s == [45]


async def test_a_site_that_asks_for_more_patience_than_a_retry_has_gets_it_until_the_next_turn(
    autojump_clock: object,
) -> None:
    work = Work([SiteRateLimitedError("slower, please", retry_in_s=3000)])
    async with a_stage([a_job(work=work, every_s=HOUR_S)]) as stage:
        event(stage)
        await trio.sleep(3000)
        assert stage.endings == [Ending.OVER_BUDGET]


async def test_a_group_of_failures_is_judged_by_the_gravest(autojump_clock: object) -> None:
    passing, final = PageUnexpectedError("no button"), PostRefusedError("the site says no")
    work = Work(
        [
            ExceptionGroup("both", [passing, ExceptionGroup("inner", [passing])]),
            ExceptionGroup("both", [passing, ExceptionGroup("inner", [final])]),
        ]
    )
    async with a_stage([a_job(work=work)]) as stage:
        event(stage)
        await trio.sleep(600)
        assert stage.endings == [Ending.RETRY, Ending.GIVEN_UP]
        assert stage.ended[-1][1].detail == "the site says no"


# ── limits and endings from outside ─────────────────────────────────────────────────────────────


async def test_a_run_that_takes_too_long_is_stopped(autojump_clock: object) -> None:
    async def for_ever() -> Outcome:
        await trio.sleep_forever()
        raise AssertionError

    work = Work([for_ever])
    async with a_stage([a_job(work=work, max_run_s=90)]) as stage:
        event(stage)
        await trio.sleep(91)
        _, outcome, duration_s = stage.ended[0]
        assert (outcome.ending, outcome.detail, duration_s) == (Ending.GIVEN_UP, "stopped after 90 s", 90)
        assert stage.state() is ActorState.WAITING
        assert stage.run_log.endings == [Ending.GIVEN_UP]
    assert work.under_way == 0


async def test_an_error_in_the_clean_up_of_a_stopped_run_changes_nothing(autojump_clock: object) -> None:
    async def fails_when_stopped() -> Outcome:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise SiteUnavailableError("no answer to the good-bye")
        raise AssertionError

    work = Work([fails_when_stopped])
    async with a_stage([a_job(work=work, max_run_s=90)]) as stage:
        event(stage)
        await trio.sleep(600)
        assert [outcome.detail for _, outcome, _ in stage.ended] == ["stopped after 90 s"]


async def interrupt(stage_of: Callable[[Stage], None], work: Work) -> tuple[Stage, float]:
    """Cancel the daemon in the middle of a run; the stage, and how long the end took."""
    async with a_stage([a_job(work=work)]) as stage:
        event(stage)
        await settle()
        stage_of(stage)
        start = trio.current_time()
    return stage, trio.current_time() - start


async def test_a_run_that_is_interrupted_is_recorded_while_the_daemon_is_cancelled(
    autojump_clock: object,
) -> None:
    stage, took_s = await interrupt(lambda stage: None, Work(is_held=True))
    assert stage.run_log.endings == [Ending.INTERRUPTED]
    assert stage.endings == [Ending.INTERRUPTED]
    assert took_s == 0


async def test_a_database_that_hangs_delays_the_end_by_no_more_than_the_patience(
    logs: list[EventDict], autojump_clock: object
) -> None:
    stage, took_s = await interrupt(lambda stage: setattr(stage.run_log, "hangs", True), Work(is_held=True))
    assert took_s == RECORD_PATIENCE_S
    assert stage.endings == [Ending.INTERRUPTED]
    assert "run_end_not_recorded" in [entry["event"] for entry in logs]


async def test_an_error_that_comes_with_the_cancellation_does_not_hide_it(autojump_clock: object) -> None:
    async def fails_when_cancelled() -> Outcome:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise BrowserError("the browser is gone as well")
        raise AssertionError

    stage, _ = await interrupt(lambda stage: None, Work([fails_when_cancelled]))
    assert stage.run_log.endings == [Ending.INTERRUPTED]


async def test_a_waiting_paused_or_backing_off_actor_can_be_cancelled(autojump_clock: object) -> None:
    jobs = [a_job("waiting"), a_job("paused"), a_job("backing", Work([SiteUnavailableError("no answer")]))]
    async with a_stage(jobs, rng=Highest()) as stage:
        stage.supervisor.pause("paused")
        stage.supervisor.run_now("backing", "alice")
        await settle()
        states = [actor.state for actor in stage.supervisor.actors.values()]
        assert states == [ActorState.WAITING, ActorState.PAUSED, ActorState.BACKING_OFF]
    assert trio.current_time() == 0
    assert not stage.is_over


async def test_a_database_that_is_down_costs_the_record_not_the_run(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work)]) as stage:
        stage.run_log.is_down = True
        event(stage)
        await settle()
        assert stage.endings == [Ending.DONE]
        stage.run_log.is_down = False
        event(stage)
        await settle()
        assert stage.run_log.endings == [Ending.DONE]
    assert len(work.runs) == 2


async def test_a_database_that_goes_down_during_a_run_costs_its_end_only(autojump_clock: object) -> None:
    work = Work(is_held=True)
    async with a_stage([a_job(work=work)]) as stage:
        event(stage)
        await settle()
        stage.run_log.is_down = True
        work.release()
        await settle()
        assert (len(stage.run_log.begun), stage.run_log.finished) == (1, {})
        assert stage.actor.history.endings == {Ending.DONE: 1}
        assert stage.state() is ActorState.WAITING


async def test_a_job_that_may_not_run_is_skipped_with_the_reason(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work)]) as stage:
        stage.reasons["plan"] = "the database is down: no answer"
        event(stage)
        await settle()
        assert [outcome.ending for _, outcome, _ in stage.ended] == [Ending.SKIPPED]
        assert stage.ended[0][1].detail == "the database is down: no answer"
        assert work.runs == []
        del stage.reasons["plan"]
        await trio.sleep(1.5 * HOUR_S)
    assert work.at == [HOUR_S]


async def test_a_retry_that_may_not_run_any_more_is_skipped(autojump_clock: object) -> None:
    work = Work([SiteUnavailableError("no answer")])
    async with a_stage([a_job(work=work)], rng=Highest()) as stage:
        event(stage)
        await settle()
        stage.reasons["plan"] = "the browser is down"
        await trio.sleep(60)
        assert stage.endings == [Ending.RETRY, Ending.SKIPPED]


async def test_runs_that_are_skipped_for_one_reason_are_one_row(autojump_clock: object) -> None:
    async with a_stage([a_job()]) as stage:
        stage.reasons["plan"] = "the database is down"
        await trio.sleep(5.5 * HOUR_S)
        assert stage.endings == [Ending.SKIPPED] * 5
        assert stage.run_log.endings == [Ending.SKIPPED]
        stage.reasons["plan"] = "the browser is down"
        await trio.sleep(2 * HOUR_S)
        assert [outcome.detail for outcome, _ in stage.run_log.finished.values()] == [
            "the database is down",
            "the browser is down",
        ]


async def test_a_run_between_them_makes_it_two_rows(autojump_clock: object) -> None:
    async with a_stage([a_job()]) as stage:
        await trio.sleep(0.5 * HOUR_S)
        for _ in range(2):
            stage.reasons["plan"] = "the browser is down"
            await trio.sleep(2 * HOUR_S)
            del stage.reasons["plan"]
            await trio.sleep(HOUR_S)
        assert stage.run_log.endings == [Ending.SKIPPED, Ending.DONE] * 2


async def test_a_skip_that_can_not_be_recorded_is_tried_once(autojump_clock: object) -> None:
    async with a_stage([a_job()]) as stage:
        stage.reasons["plan"] = "the database is down"
        stage.run_log.is_down = True
        await trio.sleep(5.5 * HOUR_S)
        assert stage.endings == [Ending.SKIPPED] * 5
        assert stage.state() is ActorState.WAITING


@pytest.mark.parametrize("ending", [Ending.INTERRUPTED, Ending.RETRY])
@pytest.mark.parametrize("timing", [{"every_s": DAY_S}, {"daily_at": time(11, tzinfo=UTC)}])
async def test_what_an_earlier_daemon_could_not_finish_is_made_up_for_at_the_start(
    ending: Ending, timing: dict[str, Any], autojump_clock: object
) -> None:
    work = Work()
    started_at = NOON - timedelta(seconds=60)
    history = History(LastRun(Outcome(ending), started_at, 1.0), started_at)
    job = a_job(work=work, **timing)
    async with a_stage([job], history=history):
        await trio.sleep(0.5 * DAY_S)
    assert work.at == pytest.approx([stagger_s(job)], abs=1e-3)


async def test_a_run_says_how_far_it_has_come(autojump_clock: object) -> None:
    work = Work(is_held=True)
    async with a_stage([a_job(work=work)]) as stage:
        event(stage)
        await trio.sleep(1)
        work.runs[0].beat("14 of 80 read")
        assert stage.actor.beat == Beat("14 of 80 read", trio.current_time())
        work.release()
        await settle()
        assert stage.actor.beat is None


def is_stuck(stage: Stage) -> bool:
    return stage.actor.is_stuck


async def test_an_actor_that_waits_runs_rests_or_has_failed_as_long_as_it_may_is_not_stuck(
    autojump_clock: object,
) -> None:
    async def for_ever() -> Outcome:
        await trio.sleep_forever()
        raise AssertionError

    steps: list[Step] = [for_ever, SiteUnavailableError("no answer"), ZeroDivisionError("bug")]
    async with a_stage([a_job(work=Work(steps), max_run_s=900)], rule=RestartRule(budget=0)) as stage:
        event(stage)
        for _ in range(500):
            await trio.sleep(60)
            assert not is_stuck(stage)
        assert stage.state() is ActorState.FAILED


async def test_a_run_that_no_time_limit_reaches_makes_its_actor_stuck_until_it_ends(
    autojump_clock: object,
) -> None:
    async def shielded() -> Outcome:
        with trio.CancelScope(shield=True):
            await trio.sleep(HOUR_S)
        raise AssertionError

    async with a_stage([a_job(work=Work([shielded]), max_run_s=900)]) as stage:
        event(stage)
        await trio.sleep(900 + STUCK_S - 1)
        assert not is_stuck(stage)
        await trio.sleep(2)
        assert is_stuck(stage)
        await trio.sleep(HOUR_S)
        assert not is_stuck(stage)


async def test_a_machine_that_slept_makes_no_actor_stuck(autojump_clock: object) -> None:
    async with a_stage([a_job()]) as stage:
        stage.wall.jump(3 * DAY_S)
        assert not is_stuck(stage)


async def test_an_idle_actor_does_not_wake_until_it_is_due(autojump_clock: object) -> None:
    async with a_stage([a_job(f"job {n}", every_s=DAY_S) for n in range(100)]):
        counter = Steps()
        trio.lowlevel.add_instrument(counter)
        await trio.sleep(0.5 * DAY_S)
        trio.lowlevel.remove_instrument(counter)
    assert counter.by_actors == 0


class Steps(trio.abc.Instrument):
    """Counts the steps of the actors' tasks."""

    by_actors = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.by_actors += task.name.startswith("actor:")


async def test_what_an_actor_does_is_told_with_its_reason_and_since_when(autojump_clock: object) -> None:
    work = Work([SiteUnavailableError("no answer")], is_held=True)
    async with a_stage([a_job(work=work)], rng=Highest()) as stage:
        actor = stage.actor
        assert (actor.state, actor.due_at) == (ActorState.WAITING, NOON + timedelta(seconds=0.95 * HOUR_S))
        await trio.sleep(30)
        event(stage, "plan is done")
        await settle()
        assert (actor.state, actor.detail) == (ActorState.RUNNING, "plan is done")
        assert actor.since == NOON + timedelta(seconds=30)
        await trio.sleep(5)
        work.release()
        await settle()
        assert (actor.state, actor.detail) == (ActorState.BACKING_OFF, "no answer; again in 2 s")
        assert actor.since == NOON + timedelta(seconds=35)


async def test_whatever_logs_within_a_run_says_of_which_job_and_run_it_is(autojump_clock: object) -> None:
    seen: list[dict[str, Any]] = []

    async def work(run: Run) -> Outcome:
        seen.append(get_contextvars())
        async with trio.open_nursery() as nursery:  # a task below knows it too

            async def below() -> None:
                seen.append(get_contextvars())

            nursery.start_soon(below)
        return done("")

    async with a_stage([a_job(work=work)]) as stage:
        for _ in range(2):
            event(stage)
            await settle()
    assert [one["run"] for one in seen] == [1, 1, 2, 2]
    assert {one["job"] for one in seen} == {a_job().name}
    assert get_contextvars() == {}
