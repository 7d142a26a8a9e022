"""A house around jobs under test: real actors and allocator; site, browser and database in memory."""

import math
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from random import Random

import structlog
import trio

from orchestrator.actors import attempt
from orchestrator.actors.actor import Actor, Surroundings
from orchestrator.actors.job import Job, Run
from orchestrator.actors.supervisor import Supervisor
from orchestrator.allocator import Allocator, Lane, Lease
from orchestrator.breaker import Transition
from orchestrator.breakers import Breakers, OnChange
from orchestrator.cache.parts import in_process
from orchestrator.content.writer import Writer
from orchestrator.db.fence import Fence, boot_time
from orchestrator.jobs.accounts import Accounts
from orchestrator.jobs.own import OwnJob
from orchestrator.jobs.registry import make_account
from orchestrator.jobs.tools import Tools
from orchestrator.metrics import Metrics
from orchestrator.model import Outcome
from orchestrator.retry import Tries
from orchestrator.settings import Settings
from orchestrator.sites.breakers import site_parties
from orchestrator.sites.profile import load_profile
from orchestrator.testing.browser import FakeBrowser
from orchestrator.testing.clock import WallClock
from orchestrator.testing.database import FakeDatabase
from orchestrator.testing.runs import FakeRunLog
from orchestrator.testing.site import FakeSite

ACCOUNTS = {"ada": "UTC", "grace": "Europe/Berlin"}
"""The accounts of the house and their time zones."""
SITE = "murmur"
ADDRESS = "http://127.0.0.1:9"
PASSWORD = "pass-of-nobody"  # noqa: S105 - of no account anywhere
HOUR_S = 3600.0
END_PATIENCE_S = 60.0
"""How long actors that were cut off may still take."""

