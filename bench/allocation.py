"""What the allocator costs, next to trio's own primitives in the same process."""

import gc
import math
import statistics
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import trio
import trio.testing

from bench.figure import Aim, Figure, Report, ratio, spread
from orchestrator.allocator import Allocator
from orchestrator.settings import AllocatorSettings

UNCONTENDED_AIM = Aim(2.0)
CROWDED_AIM = Aim(3.0)
SERIES = 20
"""Each round is the best of so many series."""
PAIRS = 500
SLOTS = 3
HOLD_S = 600
FEW, MANY = 10, 100_000
HAND_OVERS = 500
PRIORITIES = range(2, 11)
FIGHTERS, GRANTS = 1_000, 5_000
MEASURED = 10_000
"""Waiters whose memory is taken."""


async def measure(rounds: int) -> Report:
    figures = [
        *await _uncontended(rounds),
        await _crowded(rounds),
        await _fought_for(rounds),
        await _memory(),
    ]
    return Report(figures, [f"allocator: {rounds} rounds, each the best of {SERIES} series"])


# ── nobody else is there ────────────────────────────────────────────────────────────────────────


async def _uncontended(rounds: int) -> list[Figure]:
    allocator = Allocator(AllocatorSettings())
    limiter, semaphore = trio.CapacityLimiter(SLOTS), trio.Semaphore(SLOTS)

    async def lease() -> None:
        for _ in range(PAIRS):
            async with allocator.lease("bench", priority=1):
                pass

    async def bounded() -> None:
        for _ in range(PAIRS):
            async with limiter:
                with trio.move_on_after(HOLD_S):  # noqa: ASYNC100 - entering and leaving is what is timed
                    pass

    works: dict[str, Callable[[], Awaitable[None]]] = {
        "trio.CapacityLimiter": partial(_pairs, limiter),
        "trio.Semaphore": partial(_pairs, semaphore),
        "trio.CapacityLimiter whose hold has a time limit, as a lease's has": bounded,
    }
    ours: list[float] = []
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        ours.append(await _best_of(lease))
        for name, work in works.items():
            taken[name].append(await _best_of(work))
    return [_uncontended_figure(name, ours, theirs) for name, theirs in taken.items()]


async def _pairs(primitive: trio.CapacityLimiter | trio.Semaphore) -> None:
    for _ in range(PAIRS):
        async with primitive:
            pass


async def _best_of(work: Callable[[], Awaitable[None]]) -> float:
    """Seconds a pair; the best of some short series, which other work on the machine disturbs least."""
    best_s = math.inf
    for _ in range(SERIES):
        started_at = time.perf_counter()
        await work()
        best_s = min(best_s, time.perf_counter() - started_at)
    return best_s / PAIRS


def _uncontended_figure(name: str, ours: list[float], theirs: list[float]) -> Figure:
    return Figure(
        f"allocator: acquire and release uncontended, next to {name}",
        ratio(ours, theirs),
        f"{spread(ours, 1e6, 1)} µs",
        f"{spread(theirs, 1e6, 1)} µs",
        UNCONTENDED_AIM,
    )


# ── a crowd waits ───────────────────────────────────────────────────────────────────────────────


class _Crowd:
    """Workers on one slot: each takes its turn and queues again, so their number stays the same.

    While `_left` is 0 the one who has the slot keeps it, and everything stands still.
    """

    def __init__(self, size: int) -> None:
        settings = AllocatorSettings(
            capacity=1, critical_guarantee=0, high_guarantee=0, background_guarantee=1, queue_limit=size + 1
        )
        self._allocator = Allocator(settings)
        self._size = size
        self._left = 0
        self._is_over = trio.Event()
        self._goes_on = trio.Event()

    def gather(self, nursery: trio.Nursery) -> None:
        for number in range(self._size + 1):  # one of them holds the slot
            nursery.start_soon(self._work, PRIORITIES[number % len(PRIORITIES)])

    async def _work(self, priority: int) -> None:
        while True:
            async with self._allocator.lease("bench", priority=priority):
                if self._left == 0:
                    self._is_over.set()
                    await self._goes_on.wait()
                self._left -= 1

    async def time_hand_overs(self) -> float:
        """Seconds from one turn to the next: a release, and the wake-up of the next in the queue."""
        best_s = math.inf
        for _ in range(SERIES):
            self._left, self._is_over, goes_on = HAND_OVERS, trio.Event(), self._goes_on
            self._goes_on = trio.Event()
            started_at = time.perf_counter()
            goes_on.set()
            await self._is_over.wait()
            best_s = min(best_s, time.perf_counter() - started_at)
        return best_s / HAND_OVERS


