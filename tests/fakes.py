"""Stand-ins for the parts of the house that tests steer by hand."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, TypeVar, TypeVarTuple

import trio
import trio.testing

from orchestrator.actors.actor import Actor, ActorState, Surroundings
from orchestrator.actors.history import History
from orchestrator.actors.job import Job, Run
from orchestrator.actors.pacer import Pacer
from orchestrator.actors.supervisor import RestartRule, Supervisor
from orchestrator.actors.window import PostingWindows
from orchestrator.allocator import Allocator
from orchestrator.cache.parts import in_process
from orchestrator.clock import Clock
from orchestrator.db.pool import Connection, Database, Holder, PoolStatistics
from orchestrator.errors import DatabaseUnavailableError
from orchestrator.health.checks import Checks
from orchestrator.health.modes import Modes
from orchestrator.health.status import House
from orchestrator.metrics import Metrics
from orchestrator.model import Ending, Outcome, done
from orchestrator.retry import RetryRule
from orchestrator.settings import AllocatorSettings
from orchestrator.settings.cache import CacheSettings
from orchestrator.testing.clock import WallClock
from orchestrator.testing.runs import FakeRunLog

T = TypeVar("T")
Args = TypeVarTuple("Args")

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


class Highest(Random):
    """Draws the top of each range, so that a delay is its bound; `draws` has the ranges."""

    def __init__(self) -> None:
        super().__init__()
        self.draws: list[tuple[float, float]] = []

    def uniform(self, a: float, b: float) -> float:
        self.draws.append((a, b))
        return b


class Lowest(Random):
    """Draws the bottom of each range: intervals without jitter, retries without delay."""

    def uniform(self, a: float, b: float) -> float:
        return a


class DownDatabase(Database):
    """A database that refuses every transaction, or never answers."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.hangs = hangs
        self.asked = 0
        self.holders: tuple[Holder, ...] = ()
        self.doubts = 0

    def doubt(self) -> None:
        self.doubts += 1

    def statistics(self) -> PoolStatistics:
        return PoolStatistics(10, 0, 0, 0, 0, self.holders, 0, 0, 0)

    async def run(
        self,
        work: Callable[[Connection, *Args], Awaitable[T]],
        /,
        *args: *Args,
        read_only: bool = False,
        limit_s: float | None = None,
        is_apart: bool = False,
    ) -> T:
        self.asked += 1
        await trio.lowlevel.checkpoint()
        if self.hangs:
            await trio.sleep_forever()
        raise DatabaseUnavailableError("the database can't be reached", remedy="Start it.")


Step = Outcome | BaseException | Callable[[], Awaitable[Outcome]]


@dataclass
class Work:
    """A job's work whose runs the test steers. Each run takes the next of `script`, or is done.

    An outcome is returned, an error raised, a function awaited. While `is_held` a run waits for `release`.
    """

    script: Sequence[Step] = ()
    is_held: bool = False
    runs: list[Run] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    """When each run began, by trio's time."""
    under_way: int = 0
    most_at_once: int = 0
    _gate: trio.Event = field(default_factory=trio.Event)

    async def __call__(self, run: Run) -> Outcome:
        self.runs.append(run)
        self.at.append(trio.current_time())
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            return await self._act()
        finally:
            self.under_way -= 1

    async def _act(self) -> Outcome:
        step, self.script = (self.script[0], self.script[1:]) if self.script else (done(), ())
        if self.is_held:
            await self._gate.wait()
            self._gate = trio.Event()
        await trio.lowlevel.checkpoint()
        if isinstance(step, Outcome):
            return step
        if isinstance(step, BaseException):
            raise step
        return await step()

    def release(self) -> None:
        """Let the run that is held go on."""
        self._gate.set()

    @property
    def triggers(self) -> list[str]:
        return [run.trigger for run in self.runs]

    @property
    def gaps_s(self) -> list[float]:
        """Seconds between the starts of one run and the next."""
        return [later - earlier for earlier, later in itertools.pairwise(self.at)]


