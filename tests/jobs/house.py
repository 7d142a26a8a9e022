"""The house that the jobs' tests work in: a real database, a site in memory, a clock set by hand."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from random import Random

import structlog

from orchestrator.actors.job import Run
from orchestrator.allocator import Allocator
from orchestrator.breaker import Transition
from orchestrator.cache.parts import in_process
from orchestrator.clock import Clock
from orchestrator.content.writer import Writer
from orchestrator.db import doubts, posts
from orchestrator.db.fence import Fence, boot_time
from orchestrator.db.pool import Database
from orchestrator.jobs.tools import Tools
from orchestrator.metrics import Metrics
from orchestrator.settings import Settings
from orchestrator.testing.house import accounts_of, breakers_of
from orchestrator.testing.site import FakeSite
from tests import rows
from tests.fakes_db import WatchedDatabase
from tests.rows import NOON


@dataclass(slots=True)
class Moment:
    """The wall clock."""

    now: datetime = NOON

    def clock(self, speed: float = 1.0) -> Clock:
        """A clock that shows `now`; with another speed, its real time goes that much slower."""

        def seconds() -> float:
            return self.now.timestamp() / speed

        return Clock(speed, time=seconds)

    def go(self, **by: float) -> datetime:
        """Let time pass; the new moment."""
        self.now += timedelta(**by)
        return self.now


@dataclass(slots=True)
class House:
    """The tools of the jobs, and what tests look at."""

    tools: Tools
    site: FakeSite
    database: WatchedDatabase
    moment: Moment
    woken: list[str] = field(default_factory=list)

    def run(self, job: str, priority: int = 0) -> Run:
        """One run of a job, as its actor would make it."""
        logger = structlog.get_logger("test").bind(job=job)
        return Run(job, priority, "schedule", 1, logger, uses_browser=True)

    def stamp(self) -> posts.Stamp:
        return self.tools.stamp()

    async def queued(self, text: str = "a text", account: str = "ada") -> int:
        """A post that is due now; its id."""
        return await rows.queued(self.database, self.stamp(), text, account)

    async def state(self, post_id: int) -> tuple[str, int]:
        """The post's state, and what its account's counter of the day says."""
        found = await rows.row(self.database, post_id)
        return found["state"], await rows.counted(self.database, found["account"], self.today)

    @property
    def today(self) -> date:
        return self.moment.now.astimezone(UTC).date()

    def run_clock(self, speed: float) -> None:
        """Let the clock run so many times as fast as real time."""
        self.tools = replace(self.tools, clock=self.moment.clock(speed))

    async def restart(self) -> None:
        """As if the daemon had been killed and started again: a new fence, and the past is settled."""
        self.tools = replace(self.tools, fence=await new_fence(self.database), patience={})
        await self.database.run(doubts.recover, self.stamp())
        await self.tools.recall_patience()

    def slots(self) -> list[str]:
        return [slot.state for slot in self.tools.allocator.snapshot().slots]


def make_house(database: Database, fence: Fence, settings: Settings) -> House:
    moment, site, watched = Moment(), FakeSite(), WatchedDatabase(database)
    woken: list[str] = []
    rng, metrics = Random(7), Metrics()

    def on_change(_change: Transition, may_come: Collection[str]) -> None:
        woken.extend(sorted(may_come))

    tools = Tools(
        settings=settings,
        clock=moment.clock(),
        rng=rng,
        database=watched,
        fence=fence,
        allocator=Allocator(settings.allocator),
        open_site=site.open_site,
        writer=Writer(settings.content),
        accounts=accounts_of(settings),
        breakers=breakers_of(settings, rng, metrics, on_change),
        metrics=metrics,
        cache=in_process(settings.cache, moment.clock(), metrics),
        wake=lambda job, _reason: woken.append(job),
    )
    return House(tools, site, watched, moment, woken)


async def new_fence(database: Database) -> Fence:
    asked_at = boot_time()
    return Fence(await rows.take_fence(database), rows.TTL_S, asked_at)
