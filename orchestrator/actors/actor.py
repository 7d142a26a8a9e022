"""One job at work: when it runs, whether it may, and how each run ended."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Protocol

import structlog
import trio

from orchestrator.actors.job import Job, Run
from orchestrator.actors.mailbox import Mailbox
from orchestrator.actors.schedule import first_due, next_due
from orchestrator.clock import Clock
from orchestrator.errors import DatabaseError, Failure, OrchestratorError
from orchestrator.model import Ending, Outcome, skipped
from orchestrator.retry import failure_of, root_of

REARM_S = 60.0
"""Monotonic time stops while the machine sleeps, so a long wait looks at the wall clock this often."""
RECORD_PATIENCE_S = 3.0
"""How long the record of an interrupted run may take while the daemon ends."""
FREE_TRIES = 5
"""Tries in a row that may fail through no fault of the run before they count all the same."""

log = structlog.get_logger("actor")


class ActorState(StrEnum):
    """What an actor does now."""

    WAITING = "waiting"
    RUNNING = "running"
    BACKING_OFF = "backing_off"
    PAUSED = "paused"
    FAILED = "failed"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class LastRun:
    """How the latest run of a job ended."""

    outcome: Outcome
    started_at: datetime
    duration_s: float


@dataclass(slots=True)
class History:
    """What is known of a job's runs, kept across restarts."""

    last: LastRun | None = None
    last_start: datetime | None = None
    last_success_at: datetime | None = None
    endings: Counter[Ending] = field(default_factory=Counter)


