"""A job whose timing changes while its actor lives."""

from dataclasses import replace
from datetime import UTC, time

import trio

from tests.fakes import Work, a_job, a_stage

HOUR_S = 3600.0


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