log = structlog.get_logger("testing")


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended."""

    job: str
    outcome: Outcome
    started_at: datetime
    """By the wall clock."""
    duration_s: float


class House:
    """What jobs work with, and what tests turn and look at. Seconds pass at once where everybody waits.

    `open_house` makes one.
    """

    def __init__(self, settings: Settings, nursery: trio.Nursery) -> None:
        self.site = FakeSite()
        self.browser = FakeBrowser(self.site)
        self.database = FakeDatabase()
        self.wall = WallClock()
        self.ended: list[Ended] = []
        """The runs that actors made, in order."""
        self.beats: list[str] = []
        """What runs made by `run` have said of their progress."""
        self.woken: list[str] = []
        """The jobs that were woken by others."""
        self._nursery = nursery
        self._supervisor: Supervisor | None = None
        self._lease_called_back = trio.Event()
        rng, metrics, clock = Random(7), Metrics(), self.wall.clock()
        self.tools = Tools(
            settings=settings,
            clock=clock,
            rng=rng,
            database=self.database,
            fence=Fence(1, math.inf, boot_time()),
            allocator=Allocator(
                settings.allocator, on_call_back=self._on_call_back, on_broken=self.browser.note_broken
            ),
            open_site=self.browser.open_site,
            writer=Writer(settings.content),
            accounts=accounts_of(settings),
            breakers=breakers_of(settings, rng, metrics, self._on_breaker),
            metrics=metrics,
            cache=in_process(settings.cache, clock, metrics),
            wake=self._on_wake,
        )

    @property
    def now(self) -> datetime:
        return self.tools.clock.now()

    async def run(self, job: OwnJob | Job, trigger: str = "schedule") -> Outcome:
        """One try of the job, as its actor would make it, and how it ended. A bug in it is raised."""
        job = self._with_tools(job)
        bound, uses_browser = log.bind(job=job.name), job.uses_browser
        run = Run(
            job.name,
            job.priority,
            trigger,
            1,
            bound,
            self.beats.append,
            uses_browser=uses_browser,
            contexts=job.contexts,
        )
        outcome, bug = await attempt.work(job, run, Tries(job.retry_rule))
        if bug is not None:
            raise bug
        return outcome

    async def live(self, *jobs: OwnJob | Job, hours: float) -> list[Ended]:
        """Let actors run the jobs on their schedules for so long; the runs that ended."""
        count = len(self.ended)
        async with self.alive(*jobs):
            await trio.sleep(hours * HOUR_S)
        return self.ended[count:]

    @asynccontextmanager
    async def alive(self, *jobs: OwnJob | Job) -> AsyncIterator[Supervisor]:
        """Actors that run the jobs, cut off at the end of the block. They wait for none but each other.

        The supervisor pauses, resumes and wakes them: `supervisor.run_now("my_job", "a test")`.
        """
        listed = [self._with_tools(job) for job in jobs]
        names = {job.name for job in listed}
        listed = [
            replace(job, after=tuple(upstream for upstream in job.after if upstream in names))
            for job in listed
        ]
        tools = self.tools
        surroundings = Surroundings(
            tools.clock, tools.rng, FakeRunLog(), lambda _job: None, self._on_end, tools.windows.open_at
        )
        actors = [Actor(job, surroundings) for job in listed]
        supervisor = Supervisor(actors, tools.metrics, surroundings)
        scope, is_over = trio.CancelScope(), trio.Event()
        # Not in a nursery around the block: a test's own error would come out of it in a group.
        self._nursery.start_soon(_run, supervisor, scope, is_over)
        self._supervisor = supervisor
        try:
            yield supervisor
        finally:
            self._supervisor = None
            scope.cancel()
            with trio.move_on_after(END_PATIENCE_S, shield=True):
                await is_over.wait()

    async def call_back(self) -> None:
        """Have the slot of the job at work called back; returns when it is, `allocator.patience_s` from now.

        Critical jobs take all other slots and then want this one. From the return on the job has
        `allocator.grace_s` to give it back, then it is cancelled. Raises RuntimeError when there is no
        lease that can be called back: no job holds one, or a critical job does.
        """
        allocator = self.tools.allocator
        leases = [slot.lease for slot in allocator.snapshot().slots if slot.lease is not None]
        if all(Lane.of(lease.priority) is Lane.CRITICAL for lease in leases):
            raise RuntimeError("no lease can be called back: none is held, or by critical jobs alone")
        self._lease_called_back = trio.Event()
        self._nursery.start_soon(self._crowd)
        await self._lease_called_back.wait()

    async def _crowd(self) -> None:
        """Critical jobs on all free slots, and one more; all end when that has had its slot."""
        allocator = self.tools.allocator
        async with AsyncExitStack() as others:
            while any(slot.state == "free" for slot in allocator.snapshot().slots):
                await others.enter_async_context(allocator.lease("another job", priority=0))
            async with allocator.lease("another job", priority=0):
                self._lease_called_back.set()  # it was given back before it was called back

    def _with_tools(self, job: OwnJob | Job) -> Job:
        return job.with_tools(self.tools) if isinstance(job, OwnJob) else job

    # ── called by the parts of the house ────────────────────────────────────────────────────────

    def _on_call_back(self, _lease: Lease) -> None:
        self._lease_called_back.set()

    def _on_end(self, job: Job, outcome: Outcome, duration_s: float) -> None:
        started_at = self.now - self.tools.clock.span(duration_s)
        self.ended.append(Ended(job.name, outcome, started_at, duration_s))
        if self._supervisor is not None:
            self._supervisor.job_ended(job.name, outcome)

    def _on_breaker(self, change: Transition, may_come: Collection[str]) -> None:
        if self._supervisor is not None:
            for job in sorted(may_come):
                self._supervisor.wake(job, f"{change.breaker} is asked again")

    def _on_wake(self, job: str, reason: str) -> None:
        self.woken.append(job)
        if self._supervisor is not None:
            self._supervisor.wake(job, reason)


async def _run(supervisor: Supervisor, scope: trio.CancelScope, is_over: trio.Event) -> None:
    with scope:
        await supervisor.run()
    is_over.set()


@asynccontextmanager
async def open_house(settings: Settings | None = None) -> AsyncIterator[House]:
    """A house with two accounts on one site, or with those of the settings. It begins at `clock.START`."""
    async with trio.open_nursery() as nursery:
        house = House(settings or settings_for(), nursery)
        nursery.start_soon(house.browser.run, house.tools.allocator)
        yield house
        nursery.cancel_scope.cancel()


def settings_for(**changes: object) -> Settings:
    """Two accounts on one site; `changes` are whole sections."""
    accounts = [
        {"name": name, "site": SITE, "username": name, "password": PASSWORD, "time_zone": zone}
        for name, zone in ACCOUNTS.items()
    ]
    sites = {SITE: {"profile": "microblog", "base_url": ADDRESS}}
    return Settings.load(overrides={"accounts": accounts, "sites": sites} | changes, environ={})


def accounts_of(settings: Settings) -> Accounts:
    """The accounts of the settings, all on the bundled site's profile; no page of it is ever opened."""
    profile = load_profile("microblog", base_url=ADDRESS)
    return Accounts({one.name: make_account(one, profile) for one in settings.accounts})


def breakers_of(settings: Settings, rng: Random, metrics: Metrics, on_change: OnChange) -> Breakers:
    """A breaker for each site of the settings. Nobody probes: the next visit is the look."""
    breakers = Breakers(rng=rng, metrics=metrics, on_change=on_change)
    for party in site_parties(settings, lambda _site: trio.sleep_forever):
        breakers.add(party)
    return breakers
