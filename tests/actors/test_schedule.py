import itertools
from datetime import UTC, datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.actors.schedule import (
    JITTER_SHARE,
    STAGGER_MAX_S,
    first_due,
    latest_due,
    next_daily,
    next_due,
    stagger_s,
)
from tests.fakes import NOON, Highest, Lowest, a_job

BERLIN = ZoneInfo("Europe/Berlin")
SPRING = datetime(2026, 3, 29, tzinfo=BERLIN)
"""The night in which 02:00 becomes 03:00."""
AUTUMN = datetime(2026, 10, 25, tzinfo=BERLIN)
"""The night in which 03:00 becomes 02:00."""
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)

moments = st.integers(0, 366 * 86_400).map(lambda seconds: NOON + seconds * SECOND)
times = st.builds(time, st.integers(0, 23), st.integers(0, 59), tzinfo=st.just(BERLIN))


# ── intervals ───────────────────────────────────────────────────────────────────────────────────


def test_an_interval_counts_from_the_start_of_the_last_run() -> None:
    job = a_job(every_s=300)
    assert next_due(job, NOON, NOON + timedelta(seconds=200), Lowest()) == NOON + timedelta(seconds=300)


def test_jitter_makes_an_interval_a_little_shorter_and_never_longer() -> None:
    job = a_job(every_s=300)
    assert next_due(job, NOON, NOON, Highest()) == NOON + timedelta(seconds=300 * (1 - JITTER_SHARE))


def test_however_many_runs_were_missed_one_is_due() -> None:
    job = a_job(every_s=300)
    now = NOON + 30 * DAY
    due = next_due(job, NOON, now, Lowest())
    assert due <= now
    assert next_due(job, now, now, Lowest()) == now + timedelta(seconds=300)


def test_a_last_start_in_the_future_counts_as_now() -> None:
    job = a_job(every_s=300)
    assert next_due(job, NOON + DAY, NOON, Lowest()) == NOON + timedelta(seconds=300)


@given(moments, moments, st.randoms(use_true_random=False))
def test_nothing_is_ever_due_later_than_the_latest_due_time(
    last_start: datetime, now: datetime, rng: Random
) -> None:
    for job in (a_job(every_s=300), a_job(daily_at=time(2, 30, tzinfo=BERLIN))):
        assert next_due(job, last_start, now, rng) <= latest_due(job, now)


# ── the start of the daemon ─────────────────────────────────────────────────────────────────────


def test_what_is_not_due_yet_at_start_keeps_its_time() -> None:
    job = a_job(every_s=300)
    assert first_due(job, NOON, NOON + timedelta(seconds=100), Lowest()) == NOON + timedelta(seconds=300)


@pytest.mark.parametrize("last_start", [None, NOON - 2 * DAY])
@pytest.mark.parametrize("timing", [{"every_s": 300.0}, {"daily_at": time(3, tzinfo=UTC)}])
def test_what_is_overdue_at_start_or_never_ran_waits_for_its_stagger(
    last_start: datetime | None, timing: dict[str, object]
) -> None:
    job = a_job(**timing)  # type: ignore[arg-type]
    assert first_due(job, last_start, NOON, Lowest()) == NOON + timedelta(seconds=stagger_s(job))


def test_the_stagger_is_the_same_at_every_start() -> None:
    assert stagger_s(a_job("posting")) == pytest.approx(44.33, abs=0.01)  # the figure of this very name
    assert stagger_s(a_job("posting")) == stagger_s(a_job("posting"))


def test_five_hundred_overdue_jobs_are_spread_over_a_minute() -> None:
    delays_s = [stagger_s(a_job(f"job {number}", every_s=86_400)) for number in range(500)]
    for begin in range(0, 60, 10):
        assert 40 <= sum(begin <= delay_s < begin + 10 for delay_s in delays_s) <= 130


@pytest.mark.parametrize(("every_s", "bound_s"), [(10.0, 1.0), (600.0, 60.0), (86_400.0, STAGGER_MAX_S)])
def test_the_stagger_is_below_a_tenth_of_the_interval_and_a_minute(every_s: float, bound_s: float) -> None:
    delays_s = [stagger_s(a_job(f"job {number}", every_s=every_s)) for number in range(100)]
    assert min(delays_s) >= 0
    assert bound_s * 0.8 < max(delays_s) < bound_s


# ── times of day ────────────────────────────────────────────────────────────────────────────────


def test_a_time_of_day_is_in_its_own_zone() -> None:
    at = time(3, tzinfo=BERLIN)
    assert next_daily(at, NOON) == datetime(2026, 6, 2, 3, tzinfo=BERLIN)
    assert next_daily(at, NOON).hour == 1


def test_a_time_of_day_without_zone_is_utc() -> None:
    assert next_daily(time(13), NOON) == NOON.replace(hour=13)


def test_at_the_very_time_the_next_one_is_tomorrow() -> None:
    assert next_daily(time(12, tzinfo=UTC), NOON) == NOON + DAY
    assert next_daily(time(12, tzinfo=UTC), NOON - SECOND) == NOON


def test_a_time_that_daylight_saving_skips_is_taken_an_hour_later() -> None:
    due = next_daily(time(2, 30, tzinfo=BERLIN), SPRING)
    assert due.astimezone(BERLIN).time() == time(3, 30)
    after = next_daily(time(2, 30, tzinfo=BERLIN), due)
    assert after == datetime(2026, 3, 30, 2, 30, tzinfo=BERLIN)


def test_a_time_that_comes_twice_is_taken_the_first_time_only() -> None:
    at = time(2, 30, tzinfo=BERLIN)
    first = next_daily(at, AUTUMN)
    assert first == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    in_the_second_hour = first + timedelta(minutes=45)
    assert next_daily(at, in_the_second_hour) == datetime(2026, 10, 26, 2, 30, tzinfo=BERLIN)


@given(times, moments)
def test_a_time_of_day_comes_once_a_day_for_ever(at: time, start: datetime) -> None:
    due = next_daily(at, start)
    assert start < due <= start + timedelta(hours=25)
    days = [due.astimezone(BERLIN).date()]
    for _ in range(3):
        due = next_daily(at, due)
        days.append(due.astimezone(BERLIN).date())
    assert [later - earlier for earlier, later in itertools.pairwise(days)] == [DAY] * 3
