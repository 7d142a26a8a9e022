"""A job that has not succeeded within its interval and a half."""

from datetime import UTC, time, timedelta

import pytest
import trio
from structlog.typing import EventDict

from orchestrator.actors.history import History
from orchestrator.actors.watch import LOOK_EVERY_S
from orchestrator.errors import PostRefusedError
from orchestrator.model import Outcome, done, nothing_to_do, over_budget
from tests.fakes import NOON, Stage, Step, Work, a_job, a_stage

HOUR_S = 3600.0
DAY_S = 86_400.0
NO = PostRefusedError("no")


def refusals() -> Work:
    return Work([NO] * 999)


def hours_ago(hours: float) -> History:
    """Of a job that last succeeded so long before noon."""
    moment = NOON - timedelta(hours=hours)
    return History(last_start=moment, last_success_at=moment, first_start=moment - timedelta(days=9))


def overdue_h(stage: Stage) -> float:
    return stage.actor.overdue_s / HOUR_S


def of(logs: list[EventDict], *events: str) -> list[str]:
    return [entry["event"] for entry in logs if entry["event"] in events]


# ── when ────────────────────────────────────────────────────────────────────────────────────────


async def test_two_hours_are_overdue_after_three(autojump_clock: object) -> None:
    async with a_stage([a_job(work=refusals(), every_s=2 * HOUR_S)], history=hours_ago(0)) as stage:
        await trio.sleep(2.99 * HOUR_S)
        assert overdue_h(stage) == 0
        await trio.sleep(1.01 * HOUR_S)
        assert overdue_h(stage) == pytest.approx(1)


async def test_a_daily_job_is_overdue_after_thirty_six_hours(autojump_clock: object) -> None:
    job = a_job(work=refusals(), daily_at=time(12, tzinfo=UTC))
    async with a_stage([job], history=hours_ago(0)) as stage:
        await trio.sleep(35.9 * HOUR_S)
        assert overdue_h(stage) == 0
        await trio.sleep(0.2 * HOUR_S)
        assert overdue_h(stage) == pytest.approx(0.1)


@pytest.mark.parametrize("outcome", [done(), nothing_to_do()], ids=str)
async def test_a_success_ends_it(outcome: Outcome, autojump_clock: object) -> None:
    async with a_stage([a_job(work=Work([NO, outcome]))], history=hours_ago(0)) as stage:
        await trio.sleep(1.9 * HOUR_S)
        assert overdue_h(stage) > 0
        await trio.sleep(0.2 * HOUR_S)
        assert overdue_h(stage) == 0


@pytest.mark.parametrize("step", [NO, ZeroDivisionError("bug"), over_budget("spent")], ids=str)
async def test_any_other_ending_does_not(step: Step, autojump_clock: object) -> None:
    async with a_stage([a_job(work=Work([step] * 9))], history=hours_ago(0)) as stage:
        await trio.sleep(1.6 * HOUR_S)
        assert overdue_h(stage) == pytest.approx(0.1)


async def test_a_job_that_is_always_skipped_is_overdue_too(autojump_clock: object) -> None:
    async with a_stage([a_job()], history=hours_ago(0)) as stage:
        stage.reasons["plan"] = "the browser is down"
        await trio.sleep(2 * HOUR_S)
        assert overdue_h(stage) == pytest.approx(0.5)


async def test_on_a_fast_clock_the_half_is_real_time_for_a_run_takes_real_time(
    autojump_clock: object,
) -> None:
    async with a_stage([a_job(work=refusals(), max_run_s=100)], history=hours_ago(0), speed=240) as stage:
        await trio.sleep(15 + 99)  # an interval is 15 s, and a run may take 100 s
        assert overdue_h(stage) == 0
        await trio.sleep(2)
        assert stage.actor.overdue_s == pytest.approx(1)


# ── restarts ────────────────────────────────────────────────────────────────────────────────────


async def test_what_passed_before_a_restart_counts(autojump_clock: object) -> None:
    async with a_stage([a_job(work=refusals())], history=hours_ago(0.9)) as stage:
        await trio.sleep(0.7 * HOUR_S)
        assert overdue_h(stage) == pytest.approx(0.1)


async def test_after_a_long_time_off_the_job_first_gets_its_run(autojump_clock: object) -> None:
    work = Work(is_held=True)
    async with a_stage([a_job(work=work)], history=hours_ago(100)) as stage:
        assert overdue_h(stage) == 0
        await trio.sleep(60)
        assert work.under_way == 1
        assert overdue_h(stage) == 0
        work.release()
        await trio.sleep(60)
        assert overdue_h(stage) == 0


