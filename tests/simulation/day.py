"""One virtual day of the whole runtime: real actors, schedule, pacer, allocator, retries and modes.

Site, store and browser are fakes that fail by chance. What else goes wrong is in `troubles`, and what must
hold all the while in `checks`. At the end the house drains, and has the time of its longest run for it;
every fourth day it is cut off after the daemon's deadline instead.

About every other day is a scarce one: critical work alone can fill the contexts, others hold them for
minutes, half of them without listening, and nothing breaks, so that the promise holds without exception.

The load of an ordinary day is `ours` of `orchestrator simulate`. On most days intervals below ten minutes are
made so long, and the house looks at itself less often, so that a day is short; a close day keeps them.

The same seed gives the same day.
"""

import logging
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from functools import partial
from random import Random
from zoneinfo import ZoneInfo

import structlog
import trio
import trio.testing

from orchestrator.actors import watch
from orchestrator.actors.actor import Actor, Surroundings
from orchestrator.actors.attempt import RECORD_PATIENCE_S
from orchestrator.actors.job import MAX_RUN_S, Job, Run
from orchestrator.actors.supervisor import Supervisor
from orchestrator.actors.window import PostingWindows
from orchestrator.allocator import Allocator, Lease
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
from tests.simulation.checks import BugError, Served, Witness
from tests.simulation.troubles import SLOWEST_UNLUCKY_S, Troubles

