from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.clock import Clock


class Machine:
    """The machine's clock, set by hand."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_by_default_it_shows_the_machine_s_time() -> None:
    machine = Machine()
    clock = Clock(time=machine)
    assert clock.timestamp() == 1_000
    machine.now += 5
    assert clock.now() == datetime(1970, 1, 1, 0, 16, 45, tzinfo=UTC)


def test_a_faster_clock_runs_from_its_epoch() -> None:
    machine = Machine()
    clock = Clock(speed=60, real_epoch=1_000, shown_epoch=500_000, time=machine)
    assert clock.timestamp() == 500_000
    machine.now += 10
    assert clock.timestamp() == 500_600


def test_two_clocks_with_the_same_figures_read_the_same() -> None:
    machine = Machine()
    one, other = (Clock(30, 900, 77, time=machine) for _ in range(2))
    assert one.now() == other.now()
    assert one == other


@pytest.mark.parametrize("speed", [1, 240, 0.5])
def test_real_seconds_are_a_span_of_a_clock_at_any_speed(speed: float) -> None:
    machine = Machine()
    clock = Clock(speed, 900, 77, time=machine)
    later = clock.now() + clock.span(45)
    machine.now += 45
    assert clock.now() == later


@pytest.mark.parametrize(("speed", "real_s"), [(1, 600), (60, 10), (0.5, 1200)])
def test_waiting_takes_real_time(speed: float, real_s: float) -> None:
    clock = Clock(speed, time=Machine())
    assert clock.real_seconds(600) == real_s
    assert clock.real_seconds_until(clock.now() + timedelta(seconds=600)) == pytest.approx(real_s)


def test_a_moment_that_has_passed_is_not_waited_for() -> None:
    clock = Clock(time=Machine())
    assert clock.real_seconds_until(clock.now() - timedelta(days=1)) == 0
