"""Runs a load in virtual time: real actors, real schedule, real allocator; only the work is a sleep."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from random import Random

import structlog
import trio
import trio.testing

from orchestrator.actors.actor import Actor, Surroundings
from orchestrator.actors.history import History
from orchestrator.actors.job import Job, Run
from orchestrator.actors.supervisor import Supervisor
from orchestrator.allocator import Allocator
from orchestrator.clock import Clock
from orchestrator.metrics import Metrics
from orchestrator.model import Outcome
from orchestrator.settings import AllocatorSettings
from orchestrator.simulate.load import Load, SimulatedJob
from orchestrator.simulate.order import repeatable_order
from orchestrator.simulate.slots import FifoSlots, Slots
from orchestrator.simulate.trace import Trace
from orchestrator.simulate.work import Recorder, SimulatedWork

EPOCH = datetime(2026, 1, 5, tzinfo=UTC)
"""When every simulation starts: a Monday at midnight."""
DAY_S = 86_400.0
REBUILD_S = 1.0
"""A broken context is whole again after so long: about what closing and opening one takes."""
SILENCE = logging.ERROR
"""The least that actors may say here: that one of them has crashed, which is a bug."""


class Policy(StrEnum):
    """Who gets the next context."""

    PRIORITY = "priority"
    """The allocator of the house decides."""
    FIFO = "fifo"
    """First come, first served."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a simulation depends on besides its load."""

    days: float
    allocator: AllocatorSettings
    policy: Policy = Policy.PRIORITY
    seed: int = 1


def simulate(load: Load, options: Options) -> Trace:
    """Run `load` from start to end; the same arguments give the same trace. Not for use inside trio.

    Raises GraphError for dependencies that can't be.
    """
    clock = trio.testing.MockClock(autojump_threshold=0)
    with repeatable_order(options.seed), _silence():
        return trio.run(_simulate, load, options, clock=clock)


@contextmanager
def _silence() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(SILENCE))
    try:
        yield
    finally:
        structlog.configure(**before)


async def _simulate(load: Load, options: Options) -> Trace:
    trace, metrics = Trace(options.days * DAY_S, options.allocator.capacity), Metrics()
    recorder = Recorder(load, trace)
    with trio.move_on_after(trace.horizon_s):
        async with trio.open_nursery() as nursery:
            slots = _make_slots(options, recorder, nursery)
            await _make_supervisor(load, options.seed, recorder, slots, metrics).run()
    _check_crashes(load, metrics)
    return trace


def _check_crashes(load: Load, metrics: Metrics) -> None:
    """The supervisor restarts an actor with a bug; here that would only spoil the figures."""
    for simulated in load.jobs:
        labels = {"job_name": simulated.job.name}
        if metrics.registry.get_sample_value("orchestrator_job_restarts_total", labels):
            raise RuntimeError(f"the actor of {simulated.job.name} crashed; its traceback is in the log")


def _make_slots(options: Options, recorder: Recorder, nursery: trio.Nursery) -> Slots:
    if options.policy is Policy.FIFO:
        return FifoSlots(options.allocator.capacity)

    async def rebuild(slot: int) -> None:
        await trio.sleep(REBUILD_S)
        allocator.mend(slot)

    def on_broken(slot: int) -> None:
        nursery.start_soon(rebuild, slot)

    allocator = Allocator(options.allocator, on_end=recorder.lease_ended, on_broken=on_broken)
    return allocator


def _make_supervisor(load: Load, seed: int, recorder: Recorder, slots: Slots, metrics: Metrics) -> Supervisor:
    clock = Clock(shown_epoch=EPOCH.timestamp(), time=trio.current_time)

    def on_end(job: Job, outcome: Outcome, _duration_s: float) -> None:
        recorder.run_ended(job.name, outcome)
        supervisor.job_ended(job.name, outcome)

    house = Surroundings(clock, Random(seed), NoRunLog(), lambda _job: None, on_end)
    actors = [_make_actor(simulated, seed, house, recorder, slots) for simulated in load.jobs]
    supervisor = Supervisor(actors, metrics, house)
    return supervisor


def _make_actor(
    simulated: SimulatedJob, seed: int, house: Surroundings, recorder: Recorder, slots: Slots
) -> Actor:
    # Each job has draws of its own, so that two policies meet the same runs.
    rng = Random(f"{seed} {simulated.job.name}")

    def due_s() -> float:
        assert actor.due_at is not None
        return (actor.due_at - EPOCH).total_seconds()

    work = SimulatedWork(simulated, rng, recorder, slots, due_s)
    history = History(last_start=_last_start(simulated.job, rng))
    actor = Actor(replace(simulated.job, work=work), house, history)
    return actor


def _last_start(job: Job, rng: Random) -> datetime:
    """Somewhere in the interval before the simulation: a house that has been running, not one that starts."""
    return EPOCH - timedelta(seconds=rng.uniform(0, job.every_s or 0))


class NoRunLog:
    """Implements `attempt.RunLog`: nothing is recorded."""

    async def begin(self, run: Run, started_at: datetime) -> int:
        return 0

    async def finish(self, run_id: int, outcome: Outcome, finished_at: datetime) -> None:
        """Forget it."""
