"""A wall clock for tests, which goes with trio's time."""

from datetime import UTC, datetime

import trio

from orchestrator.clock import Clock

START = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


class WallClock:
    """The machine's wall clock: it goes with trio's time, and can be put forward and back.

    `jump` alone is somebody who sets the clock, and also a machine that slept: trio's time stands still then.
    """

    def __init__(self, start: datetime = START) -> None:
        self._start = start.timestamp()
        self._start_time = trio.current_time()
        self._jumped_s = 0.0

    def __call__(self) -> float:
        return self._start + self._jumped_s + trio.current_time() - self._start_time

    def jump(self, seconds: float) -> None:
        self._jumped_s += seconds

    def clock(self, speed: float = 1.0) -> Clock:
        return Clock(speed, self._start, self._start, time=self)
