"""A job whose timing changes while its actor lives."""

from dataclasses import replace
from datetime import UTC, time

import pytest
import trio

from orchestrator.actors.job import Job
from orchestrator.errors import PostRefusedError
from orchestrator.health.status import why
from orchestrator.model import done
from tests.fakes import Work, a_job, a_stage, make_house

HOUR_S = 3600.0
AWAY = "the cache is away"


async def test_a_shorter_interval_counts_from_the_last_run_and_at_once(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work)]) as stage:
        await trio.sleep(0.5 * HOUR_S)
        stage.supervisor.retime(replace(stage.actor.job, every_s=0.25 * HOUR_S))
        await trio.sleep(0.6 * HOUR_S)
    assert work.at == [0.5 * HOUR_S, 0.75 * HOUR_S, HOUR_S]


async def test_a_longer_interval_puts_off_a_run_that_was_planned_and_makes_none_overdue(
    autojump_clock: object,
) -> None:
    work = Work()
    async with a_stage([a_job(work=work)]) as stage:
        await trio.sleep(0.5 * HOUR_S)
        stage.supervisor.retime(replace(stage.actor.job, every_s=4 * HOUR_S))
        await trio.sleep(3 * HOUR_S)
        assert stage.actor.overdue_s == 0
        await trio.sleep(HOUR_S)
    assert work.at == [4 * HOUR_S]


async def test_an_interval_may_become_a_time_of_day(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work)]) as stage:  # it is noon
        stage.supervisor.retime(replace(stage.actor.job, every_s=None, daily_at=time(15, tzinfo=UTC)))
        await trio.sleep(5 * HOUR_S)
    assert work.at == [3 * HOUR_S]


async def test_a_run_that_is_under_way_ends_by_itself_and_the_next_is_timed_anew(
    autojump_clock: object,
) -> None:
    work = Work(is_held=True)
    async with a_stage([a_job(work=work)]) as stage:
        await trio.sleep(1.01 * HOUR_S)
        stage.supervisor.retime(replace(stage.actor.job, every_s=2 * HOUR_S))
        await trio.sleep(0.01 * HOUR_S)
        assert work.under_way == 1
        work.release()
        await trio.sleep(2 * HOUR_S)
    assert work.at == [HOUR_S, 3 * HOUR_S]


async def test_a_shorter_interval_makes_no_job_overdue_that_was_in_time(autojump_clock: object) -> None:
    work = Work(is_held=True)
    async with a_stage([a_job(work=work, every_s=8 * HOUR_S)]) as stage:
        await trio.sleep(7 * HOUR_S)
        stage.supervisor.retime(replace(stage.actor.job, every_s=2 * HOUR_S))
        await trio.sleep(0.9 * HOUR_S)
        assert stage.actor.overdue_s == 0, "half of its interval is left to the run that is under way"
        await trio.sleep(0.2 * HOUR_S)
        assert stage.actor.overdue_s > 0
        stage.supervisor.retime(replace(stage.actor.job, every_s=1 * HOUR_S))
        assert stage.actor.overdue_s > 0, "what was late stays late"


# ── while the house lacks something ─────────────────────────────────────────────────────────────


async def test_background_jobs_run_half_as_often_while_something_is_away_and_as_ever_afterwards(
    autojump_clock: object,
) -> None:
    work = Work()
    async with a_stage([a_job(work=work)]) as stage:
        stage.supervisor.slow_down(AWAY)
        await trio.sleep(4.5 * HOUR_S)
        assert work.at == [2 * HOUR_S, 4 * HOUR_S]
        assert stage.actor.overdue_s == 0
        stage.supervisor.slow_down("")
        await trio.sleep(1.6 * HOUR_S)
    assert work.at == [2 * HOUR_S, 4 * HOUR_S, 5 * HOUR_S, 6 * HOUR_S]


@pytest.mark.parametrize(
    "job",
    [
        a_job(priority=2),
        a_job(priority=9, is_upkeep=True),
        a_job(every_s=None, daily_at=time(13, tzinfo=UTC)),
    ],
    ids=["of the house", "upkeep", "daily"],
)
async def test_some_jobs_are_never_slowed_down(job: Job, autojump_clock: object) -> None:
    work = Work()
    async with a_stage([replace(job, work=work)]) as stage:
        stage.supervisor.slow_down(AWAY)
        await trio.sleep(1.1 * HOUR_S)
    assert work.at == [HOUR_S]


async def test_a_job_that_is_slowed_down_is_not_woken_by_another_that_is_done(autojump_clock: object) -> None:
    first, second = Work([done()] * 99), Work()
    jobs = [
        a_job("first", work=first, priority=1),
        a_job("second", work=second, every_s=10 * HOUR_S, after=("first",)),
    ]
    async with a_stage(jobs) as stage:
        stage.supervisor.slow_down(AWAY)
        await trio.sleep(3.5 * HOUR_S)
        assert (len(first.at), second.at) == (3, [])
        said = why(stage.supervisor.actors["second"], make_house(stage).allocator.snapshot())
        assert said[0].startswith("Waits until")
        assert "first" not in said[0]
        assert f"is not woken when another job is done: {AWAY}." in said[1]
        stage.supervisor.slow_down("")
        await trio.sleep(HOUR_S)
        assert second.at == [4 * HOUR_S]
        said = why(stage.supervisor.actors["second"], make_house(stage).allocator.snapshot())
        assert said[0].endswith("or when first is done.")


async def test_new_settings_hold_also_for_a_job_that_is_slowed_down(autojump_clock: object) -> None:
    work = Work()
    async with a_stage([a_job(work=work)]) as stage:
        stage.supervisor.slow_down(AWAY)
        stage.supervisor.retime(replace(stage.actor.job, every_s=3 * HOUR_S))
        await trio.sleep(6.5 * HOUR_S)
        stage.supervisor.slow_down("")
        await trio.sleep(3 * HOUR_S)
    assert work.at == [6 * HOUR_S, 9 * HOUR_S]


async def test_a_job_that_never_succeeds_is_overdue_when_it_is_as_fast_as_ever_again(
    autojump_clock: object,
) -> None:
    async with a_stage([a_job(work=Work([PostRefusedError("no")] * 99))]) as stage:
        stage.supervisor.slow_down(AWAY)
        await trio.sleep(3.5 * HOUR_S)
        assert stage.actor.overdue_s > 0
        stage.supervisor.slow_down("")
        assert stage.actor.overdue_s > 0