async def test_when_that_run_fails_all_of_the_time_counts(autojump_clock: object) -> None:
    async with a_stage([a_job(work=refusals())], history=hours_ago(100)) as stage:
        await trio.sleep(60)
        assert overdue_h(stage) == pytest.approx(98.5, abs=0.02)


async def test_when_that_run_never_comes_half_an_interval_is_all_that_it_gets(autojump_clock: object) -> None:
    async with a_stage([a_job()], history=hours_ago(100)) as stage:
        stage.reasons["plan"] = "the browser is down"
        await trio.sleep(0.6 * HOUR_S)
        assert overdue_h(stage) == pytest.approx(0.1)


async def test_a_job_that_never_succeeded_counts_from_its_first_start(autojump_clock: object) -> None:
    first = NOON - timedelta(hours=1)
    history = History(last_start=NOON, first_start=first)
    async with a_stage([a_job(work=refusals())], history=history) as stage:
        await trio.sleep(0.6 * HOUR_S)
        assert overdue_h(stage) == pytest.approx(0.1)
        assert stage.actor.history.first_start == first


async def test_a_job_that_is_new_counts_from_the_start_of_the_daemon(autojump_clock: object) -> None:
    async with a_stage([a_job(work=refusals())], history=History()) as stage:
        await trio.sleep(1.4 * HOUR_S)
        assert overdue_h(stage) == 0
        assert stage.actor.history.first_start is not None
        await trio.sleep(0.2 * HOUR_S)
        assert overdue_h(stage) == pytest.approx(0.1)


# ── pauses, clocks, sleep ───────────────────────────────────────────────────────────────────────


async def test_a_job_that_an_operator_has_paused_is_not_overdue_and_counts_anew_from_resume(
    autojump_clock: object,
) -> None:
    async with a_stage([a_job(work=refusals())], history=hours_ago(0)) as stage:
        stage.supervisor.pause("plan")
        await trio.sleep(50 * HOUR_S)
        assert overdue_h(stage) == 0
        stage.supervisor.resume("plan")
        await trio.sleep(1.4 * HOUR_S)
        assert overdue_h(stage) == 0
        await trio.sleep(0.2 * HOUR_S)
        assert overdue_h(stage) == pytest.approx(0.1)


async def test_a_resume_of_a_job_that_was_not_paused_forgives_nothing(autojump_clock: object) -> None:
    async with a_stage([a_job(work=refusals())], history=hours_ago(0)) as stage:
        await trio.sleep(1.4 * HOUR_S)
        stage.supervisor.resume(None)
        await trio.sleep(0.2 * HOUR_S)
        assert overdue_h(stage) == pytest.approx(0.1)


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S, 30 * DAY_S])
async def test_a_jump_of_the_wall_clock_makes_no_job_overdue_and_hides_none(
    jump_s: float, autojump_clock: object
) -> None:
    async with a_stage([a_job(work=refusals())], history=hours_ago(0)) as stage:
        await trio.sleep(0.5 * HOUR_S)
        stage.wall.jump(jump_s)
        await trio.sleep(0.9 * HOUR_S)
        assert overdue_h(stage) == 0
        await trio.sleep(0.2 * HOUR_S)
        assert overdue_h(stage) == pytest.approx(0.1)


async def test_a_machine_that_slept_gives_its_jobs_their_run_before_it_alerts(
    logs: list[EventDict], autojump_clock: object
) -> None:
    work = Work()
    async with a_stage([a_job(work=work)], history=hours_ago(0)) as stage:
        stage.wall.jump(3 * DAY_S)
        await trio.sleep(2 * HOUR_S)
    assert len(work.runs) > 0
    assert of(logs, "job_overdue") == []


# ── what people see ─────────────────────────────────────────────────────────────────────────────


async def test_one_event_says_that_it_began_and_one_that_it_ended(
    logs: list[EventDict], autojump_clock: object
) -> None:
    work = Work([NO] * 5)
    async with a_stage([a_job(work=work)], history=hours_ago(0)):
        await trio.sleep(1.5 * HOUR_S + 2 * LOOK_EVERY_S)
        assert of(logs, "job_overdue", "job_overdue_no_more") == ["job_overdue"]
        await trio.sleep(3 * HOUR_S)
        assert of(logs, "job_overdue", "job_overdue_no_more") == ["job_overdue"]
        await trio.sleep(2 * HOUR_S)
    assert of(logs, "job_overdue", "job_overdue_no_more") == ["job_overdue", "job_overdue_no_more"]
    [began] = [entry for entry in logs if entry["event"] == "job_overdue"]
    assert (began["job"], began["remedy"]) == ("plan", "orchestrator ctl why plan")