def a_job(name: str = "plan", work: Callable[[Run], Awaitable[Outcome]] | None = None, **changes: Any) -> Job:
    """A job every hour, with three retries after up to 2, 4 and 8 s."""
    timing: dict[str, Any] = {} if "daily_at" in changes else {"every_s": 3600.0}
    options = {"priority": 5, "retry": RetryRule(3, 2.0), **timing, **changes}
    return Job(name, work or Work(), **options)


@dataclass
class Stage:
    """Actors under a supervisor, and everything around them that a test turns."""

    wall: WallClock
    clock: Clock
    run_log: FakeRunLog
    metrics: Metrics
    supervisor: Supervisor
    reasons: dict[str, str]
    """Why a job may not run now, by its name."""
    ended: list[tuple[str, Outcome, float]]
    windows: PostingWindows
    is_over: bool = False
    """Whether the supervisor has returned."""

    @property
    def actor(self) -> Actor:
        """The only actor."""
        (actor,) = self.supervisor.actors.values()
        return actor

    def state(self, job: str | None = None) -> ActorState:
        """What `job`, or the only actor, does now."""
        return (self.supervisor.actors[job] if job else self.actor).state

    @property
    def endings(self) -> list[Ending]:
        return [outcome.ending for _, outcome, _ in self.ended]


@asynccontextmanager
async def a_stage(
    jobs: Iterable[Job], *, is_overdue: bool = False, history: History | None = None, **options: Any
) -> AsyncIterator[Stage]:
    """A running supervisor over `jobs`, which have just run, or are long overdue, or have this `history`.

    `options` are `make_stage`'s. The end of the block cancels it.
    """
    stage = make_stage(jobs, **options)
    last_start = stage.clock.now() - timedelta(days=2 if is_overdue else 0)
    for actor in stage.supervisor.actors.values():
        actor.history = history or History(last_start=last_start)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_live, stage)
        await settle()
        yield stage
        nursery.cancel_scope.cancel()


def make_stage(
    jobs: Iterable[Job],
    *,
    rng: Random | None = None,
    rule: RestartRule | None = None,
    start: datetime = NOON,
    speed: float = 1.0,
    pacer: Pacer | None = None,
) -> Stage:
    """A stage whose supervisor does not run yet."""
    wall, run_log, metrics = WallClock(start), FakeRunLog(), Metrics()
    clock = wall.clock(speed)
    reasons: dict[str, str] = {}
    ended: list[tuple[str, Outcome, float]] = []

    def on_end(job: Job, outcome: Outcome, duration_s: float) -> None:
        ended.append((job.name, outcome, duration_s))
        supervisor.job_ended(job.name, outcome)

    rng = rng or Lowest()
    windows = PostingWindows()
    house = Surroundings(
        clock, rng, run_log, lambda job: reasons.get(job.name), on_end, windows.open_at, pacer or Pacer()
    )
    supervisor = Supervisor([Actor(job, house) for job in jobs], metrics, house, rule)
    return Stage(wall, clock, run_log, metrics, supervisor, reasons, ended, windows)


async def _live(stage: Stage) -> None:
    await stage.supervisor.run()
    stage.is_over = True


async def settle() -> None:
    """Until every task waits for something."""
    await trio.testing.wait_all_tasks_blocked()


def make_house(stage: Stage, database: Database | None = None) -> House:
    """A house with the jobs of `stage`, three slots, and no checks yet."""
    checks = Checks(stage.clock, stage.metrics)
    cache = in_process(CacheSettings(), stage.clock, stage.metrics)
    house = House(stage.clock, checks, Modes(checks, stage.metrics), Allocator(AllocatorSettings()), cache)
    house.supervisor = stage.supervisor
    house.database = database
    return house


@dataclass
class Part:
    """A part of the house for a check to look at: well, or with an error."""

    error: Exception | None = None
    looks: int = 0
    takes_s: float = 0.0

    async def probe(self) -> str:
        self.looks += 1
        await trio.sleep(self.takes_s)
        if self.error is not None:
            raise self.error
        return "it works"
