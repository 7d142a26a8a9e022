"""When a job counts as overdue: it has not succeeded within its interval and a half (A2.5).

Time is trio's, so neither a jump of the wall clock nor a sleep of the machine makes a job late: after
a sleep it first gets the run that it missed.
"""

import trio

from orchestrator.actors.job import Job
from orchestrator.clock import Clock

SLACK_SHARE = 0.5
"""Of the interval: 2 h are overdue after 3 h, a day after 36 h."""


class Lateness:
    """How long one job has gone without success. All durations are real seconds.

    Invariant: `_forgiven_s` is what of the time before the start does not count yet: the daemon was down,
    and the job gets half an interval for its first run; when that fails, all of it counts.
    """

    def __init__(self, job: Job, clock: Clock) -> None:
        self._clock = clock
        self._since: float | None = None
        self._forgiven_s = 0.0
        self.retime(job)

    def retime(self, job: Job) -> None:
        """The job has another interval from now on.

        A shorter one makes no job late that was in time: it gets its slack for the run that is due now.
        """
        was_late = self.overdue_s > 0.0
        slack_s = SLACK_SHARE * job.interval_s
        self._interval_s = self._clock.real_seconds(job.interval_s)
        # On a fast clock an interval may be shorter than a run, which takes real time.
        self._slack_s = max(self._clock.real_seconds(slack_s), min(slack_s, job.max_run_s))
        if self._since is not None and not was_late:
            self._since = max(self._since, trio.current_time() - self._interval_s)

    def begin(self, elapsed_s: float) -> None:
        """The daemon has started, `elapsed_s` after the job's last success, or its first start."""
        self._forgiven_s = max(0.0, elapsed_s - self._interval_s)
        self._since = trio.current_time() - elapsed_s + self._forgiven_s

    def restart(self) -> None:
        """Count from now: the job has succeeded, or a pause has ended."""
        self._since, self._forgiven_s = trio.current_time(), 0.0

    def fail(self) -> None:
        """The job had its run and did not succeed."""
        if self._since is not None:
            self._since -= self._forgiven_s
            self._forgiven_s = 0.0

    @property
    def overdue_s(self) -> float:
        """Seconds beyond what is allowed; 0 while the job is in time."""
        if self._since is None:
            return 0.0
        return max(0.0, trio.current_time() - self._since - self._interval_s - self._slack_s)
