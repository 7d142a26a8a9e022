"""What is known of a job's runs, kept across restarts."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.model import Ending, Outcome

SUCCESSES = (Ending.DONE, Ending.NOTHING_TO_DO)
UNFINISHED = (Ending.INTERRUPTED, Ending.RETRY)
"""How the last run of an earlier daemon may have ended that is made up for at the start."""


@dataclass(frozen=True, slots=True)
class LastRun:
    """How the latest run of a job ended."""

    outcome: Outcome
    started_at: datetime
    duration_s: float


@dataclass(slots=True)
class History:
    """Written by the actor of the job, read by everybody."""

    last: LastRun | None = None
    last_start: datetime | None = None
    last_success_at: datetime | None = None
    gave_up: LastRun | None = None
    """The latest run that gave up, until one is done, or one that was asked for finds nothing to do."""
    endings: Counter[Ending] = field(default_factory=Counter)
    first_start: datetime | None = None

    def begin(self, now: datetime) -> None:
        """A run begins, or is skipped."""
        self.last_start = now
        self.first_start = self.first_start or now

    def end(self, last: LastRun, now: datetime, *, is_asked: bool) -> None:
        """A run has ended; `is_asked`: an operator wanted it."""
        self.last = last
        ending = last.outcome.ending
        if ending is Ending.GIVEN_UP:
            self.gave_up = last
        elif ending is Ending.DONE or (is_asked and ending is Ending.NOTHING_TO_DO):
            self.gave_up = None
        self.endings[ending] += 1
        if ending in SUCCESSES:
            self.last_success_at = now

    @property
    def counted_start(self) -> datetime | None:
        """The start that the next run is counted from; None when the last run has to be made up for."""
        is_unfinished = self.last is not None and self.last.outcome.ending in UNFINISHED
        return None if is_unfinished else self.last_start
