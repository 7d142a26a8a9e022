"""One virtual day of the whole runtime: real actors, schedule, pacer, allocator, retries and modes.

Site, store and browser are fakes that fail by chance; contexts break, the database and the browser go down,
the wall clock jumps, operators pause and resume, and at the end the house drains. `Day` watches all the
while that

    starve     every job gets to work at least once in twice its interval, unless it is paused, failed or
               what it needs is down
    reserve    nobody else is given a context that is kept for critical work
    critical   critical work waits for a context no longer than `critical_wait_s`, rebuilt contexts excepted
    overlap    no two runs of a job are under way at once
    crashes    a job that has used up its restarts stands still until an operator starts it again
    modes      no run begins while what it needs is known to be down
    record     every row that is begun is finished once
    shutdown   the drain ends, and leaves no lease and no waiter

About every other day is a scarce one: critical work alone can fill the contexts, others hold them for
minutes, half of them without listening, and nothing breaks, so that the promise holds without exception.

The load of an ordinary day is `ours` of `orchestrator simulate`. On most days intervals below ten minutes are
made so long, and the house looks at itself less often, so that a day is short; a close day keeps them.

The same seed gives the same day.
"""

import logging
import math
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from functools import partial
from random import Random
from zoneinfo import ZoneInfo

import structlog
import trio
import trio.testing

from orchestrator.actors import watch
from orchestrator.actors.actor import SCHEDULE, Actor, ActorState, Surroundings
from orchestrator.actors.job import Job, Run
from orchestrator.actors.supervisor import RestartRule, Supervisor
from orchestrator.actors.window import PostingWindows
from orchestrator.allocator import Allocator, Lane, Lease
from orchestrator.clock import Clock
from orchestrator.errors import (
    BrowserError,
    ContextBrokenError,
    DatabaseUnavailableError,
    PostRefusedError,
    SiteUnavailableError,
)
from orchestrator.health.checks import Check, Checks
from orchestrator.health.modes import BROWSER, DATABASE, Modes
from orchestrator.metrics import Metrics
from orchestrator.model import Outcome, done, nothing_to_do
from orchestrator.settings import AllocatorSettings
from orchestrator.simulate.lengths import LogNormal
from orchestrator.simulate.load import SimulatedJob, no_work, read_load
from orchestrator.simulate.order import repeatable_order

DAY_S = 86_400.0
DRAIN_S = 60.0
"""Runs under way at the end of the day have so long to end by themselves."""
BERLIN = ZoneInfo("Europe/Berlin")
STARTS = (
    datetime(2026, 3, 28, 20, tzinfo=UTC),
    datetime(2026, 10, 24, 20, tzinfo=UTC),
    datetime(2026, 6, 1, tzinfo=UTC),
)
"""Days begin before either change of the clocks, or on an ordinary midnight."""
LOOK_S = 300.0
"""Between two looks at checks, clock and service."""
OFTEN_S = 600.0
"""Shorter intervals are made so long."""
CLOSE_LOOK_S = 15.0
CLOSE_SHARE = 0.02
NIGHTLY = "nightly"
"""Runs at 02:30 in Berlin: a time that one of the changes skips, and the other has twice."""


class BugError(Exception):
    """What a job does not foresee."""


@dataclass
class Served:
    """What is known of one job's service."""

    at: float
    """When it last got to work, or could not have."""
    running: int = 0
    crashes_in_a_row: int = 0
    crashes: deque[float] | None = None
    must_stand: bool = False


class Records:
    """The store: rows of runs, and a database that goes down."""

    def __init__(self) -> None:
        self.is_up = True
        self.began = 0
        self.finished: Counter[int] = Counter()

    async def begin(self, run: Run, started_at: datetime) -> int:
        await self.answer()
        self.began += 1
        return self.began

    async def finish(self, run_id: int, outcome: Outcome, finished_at: datetime) -> None:
        self.finished[run_id] += 1
        await self.answer()

    async def answer(self) -> str:
        await trio.lowlevel.checkpoint()
        if not self.is_up:
            raise DatabaseUnavailableError("the database is away")
        return "takes writes"


