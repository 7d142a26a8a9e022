"""What a run that is due waits for before it begins: the end of a posting window, and its turn."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.actors.job import Job
from orchestrator.actors.overdue import SLACK_SHARE
from orchestrator.actors.pacer import Pacer, Turn
from orchestrator.actors.window import PostingWindow


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a run that is due has not begun; `detail` is the rest of a sentence that begins with “Waits”."""

    detail: str
    until: datetime | None = None
    """When it begins at the latest; None when nobody can say."""


OpenWindow = Callable[[datetime], PostingWindow | None]
"""The posting window that is open at a moment."""


class Gate:
    """One job's. Runs that an operator wants don't come here."""

    def __init__(self, job: Job, open_window: OpenWindow, pacer: Pacer, tell: Callable[[], None]) -> None:
        """`tell` is called when a turn has come."""
        self._job = job
        self._open_window = open_window
        self._pacer = pacer
        self._tell = tell
        self._turn: Turn | None = None

    def hold(self, now: datetime, counts_from: datetime) -> Hold | None:
        """What the run waits for; None when it may begin. `counts_from`: the start of the last run."""
        if (window := self.window(now, counts_from)) is not None:
            self.leave()
            return window
        if self._job.priority == 0 or self._job.is_upkeep:
            return None
        if self._turn is None:
            self._turn = self._pacer.join(self._job.priority, self._tell)
        return None if self._turn.is_granted else Hold("for its turn: many jobs are due and start one by one")

    def window(self, now: datetime, counts_from: datetime) -> Hold | None:
        """The posting window that keeps the run from starting, but never beyond its interval and a half."""
        window = self._open_window(now) if self._job.not_in_window else None
        slack = timedelta(seconds=(1 + SLACK_SHARE) * self._job.interval_s)
        latest = min(counts_from, now) + slack  # a start in the future: the wall clock was put back
        if window is None or now >= latest:
            return None
        until = min(window.until, latest)
        why = f"a post is due at {window.due_at:%H:%M:%S} UTC"
        return Hold(f"until {until:%H:%M:%S} UTC at the latest, because {why}", until)

    def retime(self, job: Job) -> None:
        """The job has another interval from now on."""
        self._job = job

    def leave(self) -> None:
        """The run has begun, or is not wanted any more."""
        if self._turn is not None:
            self._pacer.leave(self._turn)
            self._turn = None
