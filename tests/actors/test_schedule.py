from datetime import UTC, datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.actors.schedule import (
    GRID_EARLY,
    GRID_S,
    JITTER_SHARE,
    STAGGER_MAX_S,
    first_due,
    is_batched,
    latest_daily,
    next_daily,
    next_due,
    on_grid,
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
ODD_ZONES = [
    "Europe/Berlin",
    "America/Havana",  # midnight is skipped
    "America/Nuuk",  # the last hour of a day is skipped
    "Australia/Lord_Howe",  # daylight saving is half an hour
    "Asia/Kathmandu",  # three quarters of an hour beside the others
    "Pacific/Apia",
]
zones = st.sampled_from([ZoneInfo(name) for name in ODD_ZONES])
times = st.builds(time, st.integers(0, 23), st.integers(0, 59), tzinfo=zones)


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


def test_an_interval_counts_from_now_when_the_last_start_lies_in_the_future() -> None:
    job = a_job(every_s=300)
    assert next_due(job, NOON + DAY, NOON, Lowest()) == NOON + timedelta(seconds=300)


@given(moments, moments, st.randoms(use_true_random=False))
def test_nothing_is_ever_due_later_than_the_latest_due_time(
    last_start: datetime, now: datetime, rng: Random
) -> None:
    assert next_due(a_job(every_s=300), last_start, now, rng) <= now + timedelta(seconds=300)
    job = a_job(daily_at=time(2, 30, tzinfo=BERLIN))
    assert next_due(job, last_start, now, rng) <= latest_daily(job, last_start, now)


# ── batches ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("every_s", [1800, 3600, 10_800, 86_400])
def test_a_batched_job_runs_as_often_as_declared_though_each_run_starts_a_little_late(every_s: int) -> None:
    job, rng, starts = a_job(every_s=every_s, priority=7), Random(1), [NOON]
    while starts[-1] < NOON + 10 * DAY:
        late = timedelta(seconds=rng.expovariate(1 / 20))
        starts.append(next_due(job, starts[-1], starts[-1] + timedelta(seconds=5), rng) + late)
    assert len(starts) - 1 == 10 * 86_400 / every_s


@given(
    st.integers(2, 100).map(lambda steps: steps * GRID_S),
    st.integers(0, 10**4),
    st.floats(-60, GRID_S - 61),
    st.randoms(use_true_random=False),
)
def test_a_start_off_the_grid_moves_none_of_those_that_follow(
    every_s: float, steps: int, off_s: float, rng: Random
) -> None:
    """It was held up; or the wall clock is slowed, and shows a little less than was waited for."""
    job, moment = a_job(every_s=every_s, priority=7), NOON + timedelta(seconds=steps * GRID_S)
    start = moment + timedelta(seconds=off_s)
    assert next_due(job, start, start, rng) == moment + timedelta(seconds=every_s)


def test_jobs_of_low_priority_are_due_together_whenever_their_last_runs_were() -> None:
    job = a_job(every_s=10_800, priority=7)
    for minutes in (3, 7, 13):
        due = next_due(job, NOON + timedelta(minutes=minutes), NOON + timedelta(minutes=14), Highest())
        assert due == NOON + timedelta(hours=3)


def test_other_jobs_and_those_with_short_intervals_keep_their_own_moment() -> None:
    assert not is_batched(a_job(every_s=10_800, priority=6))
    assert not is_batched(a_job(every_s=2 * GRID_S - 1, priority=9))
    assert not is_batched(a_job(daily_at=time(3), priority=9))
    assert is_batched(a_job(every_s=2 * GRID_S, priority=10))


def test_the_grid_is_the_quarter_hours_of_the_wall_clock() -> None:
    assert on_grid(NOON) == NOON
    assert on_grid(NOON + timedelta(minutes=14, seconds=59)) == NOON
    assert on_grid(NOON + timedelta(minutes=50)) == NOON + timedelta(minutes=45)


@given(
    st.floats(2 * GRID_S, 1e6), st.integers(0, 10**7), st.integers(7, 10), st.randoms(use_true_random=False)
)
def test_a_batched_job_comes_on_the_grid_about_an_interval_later(
    every_s: float, start_s: int, priority: int, rng: Random
) -> None:
    job, start = a_job(every_s=every_s, priority=priority), NOON + start_s * SECOND
    due = next_due(job, start, start, rng)
    assert due.timestamp() % GRID_S == 0
    gap_s = (due - start).total_seconds()
    latest_s = every_s + GRID_EARLY.total_seconds()
    assert latest_s - GRID_S - 0.001 < gap_s <= latest_s


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


# ── a clock that was put back ───────────────────────────────────────────────────────────────────


def test_a_time_of_day_that_had_its_run_is_not_due_again() -> None:
    job = a_job(daily_at=time(3, tzinfo=UTC))
    ran = NOON.replace(hour=3)
    assert next_due(job, ran, ran - timedelta(hours=2), Lowest()) == ran + DAY
    assert next_due(job, ran, ran - timedelta(hours=24), Lowest()) == ran + DAY


def test_a_last_run_more_than_a_day_ahead_is_not_believed() -> None:
    job = a_job(daily_at=time(3, tzinfo=UTC))
    assert next_due(job, NOON + 1000 * DAY, NOON, Lowest()) == NOON.replace(hour=3) + DAY


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


def test_a_skipped_time_of_the_last_hour_of_a_day_comes_after_midnight_and_is_not_forgotten() -> None:
    nuuk = ZoneInfo("America/Nuuk")
    at = time(23, 30, tzinfo=nuuk)
    after_midnight = datetime(2026, 3, 29, 0, 10, tzinfo=nuuk)
    assert next_daily(at, after_midnight) == datetime(2026, 3, 29, 0, 30, tzinfo=nuuk)


@given(times, moments)
def test_a_time_of_day_comes_once_a_day_for_ever(at: time, start: datetime) -> None:
    due = next_daily(at, start)
    assert start < due <= start + timedelta(hours=25)
    for _ in range(3):
        after, due = due, next_daily(at, due)
        assert timedelta(hours=23) <= due - after <= timedelta(hours=25)
