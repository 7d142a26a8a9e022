"""What must hold on a simulated day, and the witness who checks it.

    starve     every job gets to work at least once in twice its interval, unless it is paused, stands still
               after crashes or what it needs is down; one that fails, once in its interval and back-off
    reserve    nobody else is given a context that is kept for critical work
    critical   critical work waits for a context no longer than `critical_wait_s`, rebuilt contexts excepted
    overlap    no two runs of a job are under way at once
    error      nothing fails with an error that was not planted
    crashes    a job stands still exactly when it has used up its restarts, until an operator starts it again
    modes      no run begins while what it needs is known to be down
    pause      no run of a paused job begins that nobody has asked for
    window     no run that a posting window holds back begins in one, unless it is late
    owed       what is woken, is tried again, or comes once a day begins within `OWED_S`, unless it is held
    misfire    missed runs are made up for by one; what comes once a day comes once
    tries      a run has one try and its retries: no more, and no fewer while it fails in a way that may pass
    pacer      starts that are due together come one after the other
    limit      no run takes longer than its limit
    record     every row that is begun is finished once
    shutdown   after the drain nothing begins, all ends by itself, and what is cut off ends soon; nothing
               is left

The rules are told from outside: from what was planted, what operators did, and when runs begin and end.
What is wrong inside of a run or an allocator's call is kept in `wrong`, since the house takes an error
there for a bug of the job.
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NoReturn

import structlog
import trio

from orchestrator.actors.actor import SCHEDULE, ActorState
from orchestrator.actors.attempt import RECORD_PATIENCE_S
from orchestrator.actors.job import Job, Run
from orchestrator.actors.schedule import GRID_S, JITTER_SHARE, is_batched
from orchestrator.actors.supervisor import RestartRule
from orchestrator.allocator import Lane, Lease
from orchestrator.errors import OrchestratorError, SiteUnavailableError
from orchestrator.model import Ending, Outcome
from orchestrator.retry import FREE_TRIES

if TYPE_CHECKING:
    from tests.simulation.day import Day

ROUNDING_S = 1e-6
OWED_S = 120.0
"""So long after it could, and the time between two looks, a run that is owed has begun."""
LATE_SHARE = 1.5
"""Of its interval after the last start, a run is late: no window holds it then."""
PACED = ((5, 0.1), (14, 1.0))
"""So many paced starts before one, the first lies at least so many seconds back."""
SHOWN = 8
"""Of all that is wrong, so many lines are told."""


class BugError(Exception):
    """What a job does not foresee: the only such error that is planted."""


@dataclass
class Served:
    """What is known of one job's runs, its crashes, and what operators did to it. Times are trio's."""

    job: Job
    at: float = 0.0
    """When it last got to work, or could not have."""
    running: int = 0
    is_at_work: bool = False
    """A run is under way and does not wait for a context."""
    begun_at: float | None = None
    """When it last began or was skipped."""
    begun: datetime | None = None
    """The same by the wall clock."""
    ending: Ending | None = None
    tries: int = 0
    free_tries: int = 0
    error: Exception | None = None
    """What ended the try under way."""
    paused_at: float | None = None
    owed_at: float | None = None
    """Since when a run could have begun that must begin."""
    crashes_in_a_row: int = 0
    crashes: deque[float] = field(default_factory=deque)
    crashed_at: float = -1e9
    must_stand: bool = False

    @property
    def interval_s(self) -> float:
        return self.job.interval_s


class Witness:
    """Is told what comes to pass, and notes what is not as it must be."""

    def __init__(self, day: Day) -> None:
        self.wrong: list[str] = []
        self.seen: Counter[str] = Counter()
        """How often what a rule is about came to pass."""
        self.served: dict[str, Served] = {}
        self.last_break_at = -1e9
        self.jumped_at = -1e9
        self.drained_at: float | None = None
        self.last_end_at = 0.0
        self._day = day
        self._rule = RestartRule()
        self._paced: deque[float] = deque(maxlen=max(before for before, _ in PACED))
        self._nightly: list[datetime] = []

    def must(self, is_so: bool, text: str) -> None:
        if not is_so:
            self.wrong.append(f"{text} (at {trio.current_time():.3f} s)")

    def check(self) -> None:
        """Raise AssertionError if something was wrong up to now."""
        if self.wrong:
            more = len(self.wrong) - SHOWN
            raise AssertionError("\n".join(self.wrong[:SHOWN]) + (f"\n… and {more} more" if more > 0 else ""))

    # ── runs ────────────────────────────────────────────────────────────────────────────────────

    def begins(self, run: Run) -> None:
        day, served, now = self._day, self.served[run.job], trio.current_time()
        job, is_again = served.job, _is_again(run, served)
        self.must(served.running == 0, f"overlap: {run.job} runs twice")
        self.must(not served.must_stand, f"crashes: {run.job} was started again by nobody")
        why_not = day.modes.why_not(job)
        self.must(why_not is None or now == day.looked_at, f"modes: {run.job} began although {why_not}")
        is_paused = served.paused_at is not None and served.paused_at < now
        self.must(run.is_asked or not is_paused, f"pause: {run.job} began ({run.trigger})")
        is_over = self.drained_at is not None and self.drained_at < now
        self.must(not is_over, f"shutdown: {run.job} began after the drain ({run.trigger})")
        is_woken_by_nobody = run.trigger.endswith(" is done") and served.owed_at is None
        self.must(is_again or not is_woken_by_nobody, f"owed: {run.job} began by itself ({run.trigger})")
        self._check_window(run, served)
        if not (run.is_asked or is_again or job.priority == 0 or job.is_upkeep):
            self._check_pace(run.job, now)
        if run.trigger == SCHEDULE and served.ending is not Ending.RETRY:
            self._check_misfire(served, now)
        served.tries = served.tries + 1 if is_again else 1
        served.free_tries = served.free_tries if is_again else 0
        self._check_tries(run, served)
        self._note_begin(served)
        served.running += 1
        served.error = None

    def works(self, name: str) -> None:
        """The run waits for nothing any more."""
        self.served[name].at = trio.current_time()
        self.served[name].is_at_work = True

    def waits(self, name: str) -> None:
        """The run has given back its context; it may want another one."""
        self.served[name].at = trio.current_time()
        self.served[name].is_at_work = False

    def stops(self, run: Run, error: BaseException | None) -> None:
        """The work of a run has ended, by that error or without."""
        served = self.served[run.job]
        served.running -= 1
        if served.is_at_work:
            served.at = trio.current_time()
        served.is_at_work = False
        if isinstance(error, Exception):
            served.error = error
            self.check_error(run.job, error, (BugError, OrchestratorError))
        self._check_length(served)

    def ends(self, job: Job, outcome: Outcome) -> None:
        """The house has heard how a run ended."""
        now, served = trio.current_time(), self.served[job.name]
        self.last_end_at = now
        if outcome.ending is Ending.SKIPPED:
            self._note_begin(served)
        else:
            self._check_retry(served, outcome)
        if outcome.detail.startswith("bug: "):
            is_planted = outcome.detail.startswith("bug: BugError: ")
            self.must(is_planted, f"error: {job.name}: {outcome.detail}")
            if self.drained_at is None:
                self._count_crash(served)
        elif outcome.ending in (Ending.DONE, Ending.NOTHING_TO_DO):
            served.crashes_in_a_row = 0
        served.ending = outcome.ending
        if outcome.ending is Ending.RETRY:
            served.owed_at = now + job.retry_rule.cap_s
        elif served.owed_at is not None:
            served.owed_at = now
        if outcome.ending is Ending.DONE:
            for follower in self.served.values():
                if job.name in follower.job.after:
                    self.seen["woken"] += 1
                    self.owe(follower.job.name)

    def owe(self, name: str) -> None:
        """A run must begin."""
        served = self.served[name]
        if served.owed_at is None:
            served.owed_at = trio.current_time()

    def _note_begin(self, served: Served) -> None:
        served.begun_at, served.begun = trio.current_time(), self._day.clock.now()
        served.owed_at = None

    def _check_window(self, run: Run, served: Served) -> None:
        """A job that never began counts from its first wish, which is no earlier than the day."""
        now = self._day.clock.now()
        if not served.job.not_in_window or run.is_asked or self._day.windows.open_at(now) is None:
            return
        slack = timedelta(seconds=LATE_SHARE * served.interval_s)
        latest = min(served.begun or self._day.start, now) + slack
        self.must(now >= latest, f"window: {run.job} began in an open one, and is late from {latest} on")

    def _check_pace(self, name: str, now: float) -> None:
        for before, apart_s in PACED:
            if len(self._paced) >= before:
                is_close = now - self._paced[-before] < apart_s - ROUNDING_S
                self.must(not is_close, f"pacer: {name} and {before} others began within {apart_s} s")
        if self._paced and now - self._paced[-1] <= 0.1 + ROUNDING_S:
            self.seen["paced"] += 1
        self._paced.append(now)

    def _check_misfire(self, served: Served, now: float) -> None:
        day, name = self._day, served.job.name
        if served.job.daily_at is not None:
            if name == day.nightly_name and not day.jumps:
                self._nightly.append(day.clock.now())
                allowed = 1 + (self._nightly[-1] >= day.nightly_at)
                is_fit = len(self._nightly) <= allowed
                self.must(is_fit, f"misfire: {name} began at {', '.join(map(str, self._nightly))}")
            return
        if served.begun_at is None or self.jumped_at >= served.begun_at or served.owed_at is not None:
            return
        shortest_s = (1 - JITTER_SHARE) * served.interval_s - (GRID_S if is_batched(served.job) else 0.0)
        gap_s = now - served.begun_at
        self.must(gap_s >= shortest_s - ROUNDING_S, f"misfire: {name} began again after {gap_s:.0f} s")

    def _check_tries(self, run: Run, served: Served) -> None:
        allowed = 1 + served.job.retry_rule.retries
        tries = served.tries - min(served.free_tries, FREE_TRIES)
        is_fit = max(run.attempt, tries) <= allowed
        self.must(is_fit, f"tries: {run.job} has its try {served.tries} ({run.attempt}) of {allowed}")

    def _check_retry(self, served: Served, outcome: Outcome) -> None:
        """What fails in a way that may pass is tried again exactly as often as its rule says."""
        error = served.error
        if isinstance(error, OrchestratorError) and not error.costs_attempt:
            served.free_tries += 1
        if type(error) is not SiteUnavailableError:
            return
        attempt = served.tries - min(served.free_tries, FREE_TRIES)
        is_left = attempt <= served.job.retry_rule.retries
        self.seen["tries left" if is_left else "tries used up"] += 1
        is_fit = outcome.ending is (Ending.RETRY if is_left else Ending.GIVEN_UP)
        self.must(is_fit, f"tries: {served.job.name} ends with {outcome.ending} after try {attempt}")

    def _check_length(self, served: Served) -> None:
        assert served.begun_at is not None
        took_s = trio.current_time() - served.begun_at
        longest_s = served.job.max_run_s + self._day.allocator_settings.cleanup_s
        self.must(took_s <= longest_s + ROUNDING_S, f"limit: {served.job.name} runs for {took_s:.0f} s")

    # ── crashes ─────────────────────────────────────────────────────────────────────────────────

    def _count_crash(self, served: Served) -> None:
        now = trio.current_time()
        served.crashed_at = now
        served.crashes_in_a_row += 1
        served.crashes.append(now)
        while served.crashes[0] < now - self._rule.window_s:
            served.crashes.popleft()
        served.must_stand = max(served.crashes_in_a_row, len(served.crashes)) > self._rule.budget
        if served.must_stand:
            by_streak = served.crashes_in_a_row > self._rule.budget
            self.seen["failed by a streak" if by_streak else "failed by a burst"] += 1
        self._day.nursery.start_soon(self._check_standing_soon, served)

    async def _check_standing_soon(self, served: Served) -> None:
        await trio.sleep(0.001)  # the actor has ended by then, and hardly any restart has come
        self._check_standing(served)

    def _check_standing(self, served: Served) -> None:
        if self.drained_at is None and served.crashed_at != trio.current_time():
            actor = self._day.supervisor.actors[served.job.name]
            is_failed = actor.state is ActorState.FAILED
            crashes = f"{served.crashes_in_a_row} crashes in a row, {len(served.crashes)} lately"
            self.must(
                is_failed == served.must_stand,
                f"crashes: {served.job.name} is {actor.state} after {crashes}",
            )

    def check_error(self, name: str, error: BaseException | None, planted: tuple[type, ...]) -> None:
        """Also what hides in a group, or behind another error."""
        for one in _all_of(error):
            is_planted = isinstance(one, planted) or not isinstance(one, Exception)
            self.must(is_planted, f"error: {name}: {type(one).__name__}: {one}")

    def hear(self, _logger: object, _method: str, event: Mapping[str, object]) -> NoReturn:
        """A processor of structlog: an actor that crashes by an error of its own says so only there."""
        if event["event"] == "actor_crashed":
            self.check_error(f"the actor of {event['job']}", sys.exc_info()[1], (BugError, OrchestratorError))
        raise structlog.DropEvent

    # ── operators ───────────────────────────────────────────────────────────────────────────────

    def paused(self, name: str | None) -> None:
        for served in self._meant(name):
            if served.paused_at is None and not (name is None and served.job.is_upkeep):
                served.paused_at = trio.current_time()

    def resumed(self, name: str | None) -> None:
        for served in self._meant(name):
            served.paused_at = None
            if served.owed_at is not None:
                served.owed_at = trio.current_time()
            self.revived(served)

    def revived(self, served: Served) -> None:
        """An operator has resumed or asked for it: one that stands still starts afresh."""
        if served.must_stand:
            served.must_stand = False
            served.crashes_in_a_row = 0
            served.crashes.clear()

    def jumped(self) -> None:
        """The wall clock was set: what comes once a day may have to wait for another day."""
        self.jumped_at = trio.current_time()
        for served in self.served.values():
            if served.job.daily_at is not None:
                served.owed_at = None

    def _meant(self, name: str | None) -> Iterator[Served]:
        yield from self.served.values() if name is None else [self.served[name]]

    # ── contexts ────────────────────────────────────────────────────────────────────────────────

    def granted(self, lease: Lease) -> None:
        if lease.lane is Lane.CRITICAL:
            self._check_wait(lease.holder, lease.waited_s)
            return
        slots = self._day.allocator.snapshot().slots
        critical = sum(slot.lease is not None and slot.lease.lane == Lane.CRITICAL.label for slot in slots)
        free = sum(slot.state == "free" for slot in slots)
        is_kept = critical + free >= self._day.allocator_settings.critical_guarantee
        self.must(is_kept, f"reserve: {lease.holder} was given what is kept for critical work")

    def _check_wait(self, holder: str, waited_s: float) -> None:
        """The promise of critical work; on ordinary days slots break, which it does not cover."""
        day = self._day
        broke = self.last_break_at > trio.current_time() - waited_s or not day.is_browser_up
        is_kept = waited_s <= day.allocator_settings.critical_wait_s + ROUNDING_S
        self.must(is_kept or (broke and not day.is_scarce), f"critical: {holder} waits for {waited_s:.0f} s")

    # ── now and then ────────────────────────────────────────────────────────────────────────────

    async def watch(self) -> None:
        """Look at all jobs; raises AssertionError when something is or was wrong."""
        while True:
            await trio.sleep(self._day.look_s)
            for waiter in self._day.allocator.snapshot().queue:
                if waiter.lane == Lane.CRITICAL.label:
                    self._check_wait(waiter.holder, waiter.waited_s)
            for served in self.served.values():
                self._check_service(served)
                self._check_owed(served)
                self._check_standing(served)
                if served.running:
                    self._check_length(served)
            self.check()

    def _check_service(self, served: Served) -> None:
        """Nobody starves; time in which a job could not have worked does not count."""
        now, name = trio.current_time(), served.job.name
        if served.is_at_work or self._could_not_work(served):
            served.at = now
        unserved_s, actor = now - served.at, self._day.supervisor.actors[name]
        rule = served.job.retry_rule
        back_off_s = rule.bound_s(rule.retries)
        self.must(
            unserved_s <= served.interval_s + max(served.interval_s, back_off_s),
            f"starve: {name} has not worked for {unserved_s:.0f} s: {actor.state} {actor.detail}",
        )

    def _could_not_work(self, served: Served) -> bool:
        day = self._day
        is_off = served.paused_at is not None or self.drained_at is not None or served.must_stand
        is_away = (served.job.uses_browser and not day.is_browser_up) or not day.records.is_up
        return is_off or is_away or day.modes.why_not(served.job) is not None

    def _check_owed(self, served: Served) -> None:
        now, day = trio.current_time(), self._day
        is_resting = now - served.crashed_at <= self._rule.delay.cap_s + 1
        in_window = served.job.not_in_window and day.windows.open_at(day.clock.now()) is not None
        is_off = served.paused_at is not None or self.drained_at is not None or served.must_stand
        if served.owed_at is None:
            return
        if served.running or is_resting or in_window or is_off:
            served.owed_at = max(now, served.owed_at)
        unserved_s = now - served.owed_at
        actor = day.supervisor.actors[served.job.name]
        text = f"{served.job.name} should have begun {unserved_s:.0f} s ago: {actor.state} {actor.detail}"
        self.must(unserved_s <= day.look_s + OWED_S, f"owed: {text}")

    # ── at the end ──────────────────────────────────────────────────────────────────────────────

    def drained(self) -> None:
        """`Supervisor.run` has returned."""
        assert self.drained_at is not None
        self.seen["drained"] += 1
        idle_s = trio.current_time() - max(self.drained_at, self.last_end_at)
        self.must(idle_s <= ROUNDING_S, f"shutdown: it went on for {idle_s:.0f} s after the last run")

    def cut_off(self, cut_at: float) -> None:
        """The house has ended, and was cut off at that moment."""
        self.seen["cut off"] += 1
        took_s = trio.current_time() - cut_at
        bound_s = self._day.allocator_settings.cleanup_s + RECORD_PATIENCE_S + ROUNDING_S
        self.must(took_s <= bound_s, f"shutdown: it ended {took_s:.0f} s after it was cut off")

    def look_back(self) -> None:
        """Nothing is left. Raises AssertionError when something was wrong on this day."""
        snapshot, records = self._day.allocator.snapshot(), self._day.records
        self.must(not snapshot.queue, f"shutdown: {snapshot.queue} still wait")
        is_held = any(slot.lease is not None for slot in snapshot.slots)
        self.must(not is_held, f"shutdown: {snapshot.slots} still held")
        running = [name for name, served in self.served.items() if served.running]
        self.must(not running, f"shutdown: {', '.join(running)} still run")
        is_whole = set(records.finished) == set(range(1, records.began + 1))
        self.must(is_whole, "record: a row was not finished")
        is_once = all(times == 1 for times in records.finished.values())
        self.must(is_once, "record: a row was finished twice")
        self.check()


def _is_again(run: Run, served: Served) -> bool:
    """Whether this is one more try of the run before; a retry that was held back begins afresh."""
    return served.ending is Ending.RETRY and (run.is_retry or run.attempt > 1)


def _all_of(error: BaseException | None) -> list[BaseException]:
    """The error, the members of a group, and what each was raised from or upon."""
    found: list[BaseException] = []
    ahead = [error]
    while ahead:
        one = ahead.pop()
        if one is None or any(one is other for other in found):
            continue
        ahead += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            ahead += one.exceptions
        else:
            found.append(one)
    return found
