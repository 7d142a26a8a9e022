"""What the daemon as a whole may do now: starting, ready, degraded or draining."""

from orchestrator.actors.job import Job
from orchestrator.health.checks import Checks
from orchestrator.metrics import Metrics
from orchestrator.model import Mode

DATABASE = "database"
BROWSER = "browser"

#   starting ──► ready ◄──► degraded      any ──► draining


class Modes:
    """The mode follows from the checks; it is never set by hand, except for the two ends of a life.

    `sites` has the names of the checks of all sites: while all are down, no job has a use for the browser.
    """

    def __init__(self, checks: Checks, metrics: Metrics) -> None:
        self._checks = checks
        self._metrics = metrics
        self._is_started = False
        self._is_draining = False
        self.sites: tuple[str, ...] = ()
        self.publish()

    @property
    def mode(self) -> Mode:
        if self._is_draining:
            return Mode.DRAINING
        if not self._is_started:
            return Mode.STARTING
        return Mode.READY if self._checks.is_all_up and not self._checks.down else Mode.DEGRADED

    @property
    def is_starting(self) -> bool:
        return not self._is_started

    @property
    def is_ready(self) -> bool:
        """Whether the daemon does all of its work; what `/readyz` says."""
        return self._is_started and not self._is_draining and self._checks.is_all_up

    def start(self) -> None:
        """The gate has been passed."""
        self._is_started = True
        self.publish()

    def drain(self) -> None:
        self._is_draining = True
        self.publish()

    def publish(self) -> None:
        """Bring the metric up to date; called after each round of checks."""
        for mode in Mode:
            self._metrics.mode.labels(mode=mode).set(mode is self.mode)

    def why_not(self, job: Job) -> str | None:
        """Why `job` may not run now, None when it may."""
        if job.is_upkeep:
            return None
        for check, is_needed in ((DATABASE, job.needs_database), (BROWSER, job.uses_browser)):
            if is_needed and self._checks.is_down(check):
                return f"the {check} is down: {self._checks.results[check].detail}"
        if job.uses_browser and self.sites and all(map(self._checks.is_down, self.sites)):
            details = [f"{site}: {self._checks.results[site].detail}" for site in self.sites]
            return f"no site is to be asked now; {'; '.join(details)}"
        return None
