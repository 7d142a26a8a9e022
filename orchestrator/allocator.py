"""Who may use a scarce slot next.

Words
    slot       one unit of the resource (a browser context), numbered from 0
    lease      the right to use one slot, held by one task, ended in exactly one way (`LeaseEnd`)
    lane       critical (priority 0), high (1), background (2 and more)
    guarantee  slots that a lane can always get back
    reserve    the unused part of critical's guarantee: it stands free rather than be lent
    borrowed   a lease beyond its lane's guarantee; it can be called back
    called back   the holder has `grace_s` to finish, then it is cancelled

Rules; each has a function of its own below
    1  never over capacity: leased + free + broken = capacity           `_grant`, `_end`
    2  strict reserve: a non-critical grant leaves the reserve whole    `_may_take`
    3  guarantees first, then the rest is lent to whoever waits         `_first`
    4  critical before high before background; within a lane by
       `enqueued_at + priority * ageing_s`, a key that never changes    `_first`, `_key`
    5  what a waiting lane lacks of its guarantee is called back: the
       newest borrowed lease of the lowest lane first; no longer
       lacking, the call-back is taken back                             `_call_back`
    6  critical work that has waited `patience_s` is urgent: it goes
       first, and is called back for within guarantees too; from one
       more when a holder overstays                                     `_hurry`, `_next_late_at`
    7  no lease for ever: past `max_hold_s` the holder is cancelled and
       the slot is broken until its owner calls `mend`                  `LeaseRequest.__aexit__`
    8  newcomers wait their turn                                        `_take_now`
    9  cancel-safe: a cancelled waiter never keeps a slot               `_forget`
    10 bounded: each lane's queue has a limit, and a request may say
       how long it would wait at most                                   `_enqueue`, `predict_wait_s`
    11 slots come, break, are mended and go while leases are held; while
       they are fewer than guaranteed, all but critical work shares
       them by rule 4's key alone                                       `add_slot` …, `_first`
    12 explainable                                                      `snapshot`

Critical leases are never called back for others: a post cut off in its middle is worse than a wait.

Every change of state is one synchronous step on the trio thread, so there is no lock. Times are
seconds of `trio.current_time()`.

Invariants, true whenever no method of this module is running
    I1  a slot is in exactly one of: `_free`, `_broken`, a lease in `_leases`
    I2  `_leased[lane]` = number of leases of the lane, `_waiting[lane]` = its waiters not gone
    I3  a waiter has a lease implies it is gone from the queue; not gone implies it is in its heap
    I4  a slot is free and somebody waits implies that `_next_waiter` is None
    I5  of each lane so many leases are called back as `_to_call_back` says; a holder that overstays or
        marks its slot as broken is noticed at the next step, or when an urgent waiter looks
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

import trio

from orchestrator.errors import LeaseEndedError, QueueFullError, WaitTooLongError
from orchestrator.leases import LANES, Lane, Lease, LeaseEnd, Request, Waiter
from orchestrator.settings import AllocatorSettings
from orchestrator.snapshot import NAMED, LeaseView, SlotView, Snapshot, WaiterView, why_waiting

__all__ = ["LANES", "Allocator", "Lane", "Lease", "LeaseEnd", "LeaseRequest", "why_no_promise"]

MEMORY = 0.1
"""Weight of the latest lease in what a lease of its lane is expected to take."""
SLACK = 16
"""So many who have left may stay in a heap, besides one for each who waits."""


LENDERS = (Lane.BACKGROUND, Lane.HIGH)
"""Lanes whose leases can be called back, the one that gives first first."""


class LeaseRequest(Request):
    """What `Allocator.lease` returns: `async with` it to wait for, hold and end a lease.

    Raises QueueFullError on entry when the lane's queue is full, WaitTooLongError when it would wait or
    has waited longer than it may, LeaseEndedError on exit when the lease ended under its holder.
    """

    __slots__ = ("_allocator", "_lease")

    def __init__(
        self, allocator: Allocator, holder: str, priority: int, max_hold_s: float, max_wait_s: float
    ) -> None:
        super().__init__(holder, priority, max_hold_s, max_wait_s)
        self._allocator = allocator
        self._lease: Lease | None = None

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
        """Rule 7. A holder that was told to end and did so late or by another error has overstayed too."""
        lease = self._lease
        assert lease is not None
        end = LeaseEnd.RELEASED
        try:
            is_swallowed = lease.scope.__exit__(kind, error, trace)
        finally:
            if trio.current_time() >= lease.deadline:
                end = LeaseEnd.EXPIRED if lease.is_late else LeaseEnd.REVOKED
            elif error is not None and trio.current_effective_deadline() == -math.inf:
                end = LeaseEnd.CANCELLED
            self._allocator._end(lease, end)
        if lease.scope.cancelled_caught:
            raise LeaseEndedError(f"the lease of {lease.holder} on slot {lease.slot} was {end}") from error
        return is_swallowed


class Allocator:
    """Hands out leases on `settings.capacity` slots.

    The callbacks are called in the step in which it happens; they must not block, raise or call back into
    the allocator. `on_broken(slot)` asks the slot's owner to make it whole and call `mend` later;
    `on_gone(slot)` says that a withdrawn slot is in nobody's hands any more.
    """

    def __init__(
        self,
        settings: AllocatorSettings,
        *,
        on_grant: Callable[[Lease], None] = lambda lease: None,
        on_call_back: Callable[[Lease], None] = lambda lease: None,
        on_end: Callable[[Lease, LeaseEnd], None] = lambda lease, how: None,
        on_broken: Callable[[int], None] = lambda slot: None,
        on_gone: Callable[[int], None] = lambda slot: None,
    ) -> None:
        self.settings = settings
        self._on_grant = on_grant
        self._on_call_back = on_call_back
        self._on_end = on_end
        self._on_broken = on_broken
        self._on_gone = on_gone
        self._guarantee = (
            settings.critical_guarantee,
            settings.high_guarantee,
            settings.background_guarantee,
        )
        self._free = list(range(settings.capacity))  # a heap: the lowest free slot goes first
        self._broken: set[int] = set()
        self._leases: dict[int, Lease] = {}  # by slot, in the order of their grants
        self._leased = [0, 0, 0]
        self._heaps: tuple[list[Waiter], ...] = ([], [], [])
        self._waiting = [0, 0, 0]
        self._urgent = 0  # urgent waiters, all in the critical lane
        self._is_calling_back = False
        self._typical_hold_s: list[float | None] = [None] * len(LANES)
        self._numbers = itertools.count(1)

    # ── for holders ─────────────────────────────────────────────────────────────────────────────

    def lease(
        self, holder: str, *, priority: int, max_hold_s: float | None = None, max_wait_s: float = math.inf
    ) -> LeaseRequest:
        """A request for any slot; `holder` is a name for people. Priority 0 is critical, 10 least."""
        hold_s = self.settings.max_hold_s if max_hold_s is None else max_hold_s
        return LeaseRequest(self, holder, priority, hold_s, max_wait_s)

    # ── for the owner of the slots: rule 11 ─────────────────────────────────────────────────────

    @property
    def capacity(self) -> int:
        return len(self._free) + len(self._leases) + len(self._broken)

    def mend(self, slot: int) -> None:
        """A broken slot is whole again. Raises KeyError when it is not broken."""
        self._broken.remove(slot)
        self._set_free(slot)

    def add_slot(self) -> int:
        """A new slot, usable at once; its number is the lowest that no slot has."""
        taken = {*self._free, *self._broken, *self._leases}
        slot = next(number for number in itertools.count() if number not in taken)
        self._set_free(slot)
        return slot

    def break_slot(self, slot: int) -> None:
        """The slot is unusable until `mend`; a lease on it goes on and ends broken. Raises KeyError."""
        if slot in self._leases:
            self._leases[slot].mark_broken()
        elif slot not in self._broken:
            self._take_from_free(slot)
            self._set_broken(slot)
        self._settle()

    def withdraw(self, slot: int) -> None:
        """Take the slot away as soon as nobody has it: its lease is called back, but not cut short.

        Raises KeyError for a slot that is not there, ValueError for one that must stay: critical work keeps
        its guarantee, and the rest one slot.
        """
        lease = self._leases.get(slot)
        if lease is not None and lease.is_leaving:
            return
        staying = self.capacity - sum(lease.is_leaving for lease in self._leases.values())
        if staying <= self._guarantee[Lane.CRITICAL] + 1:
            raise ValueError(
                f"slot {slot} must stay: critical work needs its guarantee and the rest one slot"
            )
        if lease is not None:
            lease.is_leaving = True
            if not lease.scope.cancel_called:
                lease.call_back(trio.current_time(), lease.expires_at)
                self._on_call_back(lease)
        else:
            if slot in self._broken:
                self._broken.remove(slot)
            else:
                self._take_from_free(slot)
            self._on_gone(slot)
        self._settle()

    # ── for people: rule 12 ─────────────────────────────────────────────────────────────────────

    def snapshot(self) -> Snapshot:
        """Who holds what and who waits why, at this moment."""
        now = trio.current_time()
        order = self._order()
        needy = self._called_back_for(order)
        slots = tuple(
            self._slot_view(slot, needy, now) for slot in sorted({*self._free, *self._broken, *self._leases})
        )
        first = [waiter.request.holder for waiter in order[:NAMED]]
        queue = tuple(self._waiter_view(w, ahead, first, slots, now) for ahead, w in enumerate(order))
        return Snapshot(slots, queue)

    # ── rules ───────────────────────────────────────────────────────────────────────────────────

    def _may_take(self, lane: Lane) -> bool:
        """Rule 2. There is a free slot for `lane`, and the reserve stays whole."""
        return len(self._free) > (0 if lane is Lane.CRITICAL else self._unused(Lane.CRITICAL))

    def _unused(self, lane: Lane) -> int:
        """What the lane lacks of its guarantee."""
        return max(0, self._guarantee[lane] - self._leased[lane])

    def _next_waiter(self) -> Waiter | None:
        """Who gets the next free slot; None when nobody may."""
        heads = [self._head(lane) for lane in LANES if self._may_take(lane)]
        return self._first([head for head in heads if head is not None], self._leased)

    def _first(self, heads: Sequence[Waiter], leased: Sequence[int]) -> Waiter | None:
        """Rules 3, 4 and 6. Of the first waiters of some lanes, highest lane first, the one that goes first.

        Rule 11: when fewer slots are whole than guaranteed, a lane below its guarantee could hold off a
        lower one for ever; so then their keys decide.
        """
        if not heads or heads[0].is_urgent:
            return heads[0] if heads else None
        below = [head for head in heads if leased[head.lane] < self._guarantee[head.lane]] or heads
        is_short = len(self._free) + len(self._leases) < sum(self._guarantee)
        return min(below) if is_short and below[0].lane is not Lane.CRITICAL else below[0]

    def _key(self, request: Request, now: float) -> tuple[float, int]:
        """Rule 4. The virtual deadline; the number makes equal ones first come, first served."""
        return now + request.priority * self.settings.ageing_s, next(self._numbers)

    def _call_back(self) -> None:
        """Rules 5 and 6. Call back what is lacking, the newest first; take back what is not any more."""
        counts = self._to_call_back()
        if not counts and not self._is_calling_back:
            return
        self._is_calling_back = bool(counts)
        for lane in LENDERS:
            count = counts.get(lane, 0)
            leases = [x for x in self._leases.values() if x.lane is lane and x.comes_back]
            called = sorted((x for x in leases if x.is_called_back), key=lambda x: (x.called_back_at, -x.id))
            others = [x for x in leases if not x.is_called_back]
            now = trio.current_time()
            for lease in others[::-1][: max(0, count - len(called))]:
                lease.call_back(now, now + self.settings.grace_s)
                self._on_call_back(lease)
            for lease in called[count:]:
                if not lease.scope.cancel_called:
                    lease.call_off()

    def _to_call_back(self) -> dict[Lane, int]:
        """How many leases of each lane must be called back; empty when none.

        So many slots must still come free that the rules would serve all who are urgent or within the
        guarantee of their lane. By rule 2 high and background get nothing before the reserve is whole, so it
        counts as soon as one of them lacks something. Borrowed leases are called back for all of these;
        leases within a guarantee for the urgent alone.
        """
        lacking = sum(min(self._waiting[lane], self._unused(lane)) for lane in LENDERS)
        reserve = self._unused(Lane.CRITICAL)
        critical = reserve if lacking else min(reserve, self._waiting[Lane.CRITICAL])
        for_all = max(critical, self._urgent) + lacking - len(self._free)
        for_urgent = self._urgent - len(self._free)
        if for_all <= 0:
            return {}
        lanes = [lease.lane for lease in self._leases.values() if lease.comes_back]
        counts = dict.fromkeys(LENDERS, 0)
        for lane in LENDERS:
            borrowed = max(0, lanes.count(lane) - self._guarantee[lane])
            counts[lane] = min(borrowed, for_all - sum(counts.values()))
        for lane in LENDERS:
            still = max(0, for_urgent - sum(counts.values()))
            counts[lane] += min(lanes.count(lane) - counts[lane], still)
        return counts

    def _hurry(self, waiter: Waiter) -> None:
        """Rule 6. The patience of a critical waiter is over."""
        waiter.is_urgent = True
        self._urgent += 1
        self._settle()

    def _next_late_at(self) -> float:
        """Rule 6. When one who was called back will have overstayed, so that another one has to be."""
        called = (x.late_at for x in self._leases.values() if x.is_called_back and x.comes_back)
        return min(called, default=math.inf)

    # ── steps ───────────────────────────────────────────────────────────────────────────────────

    def _take_now(self, request: Request) -> Lease | None:
        """Rule 8. A lease at once, or None, and the request queues. By I4 a slot that it may take is one
        that nobody who waits may take.
        """
        if not self._may_take(request.lane):
            return None
        return self._grant(request, 0.0)

    async def _wait(self, request: Request) -> Lease:
        waiter = self._enqueue(request)
        self._settle()
        try:
            with trio.move_on_after(request.max_wait_s):
                if request.lane is Lane.CRITICAL:
                    with trio.move_on_after(self.settings.patience_s):
                        await waiter.park()
                    if waiter.lease is None:
                        self._hurry(waiter)
                    while waiter.lease is None:
                        with trio.move_on_at(self._next_late_at()):
                            await waiter.park()
                        if waiter.lease is None:
                            self._settle()
                await waiter.park()
        except BaseException:
            self._forget(waiter)
            raise
        if waiter.lease is None:
            self._forget(waiter)
            raise WaitTooLongError(f"{request.holder} got no slot within {request.max_wait_s:.0f} s")
        return waiter.lease

    def _enqueue(self, request: Request) -> Waiter:
        """Rule 10."""
        lane = request.lane
        if self._waiting[lane] >= self.settings.queue_limit:
            raise QueueFullError(f"{lane.label} queue is full: {self._waiting[lane]} requests wait already")
        now = trio.current_time()
        waiter = Waiter(request, now, self._key(request, now))
        heapq.heappush(self._heaps[lane], waiter)
        self._waiting[lane] += 1
        if request.max_wait_s < math.inf and (wait_s := self._predict_wait_s(waiter)) > request.max_wait_s:
            self._leave_queue(waiter)
            when = "no slot while none is whole" if wait_s == math.inf else f"a slot in about {wait_s:.0f} s"
            raise WaitTooLongError(
                f"{request.holder} would get {when} and waits {request.max_wait_s:.0f} s at most"
            )
        return waiter

    def _predict_wait_s(self, waiter: Waiter) -> float:
        """Rule 10. How long it will wait if each lease takes as long as those of its lane did of late, and
        what would be called back comes after `grace_s`.
        """
        now, ends = trio.current_time(), [trio.current_time()] * len(self._free)
        called_back = self._to_call_back()
        for lane in LANES:
            leases = [x for x in self._leases.values() if x.lane is lane and x.comes_back]
            for place, lease in enumerate(reversed(leases)):
                usual_s = self._typical_hold(lane)
                end = now + usual_s - (now - lease.granted_at) % usual_s  # overdue: as long again
                grace_s = self.settings.grace_s if place < called_back.get(lane, 0) else math.inf
                ends.append(min(end, lease.deadline, now + grace_s))
        ends.sort()  # and so a heap
        if waiter.lane is not Lane.CRITICAL:
            del ends[: self._unused(Lane.CRITICAL)]
        if not ends:
            return math.inf
        order = self._order()
        for other in order[: order.index(waiter)]:
            heapq.heapreplace(ends, ends[0] + self._typical_hold(other.lane))
        wait_s = max(0.0, ends[0] - now)
        return min(wait_s, self.settings.critical_wait_s) if waiter.lane is Lane.CRITICAL else wait_s

    def _typical_hold(self, lane: Lane) -> float:
        """Seconds that a lease of the lane takes; the limit while none has ended yet."""
        return self._typical_hold_s[lane] or self.settings.max_hold_s

    def _forget(self, waiter: Waiter) -> None:
        """Rule 9. The waiter was cancelled; a slot it got in the same step goes to the next one."""
        if waiter.lease is not None:
            self._end(waiter.lease, LeaseEnd.CANCELLED)
        else:
            self._leave_queue(waiter)
            self._settle()

    def _leave_queue(self, waiter: Waiter) -> None:
        waiter.is_gone = True
        self._waiting[waiter.lane] -= 1
        self._urgent -= waiter.is_urgent
        heap = self._heaps[waiter.lane]
        if len(heap) > 2 * self._waiting[waiter.lane] + SLACK:
            heap[:] = [other for other in heap if not other.is_gone]
            heapq.heapify(heap)

    def _head(self, lane: Lane) -> Waiter | None:
        heap = self._heaps[lane]
        while heap and heap[0].is_gone:
            heapq.heappop(heap)
        return heap[0] if heap else None

    def _settle(self) -> None:
        """Give away what can be given, then call back what is lacking. Restores I4 and I5."""
        if not any(self._waiting) and not self._is_calling_back:
            return
        while self._free and (waiter := self._next_waiter()) is not None:
            self._leave_queue(waiter)
            waiter.take(self._grant(waiter.request, trio.current_time() - waiter.enqueued_at))
        self._call_back()

    def _grant(self, request: Request, waited_s: float) -> Lease:
        """Rule 1."""
        slot = heapq.heappop(self._free)
        number, cleanup_s = next(self._numbers), self.settings.cleanup_s
        lease = Lease(number, slot, request, now=trio.current_time(), waited_s=waited_s, cleanup_s=cleanup_s)
        self._leases[slot] = lease
        self._leased[lease.lane] += 1
        self._on_grant(lease)
        return lease

    def _end(self, lease: Lease, how: LeaseEnd) -> None:
        """Rule 1. A slot that is broken, or whose holder overstayed, waits for `mend`."""
        lane, slot = lease.lane, lease.slot
        del self._leases[slot]
        self._leased[lane] -= 1
        if how is LeaseEnd.RELEASED:
            held_s = trio.current_time() - lease.granted_at
            usual_s = self._typical_hold_s[lane]
            self._typical_hold_s[lane] = held_s if usual_s is None else usual_s + MEMORY * (held_s - usual_s)
        self._on_end(lease, LeaseEnd.BROKEN if lease.is_broken else how)
        if lease.is_leaving:
            self._on_gone(slot)
        elif lease.is_broken or how is LeaseEnd.EXPIRED:
            self._set_broken(slot)
        else:
            heapq.heappush(self._free, slot)
        self._settle()

    def _set_broken(self, slot: int) -> None:
        self._broken.add(slot)
        self._on_broken(slot)

    def _set_free(self, slot: int) -> None:
        heapq.heappush(self._free, slot)
        self._settle()

    def _take_from_free(self, slot: int) -> None:
        if slot not in self._free:
            raise KeyError(slot)
        self._free.remove(slot)
        heapq.heapify(self._free)

    # ── views ───────────────────────────────────────────────────────────────────────────────────

    def _order(self) -> list[Waiter]:
        """All who wait, in the order in which they are served if slots come free one by one."""
        queues = [deque(sorted(w for w in heap if not w.is_gone)) for heap in self._heaps]
        leased, order = list(self._leased), []
        while first := self._first([queue[0] for queue in queues if queue], leased):
            order.append(queues[first.lane].popleft())
            leased[first.lane] += 1
        return order

    def _called_back_for(self, order: Sequence[Waiter]) -> dict[int, str]:
        """For whom each lease was called back, by its id: the first called back for the first in need."""
        called = [x for x in self._leases.values() if x.is_called_back and x.comes_back]
        called.sort(key=lambda x: (x.called_back_at, -x.id))
        lacks = [self._unused(lane) for lane in LANES]
        needy = []
        for waiter in order:
            if waiter.is_urgent or lacks[waiter.lane] > 0:
                needy.append(waiter.request.holder)
                lacks[waiter.lane] -= 1
        # There may be more of the former: the reserve has to be made whole first.
        return {lease.id: needy[min(place, len(needy) - 1)] for place, lease in enumerate(called) if needy}

    def _slot_view(self, slot: int, needy: Mapping[int, str], now: float) -> SlotView:
        lease = self._leases.get(slot)
        if lease is not None:
            return SlotView(slot, "leased", None, self._lease_view(lease, needy.get(lease.id), now))
        if slot in self._broken:
            return SlotView(slot, "broken", None, None)
        is_reserved = slot in heapq.nlargest(self._unused(Lane.CRITICAL), self._free)
        return SlotView(slot, "free", Lane.CRITICAL.label if is_reserved else None, None)

    def _lease_view(self, lease: Lease, called_back_for: str | None, now: float) -> LeaseView:
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
            is_late=lease.is_late,
            called_back_for=called_back_for,
            is_leaving=lease.is_leaving,
            is_broken=lease.is_broken,
        )

    def _waiter_view(
        self, waiter: Waiter, ahead: int, first: Sequence[str], slots: Sequence[SlotView], now: float
    ) -> WaiterView:
        request, waited_s = waiter.request, now - waiter.enqueued_at
        patience_s = self.settings.patience_s - waited_s if waiter.lane is Lane.CRITICAL else None
        reasons = why_waiting(waiter.lane.label, ahead, first[:ahead], slots, patience_s)
        return WaiterView(
            holder=request.holder,
            lane=waiter.lane.label,
            priority=request.priority,
            waited_s=waited_s,
            ahead=ahead,
            is_urgent=waiter.is_urgent,
            why="; ".join(map(str, reasons)),
            reasons=reasons,
        )


def why_no_promise(settings: AllocatorSettings, critical_jobs: Sequence[str]) -> str | None:
    """Why critical work may wait longer than `critical_wait_s`, with the arithmetic; None if it can't.

    Each of the jobs has one lease at a time. A slot in other hands is there after
    `patience_s + grace_s + cleanup_s`, which is `critical_wait_s`; one in critical hands only after
    `max_hold_s`, and so they must not be more than the slots.
    """
    if len(critical_jobs) <= settings.capacity:
        return None
    hold_s, names = settings.max_hold_s + settings.cleanup_s, ", ".join(critical_jobs)
    return (
        f"{len(critical_jobs)} critical jobs ({names}) share {settings.capacity} contexts: "
        f"one waits until another has ended, up to max_hold_s {settings.max_hold_s:g} + cleanup_s "
        f"{settings.cleanup_s:g} = {hold_s:g} s, besides the {settings.critical_wait_s:g} s that are promised"
    )