class RunLog(Protocol):
    """Where runs are recorded; `orchestrator.actors.runlog` and `orchestrator.testing` have one each."""

    async def begin(self, run: Run, started_at: datetime) -> int: ...
    async def finish(self, run_id: int, outcome: Outcome, finished_at: datetime) -> None: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an actor needs of the house; one for all actors."""

    clock: Clock
    rng: Random
    run_log: RunLog
    why_not: Callable[[Job], str | None]
    """Why a job may not run now (paused, degraded …), None when it may."""
    on_end: Callable[[Job, Outcome, float], None]
    """Called after each run with its duration in real seconds; must not block or raise."""


class Actor:
    """Runs one job for ever; never two runs at once.

    Written by its own task: `state`, `since`, `due_at`, `history`. Written by operators through the
    supervisor: `is_paused`, `is_draining`. Read by everybody.
    """

    def __init__(self, job: Job, surroundings: Surroundings, history: History | None = None) -> None:
        self.job = job
        self.history = history or History()
        self.mailbox = Mailbox()
        self.state = ActorState.WAITING
        self.since: datetime | None = None
        self.due_at: datetime | None = None
        self.detail = ""
        self.is_paused = False
        self.is_draining = False
        self._house = surroundings

    # ── for operators ───────────────────────────────────────────────────────────────────────────

    def pause(self) -> None:
        """Start no new run; the one that runs ends by itself."""
        self.is_paused = True
        self.mailbox.put(_POKE)

    def resume(self) -> None:
        """Go on; missed runs are made up by one."""
        self.is_paused = False
        self.mailbox.put(_POKE)

    def drain(self) -> None:
        """Let `run` return as soon as no run is under way."""
        self.is_draining = True
        self.mailbox.put(_POKE)

    # ── its own task ────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Wait, run, record, again; returns when drained. A bug in the job's work is raised."""
        now = self._house.clock.now()
        if self.due_at is None:
            self.due_at = first_due(self.job, self.history.last_start, now, self._house.rng)
        while True:
            self.set_state(ActorState.PAUSED if self.is_paused else ActorState.WAITING)
            trigger = await self._next_trigger()
            if trigger is None:
                return
            try:
                await self._run_with_retries(trigger)
            finally:
                self._plan_next()

    async def _next_trigger(self) -> str | None:
        """Why the job shall run now; None when draining."""
        while not self.is_draining:
            trigger = self._trigger_of(await self.mailbox.take(self._patience_s()))
            if trigger is not None:
                return trigger
            self.set_state(ActorState.PAUSED if self.is_paused else ActorState.WAITING)
        return None

    def _trigger_of(self, reason: str | None) -> str | None:
        if self.is_draining:
            return None
        if reason is not None and reason != _POKE:
            return reason if not self.is_paused or reason.startswith(ASKED) else None
        return "schedule" if not self.is_paused and self._is_due() else None

    def _patience_s(self) -> float:
        if self.is_paused or self.due_at is None:
            return REARM_S
        return min(REARM_S, self._house.clock.real_seconds_until(self.due_at))

    def _is_due(self) -> bool:
        now = self._house.clock.now()
        longest = self.job.every_s or 86_400.0
        if self.due_at is not None and self.due_at > now + timedelta(seconds=longest):
            self.due_at = now  # the wall clock was put back
        return self.due_at is not None and now >= self.due_at

    def _plan_next(self) -> None:
        house = self._house
        self.due_at = next_due(self.job, self.history.last_start, house.clock.now(), house.rng)

    async def _run_with_retries(self, trigger: str) -> None:
        attempt = 1
        free = FREE_TRIES
        while True:
            outcome, error = await self._run_once(trigger, attempt)
            if outcome.ending is not Ending.RETRY:
                return
            if error is not None and not error.costs_attempt and free > 0:
                free -= 1
            else:
                attempt += 1
            delay_s = self.job.retry.delay_s(max(1, attempt - 1), self._house.rng)
            self.set_state(ActorState.BACKING_OFF, f"{outcome.detail}; again in {delay_s:.0f} s")
            await self.mailbox.take(delay_s)  # a wake ends the delay
            if self.is_draining or self.is_paused:
                return

    async def _run_once(self, trigger: str, attempt: int) -> tuple[Outcome, OrchestratorError | None]:
        clock = self._house.clock
        started_at = self.history.last_start = clock.now()
        start = trio.current_time()
        reason = self._house.why_not(self.job)
        if reason is not None:
            outcome = skipped(reason)
            self._note(outcome, started_at, trio.current_time() - start)
            return outcome, None
        self.set_state(ActorState.RUNNING, trigger)
        run = Run(self.job.name, self.job.priority, trigger, attempt, log.bind(job=self.job.name))
        run_id = await self._begin(run, started_at)
        if run_id is not None:
            run = Run(run.job, run.priority, trigger, attempt, run.log.bind(run=run_id))
        outcome = Outcome(Ending.INTERRUPTED)
        error: BaseException | None = None
        try:
            outcome, error = await self._work(run)
        finally:
            duration_s = trio.current_time() - start
            self._note(outcome, started_at, duration_s)
            with trio.CancelScope(shield=True), trio.move_on_after(RECORD_PATIENCE_S):
                await self._finish(run, run_id, outcome)
        if error is not None and failure_of(error) is None:
            raise error
        return outcome, error if isinstance(error, OrchestratorError) else None

    async def _work(self, run: Run) -> tuple[Outcome, Exception | None]:
        """The work's own ending, or the ending that its error means, with the error."""
        with trio.move_on_after(self.job.max_run_s):
            try:
                return await self.job.work(run), None
            except Exception as group:  # noqa: BLE001 - the edge of a job: `_ending_of` logs and counts it
                error = root_of(group)
                assert isinstance(error, Exception)
                return self._ending_of(error, run), error
        return Outcome(Ending.GIVEN_UP, f"stopped after {self.job.max_run_s:.0f} s"), None

    def _ending_of(self, error: Exception, run: Run) -> Outcome:
        kind = failure_of(error)
        if kind is None:
            run.log.error("job_crashed", exc_info=error)
            return Outcome(Ending.GIVEN_UP, f"bug: {type(error).__name__}: {error}")
        line = error.line() if isinstance(error, OrchestratorError) else str(error)
        run.log.warning("run_failed", kind=kind, error=line, attempt=run.attempt)
        if kind is Failure.BUDGET:
            return Outcome(Ending.OVER_BUDGET, line)
        if kind is Failure.TRANSIENT and run.attempt <= self.job.retry.retries:
            return Outcome(Ending.RETRY, line)
        return Outcome(Ending.GIVEN_UP, line)

    async def _begin(self, run: Run, started_at: datetime) -> int | None:
        """Record the start; a database that is down costs the record, not the run."""
        try:
            return await self._house.run_log.begin(run, started_at)
        except DatabaseError as error:
            run.log.warning("run_not_recorded", error=str(error))
            return None

    async def _finish(self, run: Run, run_id: int | None, outcome: Outcome) -> None:
        run.log.info("run_ended", ending=outcome.ending, detail=outcome.detail, **outcome.figures)
        if run_id is None:
            return
        try:
            await self._house.run_log.finish(run_id, outcome, self._house.clock.now())
        except DatabaseError as error:
            run.log.warning("run_end_not_recorded", error=str(error))

    def _note(self, outcome: Outcome, started_at: datetime, duration_s: float) -> None:
        history = self.history
        history.last = LastRun(outcome, started_at, duration_s)
        history.endings[outcome.ending] += 1
        if outcome.ending in (Ending.DONE, Ending.NOTHING_TO_DO):
            history.last_success_at = self._house.clock.now()
        self._house.on_end(self.job, outcome, duration_s)

    def set_state(self, state: ActorState, detail: str = "") -> None:
        if state is not self.state:
            self.since = self._house.clock.now()
        self.state = state
        self.detail = detail


ASKED = "asked by "
"""How the trigger of a run begins that an operator asked for; such a run is made even while paused."""
_POKE = ""
"""A wake that is no reason to run: something changed, look again."""
