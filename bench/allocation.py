"""What the allocator costs, next to trio's own primitives in the same process."""

import gc
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import trio
import trio.testing

from bench.figure import Aim, Figure, Report, ratio, spread
from orchestrator.allocator import Allocator
from orchestrator.settings import AllocatorSettings

UNCONTENDED_AIM = Aim(2.0)
CROWDED_AIM = Aim(3.0)
PAIRS = 10_000
SLOTS = 3
FEW, MANY = 10, 100_000
HAND_OVERS = 2_000
PRIORITIES = range(2, 11)

Use = Callable[[], AbstractAsyncContextManager[Any]]
"""Something to acquire on entry and to release on exit."""


async def measure(rounds: int) -> Report:
    return Report([*await _uncontended(rounds), *await _crowded(rounds)], [f"allocator: {rounds} rounds"])


# ── nobody else is there ────────────────────────────────────────────────────────────────────────


async def _uncontended(rounds: int) -> list[Figure]:
    allocator = Allocator(AllocatorSettings())
    limiter, semaphore = trio.CapacityLimiter(SLOTS), trio.Semaphore(SLOTS)
    uses: dict[str, Use] = {
        "allocator": lambda: allocator.lease("bench", priority=1),
        "CapacityLimiter": lambda: limiter,
        "Semaphore": lambda: semaphore,
    }
    taken: dict[str, list[float]] = {name: [] for name in uses}
    for _ in range(rounds):
        for name, use in uses.items():
            taken[name].append(await _time_pairs(use))
    ours = taken.pop("allocator")
    return [
        Figure(
            f"allocator: acquire and release uncontended, next to trio.{name}",
            ratio(ours, theirs),
            f"{spread(ours, 1e6 / PAIRS, 1)} µs",
            f"{spread(theirs, 1e6 / PAIRS, 1)} µs",
            UNCONTENDED_AIM,
        )
        for name, theirs in taken.items()
    ]


async def _time_pairs(use: Use) -> float:
    started_at = time.perf_counter()
    for _ in range(PAIRS):
        async with use():
            pass
    return time.perf_counter() - started_at


# ── a crowd waits ───────────────────────────────────────────────────────────────────────────────


async def _crowded(rounds: int) -> list[Figure]:
    few, many = [], []
    for _ in range(max(1, rounds // 2)):
        few.append(await _time_hand_overs(FEW))
        many.append(await _time_hand_overs(MANY))
    return [
        Figure(
            f"allocator: a release with {MANY:,} waiters, next to one with {FEW}",
            ratio(many, few),
            f"{spread(many, 1e6 / HAND_OVERS, 1)} µs",
            f"{spread(few, 1e6 / HAND_OVERS, 1)} µs",
            CROWDED_AIM,
        )
    ]


async def _time_hand_overs(waiters: int) -> float:
    """The time that `HAND_OVERS` releases take, each of which wakes the next of `waiters` waiters.

    Whoever had its turn queues again, so the crowd stays as large as it was. The collector is kept from
    looking through the crowd's tasks meanwhile, which would be the price of the tasks, not of the release.
    """
    settings = AllocatorSettings(
        capacity=1, critical_guarantee=0, high_guarantee=0, background_guarantee=1, queue_limit=waiters + 1
    )
    allocator = Allocator(settings)
    left = HAND_OVERS
    is_over = trio.Event()

    async def worker(priority: int) -> None:
        nonlocal left
        while True:
            async with allocator.lease("bench", priority=priority):
                left -= 1
            if left == 0:
                is_over.set()

    async with trio.open_nursery() as nursery:
        async with allocator.lease("doorkeeper", priority=2):
            for number in range(waiters):
                nursery.start_soon(worker, PRIORITIES[number % len(PRIORITIES)])
            await trio.testing.wait_all_tasks_blocked()
            gc.collect()
            gc.disable()
            started_at = time.perf_counter()
        await is_over.wait()
        took_s = time.perf_counter() - started_at
        gc.enable()
        nursery.cancel_scope.cancel()
    return took_s
