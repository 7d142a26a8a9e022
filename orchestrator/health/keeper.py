"""Keeps memory within its limits: weighs, has `memory` decide, and acts on contexts and caches."""

import ctypes
import gc
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import structlog
import trio

from orchestrator.browser.pool import ContextPool
from orchestrator.browser.statistics import SlotStatistics
from orchestrator.errors import OrchestratorError
from orchestrator.health import memory
from orchestrator.health.memory import (
    Actions,
    ContextFigures,
    ExtraFigures,
    Figures,
    MemoryView,
    RendererView,
    Standing,
    Step,
    mb,
)
from orchestrator.health.status import House
from orchestrator.health.weights import Weights, weigh
from orchestrator.leases import Lane
from orchestrator.metrics import Metrics
from orchestrator.model import Outcome, done
from orchestrator.settings import Settings
from orchestrator.snapshot import Snapshot

log = structlog.get_logger("memory")


class MemoryKeeper:
    """Written by its job's task alone: all state here.

    A pause of its own is no operator's: neither ends the other. `on_calmer` is called when a step was taken
    back, so that jobs which were skipped may have their turn.
    """

    def __init__(
        self,
        settings: Settings,
        house: House,
        pool: ContextPool,
        metrics: Metrics,
        *,
        on_calmer: Callable[[], None],
        weigh: Callable[[int, int, Path], Weights] = weigh,
    ) -> None:
        self.limits = memory.machine_limits(settings.memory, settings.allocator.capacity)
        self._cgroup_bytes = memory.cgroup_limit_bytes()
        self._allocator = settings.allocator
        self._data = settings.state_dir.absolute() / "postgres" / "data"
        self._house = house
        self._pool = pool
        self._metrics = metrics
        self._on_calmer = on_calmer
        self._weigh = weigh
        self._standing = Standing()
        metrics.memory_limit.labels(limit="warning").set(self.limits.warning_bytes)
        metrics.memory_limit.labels(limit="critical").set(self.limits.critical_bytes)
        self._publish_step()

    async def look(self) -> Outcome:
        """One look, and what follows from it. What the C library keeps of freed memory is no use of ours."""
        await self._let_go()
        await trio.to_thread.run_sync(_trim)
        weights = await trio.to_thread.run_sync(partial(self._weigh, *self._pool.process_ids(), self._data))
        await self._ask_renderers(weights)
        figures = self._figures(weights)
        before = self._standing
        self._standing, actions = memory.decide(figures, self.limits, before)
        self._publish(weights)
        if self._standing.step is not before.step:
            self._tell_step(before.step, weights)
        await self._act(actions, figures)
        return done(
            f"{mb(figures.used_bytes)} used, shed above {mb(self.limits.warning_bytes)}",
            used_bytes=figures.used_bytes,
            step=self._standing.step.value,
        )

    # ── figures ─────────────────────────────────────────────────────────────────────────────────

    async def _ask_renderers(self, weights: Weights) -> None:
        """Find out whose renderers are whose, as soon as a context may be above its limit.

        The answer costs a process in the browser and some tenths of a second, so it is not asked before: not
        while the renderers that nobody knows, with what is known of a context, stay below a context's limit.
        Pages of critical work are left in peace.
        """
        for one in self._pool.statistics().slots:
            unknown_bytes = sum(weights.renderers[pid] for pid in self._unknown(weights))
            own_bytes = _size(one, weights)
            if not unknown_bytes or own_bytes + unknown_bytes <= self.limits.context_bytes:
                continue
            if one.account is None or one.slot in self._critical_slots():
                continue
            try:
                await self._pool.ask_renderers(one.slot)
            except OrchestratorError as error:
                log.info("renderers_not_told", slot=one.slot, error=error.line())

    def _unknown(self, weights: Weights) -> set[int]:
        known = {pid for one in self._pool.statistics().slots for pid in one.renderers}
        return set(weights.renderers) - known

    def _critical_slots(self) -> set[int]:
        leases = ((slot.slot, slot.lease) for slot in self._house.allocator.snapshot().slots)
        critical = Lane.CRITICAL.label
        return {slot for slot, lease in leases if lease is not None and lease.lane == critical}

    def _figures(self, weights: Weights) -> Figures:
        available = psutil.virtual_memory().available
        if self._cgroup_bytes is not None:
            available = min(available, self._cgroup_bytes - weights.total)
        snapshot, critical = self._house.allocator.snapshot(), self._critical_slots()
        waits = (waiter.waited_s for waiter in snapshot.queue if waiter.lane == Lane.BACKGROUND.label)
        return Figures(
            used_bytes=weights.total,
            available_bytes=available,
            contexts=tuple(
                ContextFigures(
                    one.slot, _size(one, weights), one.account is not None, one.is_used, one.slot in critical
                )
                for one in self._pool.statistics().slots
            ),
            extra=self._extra(snapshot),
            background_wait_s=max(waits, default=0.0),
        )

    def _extra(self, snapshot: Snapshot) -> ExtraFigures | None:
        """A free slot goes if critical work's reserve stays whole, else that of the newest lowest lease."""
        if len(snapshot.slots) <= self._allocator.capacity:
            return None
        leases = [(slot.slot, slot.lease) for slot in snapshot.slots if slot.lease is not None]
        free = [slot.slot for slot in snapshot.slots if slot.state == "free"]
        held = sum(lease.lane == Lane.CRITICAL.label for _, lease in leases)
        is_spare = len(free) > max(0, self._allocator.critical_guarantee - held)
        if any(lease.is_leaving for _, lease in leases):
            return ExtraFigures(None, is_spare)
        if is_spare:
            return ExtraFigures(free[-1], is_spare)
        lent = [(-lease.priority, lease.held_s, slot) for slot, lease in leases if lease.priority]
        return ExtraFigures(min(lent)[-1] if lent else None, is_spare)

    # ── actions ─────────────────────────────────────────────────────────────────────────────────

    async def _act(self, actions: Actions, figures: Figures) -> None:
        sizes = {context.slot: context.size_bytes for context in figures.contexts}
        if actions.add:
            # In one step: whoever gets the slot finds it in the pool.
            slot = self._house.allocator.add_slot()
            if slot not in self._pool.slots:  # an earlier extra one that was let go since the look began
                self._pool.add_slot(slot)
            log.info("context_added", slot=slot, waited_s=round(figures.background_wait_s, 1))
        if actions.withdraw is not None:
            self._house.allocator.withdraw(actions.withdraw)
            log.info("context_withdrawn", slot=actions.withdraw, used=mb(figures.used_bytes))
            await self._let_go()
        for slot in actions.cut_off:
            await self._cut_off(slot, sizes[slot])
        await self._close(slot for slot in actions.close if slot in self._pool.slots)
        if actions.sweep:
            await self._sweep()
        for slot in actions.close:
            size = mb(sizes[slot]) if sizes[slot] else "not asked"
            log.info("context_closed_for_memory", slot=slot, size=size)

    async def _cut_off(self, slot: int, size_bytes: int) -> None:
        if slot in self._critical_slots():
            return  # it has changed hands since
        why = f"its page took {mb(size_bytes)} of memory; {mb(self.limits.context_bytes)} are allowed"
        log.warning("context_cut_off", slot=slot, why=why)
        self._metrics.contexts_closed.labels(how="cut_off").inc()
        await self._pool.cut_off(slot, why)

    async def _close(self, slots: Iterable[int]) -> None:
        async with trio.open_nursery() as nursery:
            for slot in slots:
                nursery.start_soon(self._close_one, slot)

    async def _close_one(self, slot: int) -> None:
        if await self._pool.close_idle(slot):
            self._metrics.contexts_closed.labels(how="idle").inc()

    async def _sweep(self) -> None:
        """Our cache and garbage and the browser's go back to the system, and what the C library keeps."""
        self._house.cache.shed()
        gc.collect()
        await trio.to_thread.run_sync(_trim)
        try:
            await self._pool.sweep_caches()
        except OrchestratorError as error:
            log.warning("caches_not_swept", error=error.line())

    async def _let_go(self) -> None:
        """Close the contexts of slots that the allocator has let go since the last look."""
        kept = {slot.slot for slot in self._house.allocator.snapshot().slots}
        for slot in self._pool.slots - kept:
            await self._pool.remove_slot(slot)

    # ── for people ──────────────────────────────────────────────────────────────────────────────

    def _tell_step(self, was: Step, weights: Weights) -> None:
        step = self._standing.step
        log.warning(
            "memory_step",
            was=was.label,
            now=step.label,
            used=mb(weights.total),
            warning=mb(self.limits.warning_bytes),
            critical=mb(self.limits.critical_bytes),
            **{part: mb(size) for part, size in weights.parts.items()},
        )
        self._publish_step()
        if step < was:
            self._on_calmer()

    def _publish(self, weights: Weights) -> None:
        house, step = self._house, self._standing.step
        house.memory = dict(weights.parts)
        for part, size_bytes in weights.parts.items():
            self._metrics.memory.labels(part=part).set(size_bytes)
        self._metrics.largest_renderer.set(max(weights.renderers.values(), default=0))
        is_same = house.memory_view is not None and house.memory_view.step is step
        since = house.memory_view.since if house.memory_view is not None and is_same else house.clock.now()
        whose = {pid: one.slot for one in self._pool.statistics().slots for pid in one.renderers}
        house.memory_view = MemoryView(
            step,
            None if step is Step.NONE else since,
            weights.total,
            self.limits,
            tuple(
                RendererView(pid, size, whose.get(pid))
                for pid, size in sorted(weights.renderers.items(), key=lambda pair: -pair[1])
            ),
        )

    def _publish_step(self) -> None:
        for step in Step:
            self._metrics.memory_step.labels(step=step.label).set(step is self._standing.step)


def _size(one: SlotStatistics, weights: Weights) -> int:
    return sum(weights.renderers.get(pid, 0) for pid in one.renderers)


def _trim() -> None:
    """glibc keeps what was freed; other C libraries have no such call."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
