"""One job at work: when it runs, whether it may, and how each run ended."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from random import Random

import structlog
import trio
from structlog.contextvars import bound_contextvars

from orchestrator.actors import attempt
from orchestrator.actors.attempt import Record, RunLog
from orchestrator.actors.gate import Gate, Hold, OpenWindow
from orchestrator.actors.history import SUCCESSES, History, LastRun
from orchestrator.actors.job import ASKED_BY, Job, Run
from orchestrator.actors.mailbox import Kind, Mailbox, Wake
from orchestrator.actors.overdue import Lateness
from orchestrator.actors.pacer import Pacer
from orchestrator.actors.schedule import first_due, latest_daily, next_due
from orchestrator.clock import Clock
from orchestrator.model import Ending, Outcome, skipped
from orchestrator.retry import Tries

STUCK_S = 60.0
"""An actor that stays in a state for so much longer than it said, in real seconds, is stuck."""
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
class Beat:
    """What a run under way has said of itself, and when by trio's clock."""

    said: str
    at: float


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
    open_window: OpenWindow = lambda _now: None
    pacer: Pacer = field(default_factory=Pacer)
    redact: Callable[[str], str] = str
    """Takes secrets out of what is said of a run: an error that nobody foresaw may say anything."""


class Actor:
    """Runs one job for ever; never two runs at once.

    Written by its own task: `state`, `since`, `history`, `beat`. Written by operators through
    the supervisor: `is_paused`, `is_draining`; by the supervisor: `slowed`. Read by everybody.

    A run that is wanted waits as `_wish`, the trigger it will have. Invariants: 1. `_wish` is None while
    the actor is paused or running. 2. `_hold` is None unless there is a wish. 3. `_due_by` is `_due_at` by
    trio's clock, as it looked when it was planned.
    """

    def __init__(self, job: Job, surroundings: Surroundings, history: History | None = None) -> None:
        self.job = job
        self.history = history or History()
        self.mailbox = Mailbox()
        self.state = ActorState.WAITING
        self.since: datetime | None = None
        self._due_at: datetime | None = None
        self._due_by = math.inf
        self.detail = ""
        self.beat: Beat | None = None
        self.is_paused = False
        self.is_draining = False
        self.slowed = ""
        """Why it runs less often than it should, and by its interval alone; empty: it does not."""
        self._house = surroundings
        self._lateness = Lateness(job, surroundings.clock)
        self._acts_by = math.inf
        self._wish: str | None = None
        self._wished_at = surroundings.clock.now()
        self._hold: Hold | None = None
        self._gate = Gate(
            job, surroundings.open_window, surroundings.pacer, lambda: self.mailbox.put(Wake(Kind.POKE))
        )
        self._skip_on_record: str | None = None

    # ── for operators ───────────────────────────────────────────────────────────────────────────

    def pause(self) -> None:
        """Start no new run; the one that runs ends by itself."""
        self.is_paused = True
        self.mailbox.put(Wake(Kind.POKE))

    def resume(self) -> None:
        """Go on; missed runs are made up by one."""
        if self.is_paused:
            self._lateness.restart()
        self.is_paused = False
        self.mailbox.put(Wake(Kind.POKE))

    def drain(self) -> None:
        """Let `run` return as soon as no run is under way."""
        self.is_draining = True
        self.mailbox.put(Wake(Kind.POKE))

    def retime(self, job: Job) -> None:
        """Take another timing of the same job; its next run counts from the start of the last one."""
        self.job = job
        self._gate.retime(job)
        self._lateness.retime(job)
        if self._due_at is not None:
            self._plan_next()
        self.mailbox.put(Wake(Kind.POKE))

    # ── for those who watch ─────────────────────────────────────────────────────────────────────

    @property
    def due_at(self) -> datetime | None:
        """When the schedule wants the next run; None before the first plan."""
        return self._due_at

    @property
    def next_at(self) -> datetime | None:
        """When the next run begins by itself, as far as is known."""
        return self._hold.until if self._hold is not None else self.due_at

    @property
    def is_postponed(self) -> bool:
        """Whether a run is due that waits for the end of a posting window."""
        return self._hold is not None and self._hold.until is not None

    @property
    def overdue_s(self) -> float:
        """Real seconds beyond the interval and a half without success; 0 while in time or paused."""
        return 0.0 if self.is_paused else self._lateness.overdue_s

    @property
    def is_stuck(self) -> bool:
        """Whether the task has not gone on when it had to: a bug, or something that no time limit reaches."""
        return trio.current_time() > self._acts_by + STUCK_S

    # ── its own task: when ──────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Wait, run, record, again; returns when drained. A bug in the job's work is raised."""
        if self.due_at is None:
            self._begin()
        while (trigger := await self._next_trigger()) is not None:
            try:
                await self._run_with_retries(trigger)
            finally:
                self._plan_next()

    def _begin(self) -> None:
        house, history, now = self._house, self.history, self._house.clock.now()
        self._set_due(first_due(self.job, history.counted_start, now, house.rng))
        counts_from = history.last_success_at or history.first_start or now
        self._lateness.begin(max(0.0, house.clock.real_seconds((now - counts_from).total_seconds())))

    async def _next_trigger(self) -> str | None:
        """Why the job shall run now; None when draining."""
        try:
            while not self.is_draining:
                patience_s = self._patience_s()
                if self.is_paused:
                    self.set_state(ActorState.PAUSED)
                else:
                    detail = self._hold.detail if self._hold is not None else ""
                    self.set_state(ActorState.WAITING, detail, lasts_s=patience_s)
                wake = await self.mailbox.take(patience_s)
                if (trigger := self._trigger_of(wake)) is not None:
                    return trigger
            return None
        finally:
            self._drop_wish()

    def _trigger_of(self, wake: Wake | None) -> str | None:
        """The trigger of a run that may begin now; whatever else is wanted is kept as a wish."""
        if self.is_draining:
            return None
        if wake is not None and wake.kind is Kind.ASKED:
            return wake.reason
        now = self._house.clock.now()
        if self._wish is None:
            is_event = wake is not None and wake.kind is Kind.EVENT
            if wake is not None and is_event:
                self._wish, self._wished_at = wake.reason, now
            elif not self.is_paused and self._is_due(now):
                self._wish, self._wished_at = SCHEDULE, now
        if self._wish is None:
            return None
        if self.is_paused:
            self._set_due(now)  # made up for at resume
            self._drop_wish()
            return None
        self._hold = self._gate.hold(now, self.history.last_start or self._wished_at)
        return self._wish if self._hold is None else None

    def _drop_wish(self) -> None:
        self._wish = self._hold = None
        self._gate.leave()

    def _patience_s(self) -> float:
        """Real seconds until there is something to do, if nothing comes; a clock that is set sends a poke."""
        next_at = self.next_at
        if self.is_paused or next_at is None:
            return math.inf
        return self._house.clock.real_seconds_until(next_at)

    def _is_due(self, now: datetime) -> bool:
        """The wall clock may have been put back since the plan: an interval goes on all the same."""
        assert self._due_at is not None
        if self.job.daily_at is None:
            left_s = max(0.0, self._due_by - trio.current_time())
            self._due_at = min(self._due_at, now + self._house.clock.span(left_s))
        elif self._due_at > latest_daily(self.job, self.history.last_start, now):
            self._plan_next()
        return now >= self._due_at

    def _plan_next(self) -> None:
        house = self._house
        self._set_due(next_due(self.job, self.history.last_start, house.clock.now(), house.rng))

    def _set_due(self, due_at: datetime) -> None:
        self._due_at = due_at
        self._due_by = trio.current_time() + self._house.clock.real_seconds_until(due_at)

    # ── its own task: runs ──────────────────────────────────────────────────────────────────────

    async def _run_with_retries(self, trigger: str) -> None:
        was_paused = self.is_paused
        tries, is_retry = Tries(self.job.retry_rule), False
        while True:
            outcome = await self._run_once(trigger, tries, is_retry=is_retry)
            if outcome.ending is not Ending.RETRY:
                return
            delay_s = tries.delay_s(self._house.rng)
            detail = f"{outcome.detail}; again in {delay_s:.0f} s"
            self.set_state(ActorState.BACKING_OFF, detail, lasts_s=delay_s)
            wake = await self._wait_for_retry(delay_s, was_paused)
            is_retry = wake.kind is Kind.EVENT
            trigger = wake.reason or trigger
            if wake.kind is Kind.POKE or self._is_in_window(trigger):
                self.mailbox.put(Wake(Kind.EVENT, trigger))  # the retry is made up for, with fresh tries
                return

    async def _wait_for_retry(self, delay_s: float, was_paused: bool) -> Wake:
        """Wait out the delay; an operator's `run` ends it early, and is what is returned then.

        An event without a reason stands for the retry, a poke for none: drain or a new pause came before.
        Events that come meanwhile are dropped: the retry answers them.
        """
        with trio.move_on_after(delay_s):
            while not self.is_draining and (was_paused or not self.is_paused):
                wake = await self.mailbox.take()
                if wake is not None and wake.kind is Kind.ASKED and not self.is_draining:
                    return wake
            return Wake(Kind.POKE)
        return Wake(Kind.EVENT)

    def _is_in_window(self, trigger: str) -> bool:
        """Whether a retry must not start now."""
        now = self._house.clock.now()
        window = self._gate.window(now, self.history.last_start or now)
        return window is not None and not trigger.startswith(ASKED_BY)

    async def _run_once(self, trigger: str, tries: Tries, *, is_retry: bool) -> Outcome:
        """Whatever logs within the run, also below us, says of which job and run it is."""
        with bound_contextvars(job=self.job.name):
            return await self._run_bound(trigger, tries, is_retry=is_retry)

    async def _run_bound(self, trigger: str, tries: Tries, *, is_retry: bool) -> Outcome:
        house = self._house
        started_at = house.clock.now()
        self.history.begin(started_at)
        logger = log.bind(job=self.job.name)
        run = Run(
            self.job.name,
            self.job.priority,
            trigger,
            tries.attempt,
            logger,
            self._hear,
            is_retry,
            self.job.uses_browser,
            self.job.contexts,
        )
        reason = house.why_not(self.job)
        if reason is not None:
            return await self._skip(run, started_at, reason)
        self.set_state(ActorState.RUNNING, trigger, lasts_s=self.job.max_run_s)
        start = trio.current_time()
        record = Record(house.run_log, house.clock)
        run = await record.begin(run, started_at)
        outcome = Outcome(Ending.INTERRUPTED)
        bug: Exception | None = None
        try:
            with bound_contextvars(**record.ids):
                outcome, bug = await attempt.work(self.job, run, tries)
                outcome = replace(outcome, detail=house.redact(outcome.detail))
        finally:
            self._skip_on_record = self.beat = None
            self._note(run, LastRun(outcome, started_at, trio.current_time() - start))
            await record.finish(run, outcome)  # noqa: ASYNC102 - it shields and bounds itself
        if bug is not None:
            raise bug
        return outcome

    async def _skip(self, run: Run, started_at: datetime, reason: str) -> Outcome:
        """No run: one row in the record as long as the reason stays, and not one each turn."""
        outcome = skipped(reason)
        self._note(run, LastRun(outcome, started_at, 0.0))
        if reason != self._skip_on_record:
            self._skip_on_record = reason
            record = Record(self._house.run_log, self._house.clock)
            run = await record.begin(run, started_at)
            await record.finish(run, outcome)
        return outcome

    def _hear(self, said: str) -> None:
        self.beat = Beat(self._house.redact(said), trio.current_time())

    def _note(self, run: Run, last: LastRun) -> None:
        ending = last.outcome.ending
        self.history.end(last, self._house.clock.now(), is_asked=run.is_asked)
        if ending in SUCCESSES:
            self._lateness.restart()
        elif ending in (Ending.GIVEN_UP, Ending.OVER_BUDGET):
            self._lateness.fail()
        self._house.on_end(self.job, last.outcome, last.duration_s)

    def set_state(self, state: ActorState, detail: str = "", *, lasts_s: float = math.inf) -> None:
        """`lasts_s`: the state lasts so many real seconds at most; see `is_stuck`."""
        if state is not self.state:
            self.since = self._house.clock.now()
        self.state = state
        self.detail = self._house.redact(detail)
        self._acts_by = trio.current_time() + lasts_s
