"""Who may use a scarce slot next.

Words
    slot       one unit of the resource (a browser context), numbered from 0
    lease      the right to use one slot, held by one task, ended in exactly one way (`LeaseEnd`)
    lane       critical (priority 0), high (1), background (2 and more)
    guarantee  slots that a lane can always get back
    borrowed   a lease beyond its lane's guarantee; it can be called back

Rules; each has a function of its own below
    1  never over capacity: leased + free + broken = capacity           `_grant`, `_end`
    2  strict reserve: a non-critical grant leaves enough free slots
       for the unused part of the critical guarantee                    `_may_take`
    3  guarantees first, then the rest is lent to whoever waits         `_next_waiter`
    4  critical before high before background; within a lane by
       `enqueued_at + priority * ageing_s`, a key that never changes    `_key`
    5  a lane that waits below its guarantee calls back the newest
       borrowed lease of the lowest lane                                `_call_back`
    6  critical work that has waited `critical_wait_s - grace_s` takes
       a slot from the lowest lane even within its guarantee            `_hurry`, `_call_back`
    7  no lease for ever: past `max_hold_s` the holder is cancelled and
       the slot is broken until its owner calls `mend`                  `LeaseRequest.__aexit__`
    8  newcomers wait their turn                                        `LeaseRequest.__aenter__`
    9  cancel-safe: a cancelled waiter never keeps a slot               `_forget`
    10 bounded: each lane's queue has a limit                           `_enqueue`
    12 explainable                                                      `snapshot`

Every change of state is one synchronous step on the trio thread, so there is no lock. Times are
seconds of `trio.current_time()`.

Invariants, true whenever no method of this module is running
    I1  a slot is in exactly one of: `_free`, `_broken`, a lease in `_leases`
    I2  `_leased[lane]` = number of leases of the lane, `_waiting[lane]` = its waiters not gone
    I3  a waiter has a lease implies it is gone from the queue; not gone implies it is in its heap
    I4  a slot is free and somebody waits implies that `_next_waiter` is None
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import TracebackType

import trio

from orchestrator.errors import LeaseEndedError, QueueFullError
from orchestrator.settings import AllocatorSettings


class Lane(IntEnum):
    """Kinds of work, highest first."""

    CRITICAL = 0
    HIGH = 1
    BACKGROUND = 2

    @classmethod
    def of(cls, priority: int) -> Lane:
        if priority < 0:
            raise ValueError(f"a priority is 0 or more, not {priority}")
        return LANES[min(priority, 2)]

    @property
    def label(self) -> str:
        return self.name.lower()


LANES = tuple(Lane)  # going through the class itself is several times as slow


class LeaseEnd(StrEnum):
    """How a lease ended."""

    RELEASED = "released"
    EXPIRED = "expired"
    REVOKED = "revoked"
    CANCELLED = "cancelled"
    BROKEN = "broken"


class Lease:
    """The right to use `slot`; valid inside the `async with` that gave it."""

    __slots__ = ("_called_back_event", "called_back_at", "deadline", "granted_at", "holder", "id",
                 "is_broken", "lane", "priority", "scope", "slot", "waited_s")  # fmt: skip

    def __init__(self, number: int, slot: int, request: LeaseRequest, now: float, waited_s: float) -> None:
        self.id = number
        self.slot = slot
        self.holder = request.holder
        self.priority = request.priority
        self.lane = request.lane
        self.granted_at = now
        self.waited_s = waited_s
        self.deadline = now + request.max_hold_s
        self.scope = trio.CancelScope(deadline=self.deadline)
        self.called_back_at: float | None = None
        self.is_broken = False
        self._called_back_event: trio.Event | None = None

    @property
    def is_called_back(self) -> bool:
        return self.called_back_at is not None

    async def wait_called_back(self) -> None:
        """Return when somebody with more right needs the slot: finish within `grace_s`."""
        if self._called_back_event is None:
            self._called_back_event = trio.Event()
            if self.is_called_back:
                self._called_back_event.set()
        await self._called_back_event.wait()

    def mark_broken(self) -> None:
        """The slot is unusable: when the lease ends it stays out of use until `Allocator.mend`."""
        self.is_broken = True

    def _call_back(self, now: float, grace_s: float) -> None:
        self.called_back_at = now
        self.deadline = self.scope.deadline = min(self.deadline, now + grace_s)
        if self._called_back_event is not None:
            self._called_back_event.set()


class _Waiter:
    """A request in the queue. It leaves it once, with a lease or without: then `is_gone`."""

    __slots__ = ("enqueued_at", "is_gone", "is_parked", "is_urgent", "key", "lease", "request", "task")

    def __init__(self, request: LeaseRequest, now: float, key: tuple[float, int]) -> None:
        self.request = request
        self.enqueued_at = now
        self.key = key
        self.task = trio.lowlevel.current_task()
        self.lease: Lease | None = None
        self.is_gone = False
        self.is_urgent = False
        self.is_parked = False

    def __lt__(self, other: _Waiter) -> bool:
        return self.key < other.key

    async def park(self) -> None:
        """Sleep until `take`; return at once when it has been called."""

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            self.is_parked = False
            return trio.lowlevel.Abort.SUCCEEDED

        if self.lease is None:
            self.is_parked = True
            await trio.lowlevel.wait_task_rescheduled(abort)
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()

    def take(self, lease: Lease) -> None:
        self.lease = lease
        if self.is_parked:
            self.is_parked = False
            trio.lowlevel.reschedule(self.task)


class LeaseRequest:
    """What `Allocator.lease` returns: `async with` it to wait for, hold and end a lease.

    Raises QueueFullError on entry when the lane's queue is full, LeaseEndedError on exit when the
    lease expired or was revoked under its holder.
    """

    __slots__ = ("_allocator", "_lease", "holder", "lane", "max_hold_s", "priority")

    def __init__(self, allocator: Allocator, holder: str, priority: int, max_hold_s: float) -> None:
        self._allocator = allocator
        self._lease: Lease | None = None
        self.holder = holder
        self.priority = priority
        self.lane = Lane.of(priority)
        self.max_hold_s = max_hold_s

    async def __aenter__(self) -> Lease:
        await trio.lowlevel.checkpoint_if_cancelled()
        lease = self._allocator._take_now(self)
        if lease is None:
            lease = await self._allocator._wait(self)
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()
        self._lease = lease
        lease.scope.__enter__()
        return lease

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        lease = self._lease
        assert lease is not None
        end = LeaseEnd.CANCELLED if isinstance(error, trio.Cancelled) else LeaseEnd.RELEASED
        try:
            is_swallowed = lease.scope.__exit__(kind, error, trace)
            if lease.scope.cancelled_caught:
                end = LeaseEnd.REVOKED if lease.is_called_back else LeaseEnd.EXPIRED
        finally:
            self._allocator._end(lease, end)
        if lease.scope.cancelled_caught:
            raise LeaseEndedError(f"the lease of {lease.holder} on slot {lease.slot} was {end}") from error
        return is_swallowed


@dataclass(frozen=True, slots=True)
class LeaseView:
    """A lease as people see it."""

    id: int
    holder: str
    lane: str
    priority: int
    held_s: float
    left_s: float
    """Seconds until the lease ends at the latest."""
    max_hold_s: float
    is_borrowed: bool
    is_called_back: bool


@dataclass(frozen=True, slots=True)
class SlotView:
    """A slot as people see it."""

    slot: int
    state: str
    """free, leased or broken"""
    reserved_for: str | None
    lease: LeaseView | None


@dataclass(frozen=True, slots=True)
class WaiterView:
    """A waiting request as people see it."""

    holder: str
    lane: str
    priority: int
    waited_s: float
    ahead: int
    """Waiters that go before this one if nothing else changes."""
    why: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The allocator at one moment."""

    slots: tuple[SlotView, ...]
    queue: tuple[WaiterView, ...]
    """In the order in which they will be served, by rule 4."""