class Day:
    """One day. Raises AssertionError when something is not as it must be."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        self.ahead_s = 0.0
        self.start = rng.choice(STARTS)
        self.clock = Clock(
            shown_epoch=self.start.timestamp(), time=lambda: trio.current_time() + self.ahead_s
        )
        self.metrics = Metrics()
        self.records = Records()
        self.is_browser_up = True
        self.is_scarce = rng.random() < 0.5
        self.is_close = rng.random() < CLOSE_SHARE
        self.look_s = CLOSE_LOOK_S if self.is_close else LOOK_S
        self.allocator_settings = _scarce(rng) if self.is_scarce else AllocatorSettings()
        self.allocator = Allocator(self.allocator_settings, on_grant=self._granted, on_broken=self._broke)
        self.windows = PostingWindows()
        self.served: dict[str, Served] = {}
        self.nightly_runs: list[datetime] = []
        self.runs = 0
        self.last_break = -DAY_S
        self.jumps = 0

    # ── the house ───────────────────────────────────────────────────────────────────────────────

    async def live(self) -> None:
        self.checks = Checks(self.clock, self.metrics)
        self.checks.add(Check(DATABASE, self.records.answer))
        self.checks.add(Check(BROWSER, self._show_page))
        self.modes = Modes(self.checks, self.metrics)
        house = Surroundings(
            self.clock,
            self.rng,
            self.records,
            self.modes.why_not,
            self._run_ended,
            self.windows.open_at,
        )
        actors = [Actor(replace(job.job, work=self._work_of(job)), house) for job in self._jobs()]
        self.supervisor = Supervisor(actors, self.metrics, house)
        self.rule = RestartRule()
        self.served = {actor.job.name: Served(0.0, crashes=deque()) for actor in actors}
        await self.checks.look_at_all()
        self.modes.start()
        async with trio.open_nursery() as nursery:
            self.nursery = nursery
            for trouble in (
                self._watch,
                self._recover,
                self._outages,
                self._operate,
                self._break,
                self._jump,
            ):
                nursery.start_soon(trouble)
            nursery.start_soon(self._end_the_day)
            await self.supervisor.run()
            nursery.cancel_scope.cancel()
        self._look_back()

    def _jobs(self) -> list[SimulatedJob]:
        jobs = [job for job in read_load("ours").jobs if self.rng.random() < 0.9 or job.job.name == "posting"]
        if self.is_scarce:
            jobs = [job for job in jobs if not job.job.uses_browser] + _crowd(
                self.allocator_settings.capacity
            )
        names = {job.job.name for job in jobs}
        nightly = next(job for job in read_load("ours").jobs if job.job.name == "learn")
        nightly = replace(
            nightly,
            job=replace(
                nightly.job, name=NIGHTLY, every_s=None, daily_at=time(2, 30, tzinfo=BERLIN), after=()
            ),
            idle_share=0.0,
        )
        shortest_s = 0.0 if self.is_close else OFTEN_S
        return [nightly] + [
            replace(
                job,
                job=replace(
                    job.job,
                    every_s=job.job.every_s and max(job.job.every_s, shortest_s if job.job.priority else 0),
                    after=tuple(name for name in job.job.after if name in names),
                    not_in_window=job.items > 1,
                    is_upkeep=job.job.name in ("health_monitor", "memory_keeper"),
                ),
            )
            for job in jobs
        ]

    async def _show_page(self) -> str:
        await trio.lowlevel.checkpoint()
        if not self.is_browser_up:
            raise BrowserError("no browser")
        return "shows a page"

    # ── the work ────────────────────────────────────────────────────────────────────────────────

    def _work_of(self, simulated: SimulatedJob) -> Callable[[Run], Awaitable[Outcome]]:
        async def work(run: Run) -> Outcome:
            served = self.served[run.job]
            assert served.running == 0, f"overlap: {run.job} runs twice"
            assert not served.must_stand, f"crashes: {run.job} was started again by nobody"
            why_not = self.modes.why_not(simulated.job)
            assert why_not is None, f"modes: {run.job} began although {why_not}"
            self.runs += 1
            served.running += 1
            try:
                return await self._do(simulated, run)
            finally:
                served.running -= 1

        return work

    async def _do(self, simulated: SimulatedJob, run: Run) -> Outcome:
        rng, job = self.rng, simulated.job
        if job.name == NIGHTLY and run.trigger == SCHEDULE and run.attempt == 1:
            self.nightly_runs.append(self.clock.now())
        if not job.uses_browser:
            self._serve(job.name)
            await trio.sleep(simulated.length.draw(rng))
        elif rng.random() < simulated.idle_share:
            self._serve(job.name)
            return nothing_to_do("no post is due")
        else:
            await self._visit(simulated, job)
        if job.name == "plan":
            now = self.clock.now()
            self.windows.expect(now + timedelta(minutes=rng.uniform(5, 90)) for _ in range(2))
        if job.name == "posting":
            self.windows.expect(())
        self._fail_by_chance(simulated)
        return done()

    async def _visit(self, simulated: SimulatedJob, job: Job) -> None:
        item_s, left = simulated.length.draw(self.rng) / simulated.items, simulated.items
        listens = self.rng.random() < (0.5 if self.is_scarce else 0.9)
        while left:
            async with self._lease(job) as lease:
                batch = min(left, simulated.batch or left)
                begin = trio.current_time()
                with trio.move_on_after(batch * item_s):
                    if listens:
                        await lease.wait_called_back()
                    else:
                        await trio.sleep_forever()
                pages = min(batch, math.ceil((trio.current_time() - begin) / item_s))
                await trio.sleep(max(0.0, begin + pages * item_s - trio.current_time()))
                left -= max(1, pages)

    @asynccontextmanager
    async def _lease(self, job: Job) -> AsyncIterator[Lease]:
        rng = self.rng
        async with self.allocator.lease(job.name, priority=job.priority) as lease:
            self._serve(job.name)
            try:
                await self.records.answer()
                if not self.is_browser_up or (rng.random() < 0.005 and not self.is_scarce):
                    lease.mark_broken()
                    raise ContextBrokenError("the renderer is gone")
                yield lease
            finally:
                with trio.CancelScope(shield=True):  # a holder takes its time to end
                    await trio.sleep(rng.uniform(0, self.allocator_settings.cleanup_s))

    def _fail_by_chance(self, simulated: SimulatedJob) -> None:
        chance = self.rng.random()
        if chance < 0.01:
            raise BugError("nobody thought of this")
        if chance < 0.02:
            raise PostRefusedError("the site says no")
        if chance < 0.03 + simulated.failure_rate:
            raise SiteUnavailableError("the site is slow")

    # ── what goes wrong ─────────────────────────────────────────────────────────────────────────

    async def _outages(self) -> None:
        rng = self.rng
        while True:
            await trio.sleep(rng.expovariate(1 / 20_000))
            outage_s = rng.choice([5, 60, 1800]) * rng.random()
            if self.is_scarce or rng.random() < 0.5:
                self.records.is_up = False
                await trio.sleep(outage_s)
                self.records.is_up = True
            else:
                self.is_browser_up = False
                await trio.sleep(outage_s)
                self.is_browser_up = True

    async def _recover(self) -> None:
        """Stands for `Checks.watch_for_recovery` and the looks of health_monitor."""
        while True:
            await trio.sleep(self.look_s)
            await self.checks.look_at_all()

    async def _break(self) -> None:
        while not self.is_scarce:
            await trio.sleep(self.rng.expovariate(1 / 10_000))
            self.allocator.break_slot(self.rng.randrange(self.allocator_settings.capacity))

    def _broke(self, slot: int) -> None:
        self.last_break = trio.current_time()
        self.nursery.start_soon(self._rebuild, slot)

    async def _rebuild(self, slot: int) -> None:
        await trio.sleep(self.rng.uniform(0.5, 5))
        while not self.is_browser_up:
            await trio.sleep(5)
        self.last_break = trio.current_time()
        self.allocator.mend(slot)

    async def _operate(self) -> None:
        rng, names = self.rng, list(self.served)
        while True:
            await trio.sleep(rng.expovariate(1 / 8_000))
            name = rng.choice([None, rng.choice(names)])
            what = rng.random()
            if what < 0.4:
                self.supervisor.pause(name)
                await trio.sleep(rng.expovariate(1 / 3_000))
                self._resume(name)
            elif what < 0.7 or name is None:
                self._resume(None)
            else:
                self.served[name].must_stand = False
                self.supervisor.run_now(name, "alice")

    def _resume(self, name: str | None) -> None:
        for served in self.served.values() if name is None else [self.served[name]]:
            served.must_stand = False
        self.supervisor.resume(name)

    async def _jump(self) -> None:
        rng = self.rng
        if rng.random() < 0.5:
            return
        while True:
            await trio.sleep(rng.expovariate(1 / 30_000))
            self.jumps += 1
            self.ahead_s += rng.choice([-86_400, -3_600, -30, 30, 3_600, 8 * 3_600, 86_400])

    async def _end_the_day(self) -> None:
        await trio.sleep(DAY_S)
        self.supervisor.drain()
        await trio.sleep(DRAIN_S)
        self.nursery.cancel_scope.cancel()

    # ── what must hold ──────────────────────────────────────────────────────────────────────────

    def told(self) -> list[object]:
        """What the day was like, to compare."""
        return [self.runs, self.records.began, self.jumps, [(n, s.at) for n, s in self.served.items()]]

    def _granted(self, lease: Lease) -> None:
        if lease.lane is Lane.CRITICAL:
            self._check_wait(lease.holder, lease.waited_s)
            return
        slots = self.allocator.snapshot().slots
        critical = sum(slot.lease is not None and slot.lease.lane == Lane.CRITICAL.label for slot in slots)
        free = sum(slot.state == "free" for slot in slots)
        kept = self.allocator_settings.critical_guarantee
        assert critical + free >= kept, f"reserve: {lease.holder} was given what is kept for critical work"

    def _check_wait(self, holder: str, waited_s: float) -> None:
        """The promise of critical work; on ordinary days slots break, which it does not cover."""
        broke = self.last_break > trio.current_time() - waited_s or not self.is_browser_up
        is_kept = waited_s <= self.allocator_settings.critical_wait_s + 1e-6
        assert is_kept or (broke and not self.is_scarce), f"critical: {holder} waits for {waited_s:.0f} s"

    def _serve(self, name: str) -> None:
        self.served[name].at = trio.current_time()

    def _run_ended(self, job: Job, outcome: Outcome, _duration_s: float) -> None:
        served = self.served[job.name]
        assert served.crashes is not None
        now = trio.current_time()
        if outcome.detail.startswith("bug: "):
            served.crashes_in_a_row += 1
            served.crashes.append(now)
            while served.crashes[0] < now - self.rule.window_s:
                served.crashes.popleft()
            served.must_stand = max(served.crashes_in_a_row, len(served.crashes)) > self.rule.budget
        elif outcome.ending in ("done", "nothing_to_do"):
            served.crashes_in_a_row = 0
        self.supervisor.job_ended(job.name, outcome)

    async def _watch(self) -> None:
        """Nobody starves; time in which a job could not have worked does not count."""
        while True:
            await trio.sleep(self.look_s)
            now = trio.current_time()
            for waiter in self.allocator.snapshot().queue:
                if waiter.lane == Lane.CRITICAL.label:
                    self._check_wait(waiter.holder, waiter.waited_s)
            for name, actor in self.supervisor.actors.items():
                served = self.served[name]
                if self._could_not_work(actor):
                    served.at = now
                unserved_s = now - served.at
                text = f"starve: {name} has not worked for {unserved_s:.0f} s: {actor.state} {actor.detail}"
                assert unserved_s <= 2 * actor.job.interval_s, text

    def _could_not_work(self, actor: Actor) -> bool:
        is_off = actor.is_paused or actor.is_draining or actor.state is ActorState.FAILED
        needs_browser, browser_away = actor.job.uses_browser, not self.is_browser_up
        is_away = (needs_browser and browser_away) or not self.records.is_up
        return is_off or is_away or self.modes.why_not(actor.job) is not None

    def _look_back(self) -> None:
        snapshot = self.allocator.snapshot()
        assert not snapshot.queue, f"shutdown: {snapshot.queue} still wait"
        assert all(slot.lease is None for slot in snapshot.slots), f"shutdown: {snapshot.slots} still held"
        finished = self.records.finished
        assert set(finished) == set(range(1, self.records.began + 1)), "record: a row was not finished"
        assert all(times == 1 for times in finished.values()), "record: a row was finished twice"
        if not self.jumps:
            days = [moment.astimezone(BERLIN).date() for moment in self.nightly_runs[1:]]
            assert len(days) == len(set(days)), f"misfire: {NIGHTLY} ran at {self.nightly_runs}"


def _scarce(rng: Random) -> AllocatorSettings:
    """Few contexts, which critical work alone can fill."""
    if rng.random() < 0.5:
        return AllocatorSettings(capacity=2, background_guarantee=0)
    return AllocatorSettings(capacity=3)


def _crowd(critical: int) -> list[SimulatedJob]:
    """So many critical jobs as there are contexts, and others that hold one for minutes."""

    def make(name: str, priority: int, every_s: float, length: LogNormal, items: int) -> SimulatedJob:
        job = Job(name, no_work, priority=priority, every_s=every_s, uses_browser=True, max_run_s=1800)
        return SimulatedJob(job, length, items=items)

    return [
        *(make(f"post_{n}", 0, 600.0, LogNormal(30, 60), 1) for n in range(critical)),
        *(make(f"deep_{n}", 1, 3_600.0, LogNormal(240, 320), 30) for n in range(2)),
        *(make(f"wide_{n}", 4 + n, 7_200.0, LogNormal(240, 320), 30) for n in range(3)),
    ]


def live(seed: int) -> Day:
    """Live one day. Raises what is wrong with it."""
    before, look_every_s = structlog.get_config(), watch.LOOK_EVERY_S
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        with repeatable_order(seed):
            day = Day(seed)
            watch.LOOK_EVERY_S = day.look_s
            trio.run(partial(_live, day), clock=trio.testing.MockClock(autojump_threshold=0))
            return day
    finally:
        structlog.configure(**before)
        watch.LOOK_EVERY_S = look_every_s


async def _live(day: Day) -> None:
    with trio.fail_after(DAY_S + 3_600):
        await day.live()