async def _crowded(rounds: int) -> Figure:
    few, many = _Crowd(FEW), _Crowd(MANY)
    small, large = [], []
    async with trio.open_nursery() as nursery:
        few.gather(nursery)
        many.gather(nursery)
        await trio.testing.wait_all_tasks_blocked()
        gc.collect()
        gc.freeze()  # the collector shall not look through the waiting tasks: that is not the release's price
        for _ in range(rounds):
            small.append(await few.time_hand_overs())
            large.append(await many.time_hand_overs())
        gc.unfreeze()
        nursery.cancel_scope.cancel()
    return Figure(
        f"allocator: a release with {MANY:,} waiters, next to one with {FEW}",
        ratio(large, small),
        f"{spread(large, 1e6, 1)} µs",
        f"{spread(small, 1e6, 1)} µs",
        CROWDED_AIM,
    )


# ── many fight for few ──────────────────────────────────────────────────────────────────────────


async def _fought_for(rounds: int) -> Figure:
    """All of a thousand tasks want a slot again as soon as they have given one back."""
    allocator = Allocator(AllocatorSettings(capacity=SLOTS, queue_limit=FIGHTERS))
    limiter = trio.CapacityLimiter(SLOTS)
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds):
        ours.append(await _fight(lambda number: allocator.lease("bench", priority=number % 11)))
        theirs.append(await _fight(lambda _number: limiter))
    return Figure(
        f"allocator: a grant while {FIGHTERS:,} tasks of all priorities fight for {SLOTS} slots, "
        "next to trio.CapacityLimiter",
        ratio(ours, theirs),
        f"{spread(ours, 1e6, 1)} µs, {1 / statistics.median(ours):,.0f} a second",
        f"{spread(theirs, 1e6, 1)} µs",
    )


async def _fight(ask: Callable[[int], AbstractAsyncContextManager[object]]) -> float:
    """Seconds a grant."""
    left = GRANTS

    async def work(number: int) -> None:
        nonlocal left
        while left > 0:
            async with ask(number):
                left -= 1
                await trio.lowlevel.checkpoint()

    started_at = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for number in range(FIGHTERS):
            nursery.start_soon(work, number)
    return (time.perf_counter() - started_at) / GRANTS


async def _memory() -> Figure:
    """What Python allocates for one more waiter: its task, which would be there anyway, and ours."""

    async def wait() -> None:
        async with allocator.lease("bench", priority=5):
            pass

    async def idle() -> None:
        await trio.sleep_forever()

    allocator = Allocator(AllocatorSettings(queue_limit=MEASURED))
    allocator.break_slot(0)
    allocator.break_slot(1)
    waiting, sleeping = await _memory_of(wait), await _memory_of(idle)
    return Figure(
        f"allocator: memory of a waiter, of {MEASURED:,}, beside its task",
        (waiting - sleeping) / 1024,
        f"{waiting / 1024:.2f} KiB with its task",
        f"{sleeping / 1024:.2f} KiB: a task that sleeps",
        unit="KiB",
    )


async def _memory_of(work: Callable[[], Awaitable[None]]) -> float:
    """Bytes a task."""
    gc.collect()
    tracemalloc.start()
    async with trio.open_nursery() as nursery:
        for _ in range(MEASURED):
            nursery.start_soon(work)
        await trio.testing.wait_all_tasks_blocked()
        size_bytes = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        nursery.cancel_scope.cancel()
    return size_bytes / MEASURED
