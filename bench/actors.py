"""What an idle actor costs, and how fast messages go through a mailbox."""

import gc
import math
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from random import Random

import trio
import trio.testing

from bench.figure import Figure, Report, ratio, spread
from orchestrator.actors.actor import Actor, Surroundings
from orchestrator.actors.history import History
from orchestrator.actors.job import Job, Run
from orchestrator.actors.mailbox import Kind, Mailbox, Wake
from orchestrator.actors.supervisor import Supervisor
from orchestrator.clock import Clock
from orchestrator.metrics import Metrics
from orchestrator.model import Outcome, done

FEW, MANY = 25, 10_000
DAY_S = 86_400.0
WATCHED_S = 20.0
"""Real seconds over which the steps of idle actors are counted: two rounds of what looks at them all."""
SERIES = 20
MESSAGES = 2000


async def measure(rounds: int) -> Report:
    few, many = await _idle(FEW), await _idle(MANY)
    figures = [*few, *many, await _messages(rounds)]
    notes = [
        f"actors: idle ones watched for {WATCHED_S:.0f} s; their memory is what Python allocates for them",
        f"mailbox: {rounds} rounds, each the best of {SERIES} series of {MESSAGES} messages",
    ]
    return Report(figures, notes)


# ── idle actors ─────────────────────────────────────────────────────────────────────────────────


class _NoRunLog:
    """No actor here ever runs."""

    async def begin(self, _run: Run, _started_at: datetime) -> int:
        raise AssertionError

    async def finish(self, _run_id: int, _outcome: Outcome, _finished_at: datetime) -> None:
        raise AssertionError


class _Steps(trio.abc.Instrument):
    """Counts the steps of all tasks."""

    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, _task: trio.lowlevel.Task) -> None:
        self.count += 1


async def _idle(count: int) -> list[Figure]:
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_make_supervisor(count).run)
        await trio.testing.wait_all_tasks_blocked()
        gc.collect()
        size_bytes = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        steps, busy_s = await _watch()
        nursery.cancel_scope.cancel()
    kib = size_bytes / count / 1024
    busy = f"{busy_s / WATCHED_S:.2%} of a core"
    return [
        Figure(f"memory of an idle actor, of {count:,}", kib, f"{size_bytes / 2**20:.1f} MiB", unit="KiB"),
        Figure(f"wake-ups a second of {count:,} idle actors", steps / WATCHED_S, busy, unit="a second"),
    ]


async def _watch() -> tuple[int, float]:
    """The steps of all other tasks while nothing happens, and the processor's seconds."""
    steps = _Steps()
    trio.lowlevel.add_instrument(steps)
    started_s = time.process_time()
    await trio.sleep(WATCHED_S)
    busy_s = time.process_time() - started_s
    trio.lowlevel.remove_instrument(steps)
    return steps.count - 1, busy_s  # the last one was our own


def _make_supervisor(count: int) -> Supervisor:
    async def work(_run: Run) -> Outcome:
        return done()

    house = Surroundings(Clock(), Random(1), _NoRunLog(), lambda _job: None, lambda *_ended: None)
    jobs = [Job(f"job {number}", work, priority=5, every_s=DAY_S) for number in range(count)]
    now = datetime.now(UTC) - timedelta(hours=1)
    actors = [Actor(job, house, History(last_start=now, last_success_at=now)) for job in jobs]
    return Supervisor(actors, Metrics(), house)


# ── messages ────────────────────────────────────────────────────────────────────────────────────


async def _messages(rounds: int) -> Figure:
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(await _best_of(_through_mailboxes))
        theirs.append(await _best_of(_through_channels))
    return Figure(
        "a message there and back between two actors' mailboxes, next to two trio memory channels",
        ratio(ours, theirs),
        f"{spread(ours, 1e6, 1)} µs, {2 / min(ours):,.0f} messages a second",
        f"{spread(theirs, 1e6, 1)} µs",
    )


async def _best_of(series: Callable[[], Awaitable[None]]) -> float:
    """Seconds for one message there and back."""
    best_s = math.inf
    for _ in range(SERIES):
        started_at = time.perf_counter()
        await series()
        best_s = min(best_s, time.perf_counter() - started_at)
    return best_s / MESSAGES


async def _through_mailboxes() -> None:
    there, back = Mailbox(), Mailbox()
    wake = Wake(Kind.EVENT, "ping")

    async def answer() -> None:
        for _ in range(MESSAGES):
            await there.take()
            back.put(wake)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        for _ in range(MESSAGES):
            there.put(wake)
            await back.take()


async def _through_channels() -> None:
    send_there, take_there = trio.open_memory_channel[Wake](1)
    send_back, take_back = trio.open_memory_channel[Wake](1)
    wake = Wake(Kind.EVENT, "ping")

    async def answer() -> None:
        for _ in range(MESSAGES):
            await take_there.receive()
            await send_back.send(wake)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        for _ in range(MESSAGES):
            await send_there.send(wake)
            await take_back.receive()
