"""The wall clock, handed in.

Everything that is about dates (schedules, due times, ages of posts) asks a `Clock`; everything that
is about waiting (time-outs, holds, back-off) uses trio's monotonic time. A demo runs a whole day in
minutes by giving every part the same faster clock.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class Clock:
    """Wall time that runs `speed` times as fast as the machine's since the moment `real_epoch`.

    With the defaults it is the machine's own clock. Two processes with the same three numbers read
    the same time. Times are seconds since 1970-01-01 UTC.
    """

    speed: float = 1.0
    real_epoch: float = 0.0
    shown_epoch: float = 0.0
    time: Callable[[], float] = field(default=time.time, compare=False)

    def timestamp(self) -> float:
        return self.shown_epoch + (self.time() - self.real_epoch) * self.speed

    def now(self) -> datetime:
        """The current moment, aware, in UTC."""
        return datetime.fromtimestamp(self.timestamp(), UTC)

    def span(self, real_s: float) -> timedelta:
        """How far this clock goes in `real_s` real seconds: for what takes real time, such as a visit."""
        return timedelta(seconds=real_s * self.speed)

    def real_seconds(self, shown_s: float) -> float:
        """How long to wait for `shown_s` seconds of this clock to pass, in real seconds."""
        return shown_s / self.speed

    def real_seconds_until(self, moment: datetime) -> float:
        """Real seconds until `moment`; 0 when it has passed."""
        return max(0.0, self.real_seconds(moment.timestamp() - self.timestamp()))
