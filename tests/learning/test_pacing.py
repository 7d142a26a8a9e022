"""How often an account posts, and where a post fits."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from orchestrator.learning.pacing import Timetable, judged
from orchestrator.settings.pacing import PacingSettings

SETTINGS = PacingSettings()
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.mark.parametrize(
    ("situation", "per_hour", "published", "failed", "then"),
    [
        ("too few have ended", 1.0, 9, 0, None),
        ("too few have ended, all of them badly", 1.0, 0, 9, None),
        ("all went out", 1.0, 10, 0, 1.1),
        ("exactly 95 of 100 is not above", 1.0, 95, 5, 1.0),
        ("96 of 100 is", 1.0, 96, 4, 1.1),
        ("exactly 90 of 100 is not below", 1.0, 90, 10, 1.0),
        ("89 of 100 is", 1.0, 89, 11, 0.8),
        ("none went out", 1.0, 0, 10, 0.8),
        ("never faster than the bound", 1.9, 100, 0, 2.0),
        ("at the bound it stays", 2.0, 100, 0, 2.0),
        ("never slower than the bound", 0.3, 0, 10, 0.25),
        ("after a slow time it recovers", 0.25, 20, 0, 0.275),
        ("what was judged under wider bounds comes within these", 9.0, 92, 8, 2.0),
    ],
)
def test_the_rate_follows_the_share_of_posts_that_go_out(
    situation: str, per_hour: float, published: int, failed: int, then: float | None
) -> None:
    found = judged(per_hour, published, failed, SETTINGS)
    assert found == (None if then is None else pytest.approx(then)), situation


def test_it_takes_longer_to_become_twice_as_fast_than_to_slow_down_by_half() -> None:
    def steps(per_hour: float, goal: float, published: int, failed: int) -> int:
        count = 0
        while (per_hour < goal) == (failed == 0) and per_hour != goal:
            per_hour = judged(per_hour, published, failed, SETTINGS) or per_hour
            count += 1
        return count

    assert (steps(1.0, 2.0, 10, 0), steps(1.0, 0.5, 5, 5)) == (8, 4)


def a_table(
    *taken: datetime, per_hour: float = 1.0, peaks: tuple[int, ...] = (), per_day: int = 24
) -> Timetable:
    return Timetable(ZoneInfo("UTC"), per_hour, peaks, per_day, taken)


def test_a_post_keeps_its_distance_from_those_before_and_after_it() -> None:
    table = a_table(NOON, NOON + 90 * MINUTE)
    assert table.first_free(NOON + 10 * MINUTE) == NOON + 150 * MINUTE
    assert table.first_free(NOON - HOUR) == NOON - HOUR


def test_an_hour_between_two_posts_has_room_when_the_rate_allows_one_more() -> None:
    taken = (NOON, NOON + HOUR)
    assert not a_table(*taken).has_room(NOON, NOON + HOUR)
    assert a_table(*taken, per_hour=2.0).has_room(NOON, NOON + HOUR)


def test_at_peak_hours_posts_may_come_half_as_often_again() -> None:
    table = a_table(NOON, peaks=(12,))
    assert table.first_free(NOON) == NOON + 40 * MINUTE
    assert a_table(NOON, peaks=(13,)).first_free(NOON) == NOON + HOUR


def test_a_day_has_no_room_beyond_the_accounts_posts_of_a_day() -> None:
    table = a_table(NOON, NOON + 2 * HOUR, per_hour=2.0, per_day=2)
    assert not table.has_room(NOON + 5 * HOUR, NOON + 6 * HOUR)
    assert table.has_room(NOON + 12 * HOUR, NOON + 13 * HOUR)


def test_a_moment_lies_in_its_hour_if_there_is_room_and_else_after_it() -> None:
    assert a_table().moment(NOON, NOON + HOUR, 0.5) == NOON + 30 * MINUTE
    assert a_table(NOON - 50 * MINUTE).moment(NOON, NOON + HOUR, 0.0) == NOON + 10 * MINUTE
    late = a_table(NOON + 110 * MINUTE).moment(NOON, NOON + HOUR, 0.99)
    assert late == NOON  # at its end the hour is too near to the next post, at its beginning not
    full = a_table(NOON, NOON + 30 * MINUTE)
    assert full.moment(NOON, NOON + HOUR, 0.5) == NOON + 90 * MINUTE