DAY_S = 86_400.0
CUT_OFF_S = 30.0
"""On a day that is cut off, runs under way have so long to end by themselves."""
CUT_OFF_SHARE = 0.25
BERLIN = ZoneInfo("Europe/Berlin")
NIGHTLY = "nightly"
"""Runs at 02:30 in Berlin: a time that one of the changes skips, and the other has twice."""
STARTS = {
    datetime(2026, 3, 28, 20, tzinfo=UTC): datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
    datetime(2026, 10, 24, 20, tzinfo=UTC): datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
    datetime(2026, 6, 1, tzinfo=UTC): datetime(2026, 6, 1, 0, 30, tzinfo=UTC),
}
"""Days begin before either change of the clocks, or on an ordinary midnight; and when `NIGHTLY` is due then:
a time that is skipped counts an hour later, and one that comes twice the first time."""
LOOK_S = 300.0
"""Between two looks at checks, clock and service."""
OFTEN_S = 600.0
"""Shorter intervals are made so long."""
CLOSE_LOOK_S = 15.0
CLOSE_SHARE = 0.02


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
        self.start = rng.choice(list(STARTS))
        self.clock = Clock(
            shown_epoch=self.start.timestamp(), time=lambda: trio.current_time() + self.ahead_s
        )
        self.metrics = Metrics()
        self.records = Records()
        self.is_browser_up = True
        self.is_scarce = rng.random() < 0.5
        self.is_close = rng.random() < CLOSE_SHARE
        self.is_cut_off = rng.random() < CUT_OFF_SHARE
        self.look_s = CLOSE_LOOK_S if self.is_close else LOOK_S
        self.looked_at = 0.0
        self.nightly_name, self.nightly_at = NIGHTLY, STARTS[self.start]
        self.witness = Witness(self)
        self.allocator_settings = _scarce(rng) if self.is_scarce else AllocatorSettings()
        self.allocator = Allocator(
            self.allocator_settings, on_grant=self.witness.granted, on_broken=self._broke
        )
        self.windows = PostingWindows()
        self.runs = 0
        self.jumps = 0
        self.cut_at: float | None = None

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
        simulated = self._jobs()
        actors = [Actor(replace(job.job, work=self._work_of(job)), house) for job in simulated]
        self.supervisor = Supervisor(actors, self.metrics, house)
        self.witness.served = {actor.job.name: Served(actor.job) for actor in actors}
        often = [actor.job for actor in actors if actor.job.interval_s <= SLOWEST_UNLUCKY_S]
        self.troubles = Troubles(self, self.rng.choice(often))
        await self.checks.look_at_all()
        self.modes.start()
        async with trio.open_nursery() as nursery:
            self.nursery = nursery
            self.troubles.start(nursery)
            nursery.start_soon(self.witness.watch)
            nursery.start_soon(self._recover)
            nursery.start_soon(self._come_night)
            nursery.start_soon(self._end_the_day)
            await self.supervisor.run()
            self.witness.drained()
            nursery.cancel_scope.cancel()
        if self.cut_at is not None:
            self.witness.cut_off(self.cut_at)
        self.witness.look_back()

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
            self.witness.begins(run)
            self.runs += 1
            error: BaseException | None = None
            try:
                return await self._do(simulated)
            except BaseException as caught:
                error = caught
                raise
            finally:
                self.witness.stops(run, error)

        return work

    async def _do(self, simulated: SimulatedJob) -> Outcome:
        rng, job = self.rng, simulated.job
        if self.troubles.bad_luck.falls_on(job.name):
            self.witness.works(job.name)
            await self.troubles.bad_luck.strike()
        if not job.uses_browser:
            self.witness.works(job.name)
            await trio.sleep(simulated.length.draw(rng))
        elif rng.random() < simulated.idle_share:
            self.witness.works(job.name)
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
            self.witness.works(job.name)
            try:
                await self.records.answer()
                if not self.is_browser_up or (rng.random() < 0.005 and not self.is_scarce):
                    lease.mark_broken()
                    raise ContextBrokenError("the renderer is gone")
                yield lease
            finally:
                with trio.CancelScope(shield=True):  # a holder takes its time to end
                    await trio.sleep(rng.uniform(0, self.allocator_settings.cleanup_s))
                self.witness.waits(job.name)

    def _fail_by_chance(self, simulated: SimulatedJob) -> None:
        chance = self.rng.random()
        if chance < 0.01:
            raise BugError("nobody thought of this")
        if chance < 0.02:
            raise PostRefusedError("the site says no")
        if chance < 0.03 + simulated.failure_rate:
            raise SiteUnavailableError("the site is slow")

    # ── what goes on besides ────────────────────────────────────────────────────────────────────

    async def _recover(self) -> None:
        """Stands for `Checks.watch_for_recovery` and the looks of health_monitor."""
        while True:
            await trio.sleep(self.look_s)
            self.looked_at = trio.current_time()
            await self.checks.look_at_all()

    def _broke(self, slot: int) -> None:
        self.witness.last_break_at = trio.current_time()
        self.nursery.start_soon(self._rebuild, slot)

    async def _rebuild(self, slot: int) -> None:
        await trio.sleep(self.rng.uniform(0.5, 5))
        while not self.is_browser_up:
            await trio.sleep(5)
        self.witness.last_break_at = trio.current_time()
        self.allocator.mend(slot)

    def _run_ended(self, job: Job, outcome: Outcome, _duration_s: float) -> None:
        self.witness.ends(job, outcome)
        self.supervisor.job_ended(job.name, outcome)

    async def _come_night(self) -> None:
        await trio.sleep((self.nightly_at - self.start).total_seconds() - 1)
        if not self.jumps:
            self.witness.owe(NIGHTLY)

    async def _end_the_day(self) -> None:
        await trio.sleep(DAY_S)
        self.witness.drained_at = trio.current_time()
        self.supervisor.drain()
        if self.is_cut_off:
            await trio.sleep(CUT_OFF_S)
        else:
            await trio.sleep(MAX_RUN_S + self.allocator_settings.cleanup_s + RECORD_PATIENCE_S + 1)
            self.witness.must(False, f"shutdown: {', '.join(self.supervisor.running) or 'it'} goes on")
        self.cut_at = trio.current_time()
        self.nursery.cancel_scope.cancel()

    def told(self) -> list[object]:
        """What the day was like, to compare."""
        served = self.witness.served.items()
        return [self.runs, self.records.began, self.jumps, [(name, one.at) for name, one in served]]


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
    try:
        with repeatable_order(seed):
            day = Day(seed)
            only_errors = structlog.make_filtering_bound_logger(logging.ERROR)
            structlog.configure(processors=[day.witness.hear], wrapper_class=only_errors)
            watch.LOOK_EVERY_S = day.look_s
            trio.run(partial(_live, day), clock=trio.testing.MockClock(autojump_threshold=0))
            return day
    finally:
        structlog.configure(**before)
        watch.LOOK_EVERY_S = look_every_s


async def _live(day: Day) -> None:
    with trio.fail_after(DAY_S + 3_600):
        await day.live()
