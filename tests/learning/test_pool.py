"""How full a pool is: when it is filled again, and what people are told."""

from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator.learning.pool import Level
from tests.rows import NOON

TARGET = 250


def after(*counts: int, minutes: int = 10) -> Level:
    """Looks at so many, one every `minutes`, the last one now."""
    level = Level()
    for number, count in enumerate(counts):
        at = NOON - timedelta(minutes=minutes * (len(counts) - 1 - number))
        level = Level.of(level.seen(at, count, TARGET).note())
    return level


@pytest.mark.parametrize(("count", "minutes"), [(49, 10), (50, 20), (99, 20), (100, 60), (240, 60)])
def test_the_fewer_there_are_the_sooner_more_are_looked_for(count: int, minutes: int) -> None:
    level = replace(after(count), harvested_at=NOON)
    assert not level.is_due(NOON + timedelta(minutes=minutes * 0.85))
    assert level.is_due(NOON + timedelta(minutes=minutes * 0.95))


def test_a_pool_that_was_never_filled_is_due_and_so_is_one_of_a_clock_that_was_ahead() -> None:
    assert after(240).is_due(NOON)
    assert replace(after(240), harvested_at=NOON + timedelta(days=9)).is_due(NOON)


def test_a_pool_with_as_many_as_are_wanted_is_never_due() -> None:
    assert not after(250).is_due(NOON + timedelta(days=9))


def test_people_are_told_when_hardly_any_are_left_for_two_hours_and_not_before() -> None:
    assert not after(*[49] * 12).is_low_for_long(NOON)
    assert after(*[49] * 13).is_low_for_long(NOON)
    assert not after(*[49] * 12, 50).is_low_for_long(NOON)
    assert not after(*[49] * 6, 50, *[49] * 6).is_low_for_long(NOON)


def test_people_are_told_when_more_than_half_went_within_an_hour() -> None:
    assert after(240, 200, 119).has_dropped(NOON)
    assert not after(240, 200, 120).has_dropped(NOON)
    assert not after(240, 170, 110, minutes=35).has_dropped(NOON)
    assert not after(40, 3).has_dropped(NOON)  # it was hardly filled


def test_nothing_is_said_of_a_pool_that_nobody_has_looked_at_for_an_hour() -> None:
    later = NOON + timedelta(hours=2)
    assert not after(*[49] * 13).is_low_for_long(later)
    assert not after(240, 10).has_dropped(later)


def test_an_hour_of_looks_is_kept_and_no_more() -> None:
    assert len(after(*[60] * 30).history) == 7
    assert len(after(*[60] * 500, minutes=0).history) == 60