class Allocator:
    """Hands out leases on `settings.capacity` slots.

    `on_grant(lease)`, `on_end(lease, how)` and `on_broken(slot)` are called in the step in which it
    happens; they must not block, raise or call back into the allocator (except `on_broken`, whose
    owner calls `mend` later).
    """

    def __init__(
        self,
        settings: AllocatorSettings,
        *,
        on_grant: Callable[[Lease], None] = lambda lease: None,
        on_end: Callable[[Lease, LeaseEnd], None] = lambda lease, how: None,
        on_broken: Callable[[int], None] = lambda slot: None,
    ) -> None:
        self.settings = settings
        self._on_grant = on_grant
        self._on_end = on_end
        self._on_broken = on_broken
        self._guarantee = (
            settings.critical_guarantee,
            settings.high_guarantee,
            settings.background_guarantee,
        )
        self._free = list(range(settings.capacity))  # a heap: the lowest free slot goes first
        self._broken: set[int] = set()
        self._leases: dict[int, Lease] = {}  # by slot, in the order of their grants
        self._leased = [0, 0, 0]
        self._heaps: tuple[list[_Waiter], ...] = ([], [], [])
        self._waiting = [0, 0, 0]
        self._urgent = 0  # urgent waiters, all in the critical lane
        self._numbers = itertools.count(1)

    # ── for holders ─────────────────────────────────────────────────────────────────────────────

    def lease(self, holder: str, *, priority: int, max_hold_s: float | None = None) -> LeaseRequest:
        """A request for any slot; `holder` is a name for people. Priority 0 is critical, 10 least."""
        return LeaseRequest(self, holder, priority, max_hold_s or self.settings.max_hold_s)

    # ── for the owner of the slots ──────────────────────────────────────────────────────────────

    def mend(self, slot: int) -> None:
        """A broken slot is whole again. Raises KeyError when it is not broken."""
        self._broken.remove(slot)
        heapq.heappush(self._free, slot)
        self._settle()

    # ── for people ──────────────────────────────────────────────────────────────────────────────

    def snapshot(self) -> Snapshot:
        """Who holds what and who waits why, at this moment."""
        now = trio.current_time()
        slots = tuple(self._slot_view(slot, now) for slot in range(self.settings.capacity))
        order = [w for heap in self._heaps for w in sorted(heap) if not w.is_gone]
        queue = tuple(self._waiter_view(w, ahead, now) for ahead, w in enumerate(order))
        return Snapshot(slots, queue)

    # ── rules ───────────────────────────────────────────────────────────────────────────────────

    def _may_take(self, lane: Lane) -> bool:
        """Rule 2. There is a free slot for `lane`, and the critical reserve stays whole."""
        return len(self._free) > (0 if lane is Lane.CRITICAL else self._reserve())

    def _reserve(self) -> int:
        """The unused part of the critical guarantee."""
        return max(0, self._guarantee[Lane.CRITICAL] - self._leased[Lane.CRITICAL])

    def _next_waiter(self) -> _Waiter | None:
        """Rules 3 and 4. Who gets the next free slot; None when nobody may."""
        heads = [self._head(lane) for lane in LANES]
        critical = heads[Lane.CRITICAL]
        if critical is not None and critical.is_urgent and self._free:
            return critical
        able = [lane for lane in LANES if heads[lane] is not None and self._may_take(lane)]
        below = [lane for lane in able if self._leased[lane] < self._guarantee[lane]]
        return heads[(below or able)[0]] if able else None

    def _key(self, request: LeaseRequest, now: float) -> tuple[float, int]:
        """Rule 4. The virtual deadline; the number makes equal ones first come, first served."""
        return now + request.priority * self.settings.ageing_s, next(self._numbers)

    def _call_back(self) -> None:
        """Rules 5 and 6. Call back what waiting lanes lack of their guarantees and what is urgent."""
        unused = [max(0, g - leased) for g, leased in zip(self._guarantee, self._leased, strict=True)]
        reserve = min(unused[Lane.CRITICAL], max(self._waiting[Lane.CRITICAL], len(self._free)))
        entitled = reserve + sum(min(self._waiting[n], unused[n]) for n in (Lane.HIGH, Lane.BACKGROUND))
        self._call_back_until(self._urgent, self._newest_of_lowest_lane)
        self._call_back_until(entitled + max(0, self._urgent - reserve), self._newest_borrowed)

    def _call_back_until(self, wanted: int, choose: Callable[[], Lease | None]) -> None:
        coming = len(self._free) + sum(lease.is_called_back for lease in self._leases.values())
        for _ in range(coming, wanted):
            if (lease := choose()) is None:
                return
            lease._call_back(trio.current_time(), self.settings.grace_s)

    def _newest_borrowed(self) -> Lease | None:
        for lane in reversed(LANES):
            held = self._not_called_back(lane)
            if len(held) > self._guarantee[lane]:
                return held[-1]
        return None

    def _newest_of_lowest_lane(self) -> Lease | None:
        held = self._not_called_back(Lane.BACKGROUND) or self._not_called_back(Lane.HIGH)
        return self._newest_borrowed() or (held[-1] if held else None)

    def _hurry(self, waiter: _Waiter) -> None:
        """Rule 6. The patience of a critical waiter is over."""
        waiter.is_urgent = True
        self._urgent += 1
        self._settle()

    # ── steps ───────────────────────────────────────────────────────────────────────────────────

    def _take_now(self, request: LeaseRequest) -> Lease | None:
        """Rule 8. A lease at once when nobody at all waits; else None, and the request queues."""
        if any(self._waiting) or not self._may_take(request.lane):
            return None
        return self._grant(request, 0.0)

    async def _wait(self, request: LeaseRequest) -> Lease:
        waiter = self._enqueue(request)
        self._settle()
        try:
            if request.lane is Lane.CRITICAL:
                with trio.move_on_after(self.settings.critical_wait_s - self.settings.grace_s):
                    await waiter.park()
                if waiter.lease is None:
                    self._hurry(waiter)
            await waiter.park()
        except BaseException:
            self._forget(waiter)
            raise
        assert waiter.lease is not None
        return waiter.lease

    def _enqueue(self, request: LeaseRequest) -> _Waiter:
        """Rule 10."""
        lane = request.lane
        if self._waiting[lane] >= self.settings.queue_limit:
            raise QueueFullError(f"{lane.label} queue is full: {self._waiting[lane]} requests wait already")
        now = trio.current_time()
        waiter = _Waiter(request, now, self._key(request, now))
        heapq.heappush(self._heaps[lane], waiter)
        self._waiting[lane] += 1
        return waiter

    def _forget(self, waiter: _Waiter) -> None:
        """Rule 9. The waiter was cancelled; a slot it got in the same step goes to the next one."""
        if waiter.lease is not None:
            self._end(waiter.lease, LeaseEnd.CANCELLED)
        else:
            self._leave_queue(waiter)
            self._settle()

    def _leave_queue(self, waiter: _Waiter) -> None:
        waiter.is_gone = True
        self._waiting[waiter.request.lane] -= 1
        self._urgent -= waiter.is_urgent

    def _head(self, lane: Lane) -> _Waiter | None:
        heap = self._heaps[lane]
        while heap and heap[0].is_gone:
            heapq.heappop(heap)
        return heap[0] if heap else None

    def _settle(self) -> None:
        """Give away what can be given, then call back what is missing. Restores I4."""
        if not any(self._waiting):
            return
        while self._free and (waiter := self._next_waiter()) is not None:
            self._leave_queue(waiter)
            waiter.take(self._grant(waiter.request, trio.current_time() - waiter.enqueued_at))
        self._call_back()

    def _grant(self, request: LeaseRequest, waited_s: float) -> Lease:
        """Rule 1."""
        slot = heapq.heappop(self._free)
        lease = Lease(next(self._numbers), slot, request, trio.current_time(), waited_s)
        self._leases[slot] = lease
        self._leased[lease.lane] += 1
        self._on_grant(lease)
        return lease

    def _end(self, lease: Lease, how: LeaseEnd) -> None:
        """Rule 1. A slot that is broken, or whose holder overstayed, waits for `mend`."""
        del self._leases[lease.slot]
        self._leased[lease.lane] -= 1
        is_broken = lease.is_broken or how is LeaseEnd.EXPIRED
        if is_broken:
            self._broken.add(lease.slot)
        else:
            heapq.heappush(self._free, lease.slot)
        self._on_end(lease, LeaseEnd.BROKEN if lease.is_broken else how)
        if is_broken:
            self._on_broken(lease.slot)
        self._settle()

    # ── views ───────────────────────────────────────────────────────────────────────────────────

    def _not_called_back(self, lane: Lane) -> list[Lease]:
        """The lane's leases that nobody called back, oldest first."""
        return [x for x in self._leases.values() if x.lane is lane and not x.is_called_back]

    def _slot_view(self, slot: int, now: float) -> SlotView:
        lease = self._leases.get(slot)
        if lease is not None:
            return SlotView(slot, "leased", None, self._lease_view(lease, now))
        if slot in self._broken:
            return SlotView(slot, "broken", None, None)
        is_reserved = slot in heapq.nlargest(self._reserve(), self._free)
        return SlotView(slot, "free", Lane.CRITICAL.label if is_reserved else None, None)

    def _lease_view(self, lease: Lease, now: float) -> LeaseView:
        of_lane = [x.id for x in self._leases.values() if x.lane is lease.lane]
        return LeaseView(
            id=lease.id,
            holder=lease.holder,
            lane=lease.lane.label,
            priority=lease.priority,
            held_s=now - lease.granted_at,
            left_s=lease.deadline - now,
            max_hold_s=lease.deadline - lease.granted_at,
            is_borrowed=lease.id in of_lane[self._guarantee[lease.lane] :],
            is_called_back=lease.is_called_back,
        )

    def _waiter_view(self, waiter: _Waiter, ahead: int, now: float) -> WaiterView:
        request = waiter.request
        return WaiterView(
            holder=request.holder,
            lane=request.lane.label,
            priority=request.priority,
            waited_s=now - waiter.enqueued_at,
            ahead=ahead,
            why=self._reason(request.lane, ahead, now),
        )

    def _reason(self, lane: Lane, ahead: int, now: float) -> str:
        parts = []
        if self._free:
            parts.append(f"{len(self._free)} free slot is kept for critical work")
        if ahead:
            parts.append(f"{ahead} in the queue {'goes' if ahead == 1 else 'go'} first")
        for lease in sorted(self._leases.values(), key=lambda x: x.deadline):
            state = "called back" if lease.is_called_back else lease.lane.label
            held_s, left_s = now - lease.granted_at, lease.deadline - now
            parts.append(
                f"{lease.holder} ({state}) holds slot {lease.slot} for {held_s:.0f} s, "
                f"{left_s:.0f} s at most to go"
            )
        parts += [f"slot {slot} is broken and being rebuilt" for slot in sorted(self._broken)]
        return "; ".join(parts)
