"""One job at work: when it runs, whether it may, and how each run ended."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from random import Random
from typing import Protocol

import structlog
import trio

from orchestrator.actors.job import Job, Run
from orchestrator.actors.mailbox import Kind, Mailbox, Wake
from orchestrator.actors.schedule import first_due, latest_due, next_due
from orchestrator.clock import Clock
from orchestrator.errors import DatabaseError, Failure, OrchestratorError
from orchestrator.model import Ending, Outcome, skipped
from orchestrator.retry import Tries, root_of

REARM_S = 60.0
"""Monotonic time stops while the machine sleeps, so a long wait looks at the wall clock this often."""
RECORD_PATIENCE_S = 3.0
"""How long the record of a run's end may take, while the daemon ends too."""
SCHEDULE = "schedule"
"""The trigger of a run that is due."""

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
    """Where runs are recorded; raises DatabaseError when it can't be done. The tests have a fake one."""

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
        self.mailbox.put(Wake(Kind.POKE))

    def resume(self) -> None:
        """Go on; missed runs are made up by one."""
        self.is_paused = False
        self.mailbox.put(Wake(Kind.POKE))

    def drain(self) -> None:
        """Let `run` return as soon as no run is under way."""
        self.is_draining = True
        self.mailbox.put(Wake(Kind.POKE))

    # ── its own task ────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Wait, run, record, again; returns when drained. A bug in the job's work is raised."""
        now = self._house.clock.now()
        if self.due_at is None:
            self.due_at = first_due(self.job, self.history.last_start, now, self._house.rng)
        while (trigger := await self._next_trigger()) is not None:
            try:
                await self._run_with_retries(trigger)
            finally:
                self._plan_next()

    async def _next_trigger(self) -> str | None:
        """Why the job shall run now; None when draining."""
        while not self.is_draining:
            self.set_state(ActorState.PAUSED if self.is_paused else ActorState.WAITING)
            wake = await self.mailbox.take(self._patience_s())
            if (trigger := self._trigger_of(wake)) is not None:
                return trigger
        return None

    def _trigger_of(self, wake: Wake | None) -> str | None:
        if self.is_draining:
            return None
        if wake is not None and wake.kind is Kind.ASKED:
            return wake.reason
        is_event = wake is not None and wake.kind is Kind.EVENT
        if self.is_paused:
            if is_event:
                self.due_at = self._house.clock.now()  # made up for at resume
            return None
        if wake is not None and is_event:
            return wake.reason
        return SCHEDULE if self._is_due() else None

    def _patience_s(self) -> float:
        assert self.due_at is not None
        if self.is_paused:
            return math.inf
        return min(REARM_S, self._house.clock.real_seconds_until(self.due_at))

    def _is_due(self) -> bool:
        now = self._house.clock.now()
        assert self.due_at is not None
        if self.due_at > latest_due(self.job, now):
            self._plan_next()  # the wall clock was put back
        return now >= self.due_at

    def _plan_next(self) -> None:
        house = self._house
        self.due_at = next_due(self.job, self.history.last_start, house.clock.now(), house.rng)

    async def _run_with_retries(self, trigger: str) -> None:
        was_paused = self.is_paused
        tries = Tries(self.job.retry)
        while True:
            outcome = await self._run_once(trigger, tries)
            if outcome.ending is not Ending.RETRY:
                return
            delay_s = tries.delay_s(self._house.rng)
            self.set_state(ActorState.BACKING_OFF, f"{outcome.detail}; again in {delay_s:.0f} s")
            if not await self._may_retry_after(delay_s, was_paused):
                self.mailbox.put(Wake(Kind.EVENT, trigger))  # after a pause the retry is made up for
                return

    async def _may_retry_after(self, delay_s: float, was_paused: bool) -> bool:
        """Wait out the delay; an operator's `run` ends it early. False when drain or a new pause does.

        Events are dropped: the retry answers them.
        """
        with trio.move_on_after(delay_s):
            while not self.is_draining and (was_paused or not self.is_paused):
                wake = await self.mailbox.take()
                if wake is not None and wake.kind is Kind.ASKED:
                    return not self.is_draining
            return False
        return True

    async def _run_once(self, trigger: str, tries: Tries) -> Outcome:
        started_at = self.history.last_start = self._house.clock.now()
        reason = self._house.why_not(self.job)
        if reason is not None:
            outcome = skipped(reason)
            self._note(outcome, started_at, 0.0)
            return outcome
        self.set_state(ActorState.RUNNING, trigger)
        start = trio.current_time()
        run = Run(self.job.name, self.job.priority, trigger, tries.attempt, log.bind(job=self.job.name))
        run_id = await self._begin(run, started_at)
        if run_id is not None:
            run = replace(run, log=run.log.bind(run=run_id))
        outcome = Outcome(Ending.INTERRUPTED)
        bug: Exception | None = None
        try:
            outcome, bug = await self._work(run, tries)
        finally:
            self._note(outcome, started_at, trio.current_time() - start)
            with trio.move_on_after(RECORD_PATIENCE_S, shield=True) as patience:
                await self._finish(run, run_id, outcome)
            if patience.cancelled_caught:
                run.log.warning("run_end_not_recorded", error=f"no answer within {RECORD_PATIENCE_S:g} s")
        if bug is not None:
            raise bug
        return outcome

    async def _work(self, run: Run, tries: Tries) -> tuple[Outcome, Exception | None]:
        """How the work ended, by its own word or by what its error means; and the error if it is a bug."""
        ended: tuple[Outcome, Exception | None] | None = None
        with trio.move_on_after(self.job.max_run_s) as limit:
            try:
                ended = _bounded(await self.job.work(run), tries), None
            except* Exception as group:  # noqa: BLE001 - the edge of a job: `_ending_of` logs it
                # A cancellation that comes with the error goes on: `except*` leaves it alone.
                ended = _ending_of(root_of(group), run, tries)
        if ended is None or limit.cancelled_caught:
            return Outcome(Ending.GIVEN_UP, f"stopped after {self.job.max_run_s:g} s"), None
        return ended

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


def _bounded(outcome: Outcome, tries: Tries) -> Outcome:
    """The work's own word, except that it can't ask for more tries than there are."""
    if outcome.ending is Ending.RETRY and not tries.fail():
        return replace(outcome, ending=Ending.GIVEN_UP)
    return outcome


def _ending_of(error: Exception, run: Run, tries: Tries) -> tuple[Outcome, Exception | None]:
    """What an error of the work means, and the error itself if nobody foresaw it."""
    if not isinstance(error, OrchestratorError):
        run.log.error("job_crashed", exc_info=error)
        return Outcome(Ending.GIVEN_UP, f"bug: {type(error).__name__}: {error}"), error
    run.log.warning("run_failed", kind=error.failure, error=error.line(), attempt=run.attempt)
    if error.failure is Failure.BUDGET:
        return Outcome(Ending.OVER_BUDGET, error.line()), None
    if error.failure is Failure.TRANSIENT and tries.fail(error):
        return Outcome(Ending.RETRY, error.line()), None
    return Outcome(Ending.GIVEN_UP, error.line()), None
