"""What a job declares, and what a run of it gets."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import time
from zoneinfo import ZoneInfo

import structlog

from orchestrator.errors import SettingsError
from orchestrator.model import Outcome
from orchestrator.retry import RetryRule, preset
from orchestrator.settings import JobSettings

MAX_RUN_S = 1800.0
"""No job may declare a longer run (A2.5)."""
DAY_S = 86_400.0
MAX_INTERVAL_S = 3650 * DAY_S
"""No interval is longer: ten years from now is a moment that can be reckoned."""
BACKGROUND_PRIORITY = 3
"""What is held up first. Priority 2 looks after the house and settles posts in doubt."""
SLOWED_FACTOR = 2.0
"""So many times its interval a job has that is slowed down."""
ASKED_BY = "asked by "
"""How the trigger of a run begins that an operator wants."""


def _unheard(_said: str) -> None:
    """For a run that nobody watches."""


@dataclass(frozen=True, slots=True)
class Run:
    """One try of one job."""

    job: str
    priority: int
    trigger: str
    """Why it runs: "schedule", "plan is done", "asked by alice" …"""
    attempt: int
    log: structlog.stdlib.BoundLogger
    beat: Callable[[str], None] = _unheard
    """Says how far the run has come, such as "14 of 80 read"; people see it with its age."""
    is_retry: bool = False
    """Whether it was begun by the failure of the try before, and not by its trigger."""
    uses_browser: bool = False
    """Whether its job has declared that it visits sites."""
    contexts: int = 1
    """How many contexts it may have at a time."""

    @property
    def is_asked(self) -> bool:
        """Whether an operator wants this run."""
        return self.trigger.startswith(ASKED_BY)


Work = Callable[[Run], Awaitable[Outcome]]
"""Does the work of one run and says how it ended; raises an OrchestratorError when it failed."""


@dataclass(frozen=True, slots=True)
class Job:
    """The declaration of a job. Exactly one of `every_s` and `daily_at` is given, else SettingsError."""

    name: str
    work: Work
    priority: int
    """0 critical, 1 high, 2–10 background."""
    every_s: float | None = None
    """Seconds of the wall clock between the starts of two runs, as an upper bound."""
    daily_at: time | None = None
    """Time of day with its zone."""
    after: tuple[str, ...] = ()
    """Jobs whose success wakes this one."""
    uses_browser: bool = False
    contexts: int = 1
    """How many of them it may have at a time; more than one of no critical job, else SettingsError."""
    needs_database: bool = True
    is_upkeep: bool = False
    """Goes on while everything is paused: it looks after the house itself."""
    not_in_window: bool = False
    """Is not started while a post is due, but for an operator."""
    retry: RetryRule | None = None
    """None: the preset of its priority."""
    max_run_s: float = 600.0
    """Real seconds after which a run is stopped; `MAX_RUN_S` at most, else SettingsError."""

    def __post_init__(self) -> None:
        if (self.every_s is None) == (self.daily_at is None):
            raise SettingsError(f"job {self.name}: exactly one of every_s and daily_at must be given")
        if self.every_s is not None and not 0 < self.every_s <= MAX_INTERVAL_S:
            allowed = "above 0 and at most ten years"
            raise SettingsError(f"job {self.name}: every_s must be {allowed}, not {self.every_s:g}")
        if self.contexts > 1 and self.priority == 0:
            raise SettingsError(f"job {self.name}: a critical job has one context at a time")
        if not 0 < self.max_run_s <= MAX_RUN_S:
            allowed = f"above 0 and at most {MAX_RUN_S:g}"
            raise SettingsError(f"job {self.name}: max_run_s must be {allowed}, not {self.max_run_s:g}")

    @property
    def interval_s(self) -> float:
        """Seconds of the wall clock from one run to the next, at most."""
        return DAY_S if self.every_s is None else self.every_s

    @property
    def retry_rule(self) -> RetryRule:
        return preset(self.priority) if self.retry is None else self.retry

    @property
    def can_wait(self) -> bool:
        """Whether it runs less often while the house lacks something; a time of day stays what it is."""
        return self.priority >= BACKGROUND_PRIORITY and not self.is_upkeep and self.every_s is not None

    def slowed(self) -> "Job":
        """The job as it is timed meanwhile."""
        if not self.can_wait:
            return self
        return replace(self, every_s=min(MAX_INTERVAL_S, SLOWED_FACTOR * self.interval_s))

    def with_settings(self, settings: JobSettings) -> "Job":
        """The job with an operator's changes."""
        if settings.every_s is not None:
            return replace(self, every_s=settings.every_s, daily_at=None)
        if settings.daily_at is not None:
            at = time.fromisoformat(settings.daily_at).replace(tzinfo=ZoneInfo(settings.time_zone))
            return replace(self, every_s=None, daily_at=at)
        return self
