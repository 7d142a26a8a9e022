"""The allocator once more, short and slow: lists instead of heaps, everything reckoned anew each time.

It follows `docs/allocator.md`. It knows no tasks: time and what holders do are told to it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from orchestrator.allocator import LeaseEnd
from orchestrator.settings import AllocatorSettings

CRITICAL, HIGH, BACKGROUND = 0, 1, 2


@dataclass
class Held:
    """A lease."""

    name: str
    lane: int
    slot: int
    order: int
    expires_at: float
    deadline: float
    called_back: int | None = None
    """Its number among all call-backs; None while not called back."""
    is_leaving: bool = False
    is_broken: bool = False
    is_cut: bool = False
    """Its deadline has passed: it is being cancelled, and no call-off saves it."""

    def late_at(self, cleanup_s: float) -> float:
        """When it should have ended at the latest."""
        is_asked = self.called_back is not None and not self.is_leaving
        return self.deadline + (cleanup_s if is_asked else 0.0)


@dataclass
class Waiting:
    """A request in the queue."""

    name: str
    lane: int
    key: tuple[float, int]
    max_hold_s: float
    urgent_at: float
    gives_up_at: float
    is_urgent: bool = False
    looks_at: float = float("inf")
    """When an urgent one sees that a holder does not end."""


@dataclass
class Reference:
    """What the allocator should be after the same steps; `slot_of(name)` is the free slot a holder got."""

    settings: AllocatorSettings
    slot_of: Callable[[str], int]
    free: set[int] = field(default_factory=set)
    broken: set[int] = field(default_factory=set)
    held: list[Held] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    number: int = 0
    now: float = 0.0
    told: list[str] = field(default_factory=list)
    """What the owner of the slots and the holders are told, since it was last looked at."""

    def __post_init__(self) -> None:
        self.guarantee = (
            self.settings.critical_guarantee,
            self.settings.high_guarantee,
            self.settings.background_guarantee,
        )

    @classmethod
    def of(cls, settings: AllocatorSettings, slot_of: Callable[[str], int]) -> "Reference":
        return cls(settings, slot_of, free=set(range(settings.capacity)))

    def twin(self) -> "Reference":
        """Another in the same state."""
        return replace(
            self,
            free=set(self.free),
            broken=set(self.broken),
            held=[replace(lease) for lease in self.held],
            waiting=[replace(waiter) for waiter in self.waiting],
            told=list(self.told),
        )

    def lease_of(self, name: str) -> Held:
        return next(lease for lease in self.held if lease.name == name)

    # ── what happens to it ──────────────────────────────────────────────────────────────────────

    def ask(self, now: float, name: str, priority: int, max_hold_s: float, max_wait_s: float) -> bool:
        """False when the queue is full."""
        lane = min(priority, 2)
        if sum(w.lane == lane for w in self.waiting) >= self.settings.queue_limit:
            return False
        key = (now + priority * self.settings.ageing_s, self._next())
        urgent_at = now + self.settings.patience_s if lane == CRITICAL else float("inf")
        self.waiting.append(Waiting(name, lane, key, max_hold_s, urgent_at, now + max_wait_s))
        self.settle(now)
        return True

    def leave(self, now: float, name: str) -> None:
        """A waiter goes."""
        self.waiting = [w for w in self.waiting if w.name != name]
        self.settle(now)

    def end(self, now: float, lease: Held, how: LeaseEnd) -> LeaseEnd:
        self.held.remove(lease)
        if lease.is_leaving:
            self.told.append(f"slot {lease.slot} gone")
        elif lease.is_broken or how is LeaseEnd.EXPIRED:
            self.broken.add(lease.slot)
            self.told.append(f"slot {lease.slot} broken")
        else:
            self.free.add(lease.slot)
        self.settle(now)
        return LeaseEnd.BROKEN if lease.is_broken else how

    def set_free(self, now: float, slot: int) -> None:
        """Mended, or new."""
        self.broken.discard(slot)
        self.free.add(slot)
        self.settle(now)

    def break_slot(self, now: float, slot: int) -> None:
        for lease in self.held:
            lease.is_broken |= lease.slot == slot
        if slot in self.free:
            self.free.remove(slot)
            self.broken.add(slot)
            self.told.append(f"slot {slot} broken")
        self.settle(now)

    def may_withdraw(self, slot: int) -> bool:
        staying = len(self.free) + len(self.broken) + sum(not lease.is_leaving for lease in self.held)
        return staying > self.guarantee[CRITICAL] + 1 or any(
            x.slot == slot and x.is_leaving for x in self.held
        )

    def withdraw(self, now: float, slot: int) -> None:
        if slot in self.free or slot in self.broken:
            self.told.append(f"slot {slot} gone")
        self.free.discard(slot)
        self.broken.discard(slot)
        for lease in self.held:
            if lease.slot == slot and not lease.is_leaving:
                lease.is_leaving = True
                if not lease.is_cut:
                    lease.called_back, lease.deadline = self._next(), lease.expires_at
                    self.told.append(f"{lease.name} called back")
        self.settle(now)

    # ── rules ───────────────────────────────────────────────────────────────────────────────────

    def look(self, now: float, waiter: Waiting) -> None:
        """Rule 6. An urgent one sees who does not end, and when the next one should have."""
        waiter.is_urgent = True
        self.settle(now)
        called = (x for x in self.held if x.called_back is not None and self._comes_back(x))
        waiter.looks_at = min((x.late_at(self.settings.cleanup_s) for x in called), default=float("inf"))

    def settle(self, now: float) -> None:
        self.now = now
        while (waiter := self._next_of(self.waiting, self._count(), len(self.free))) is not None:
            self.waiting.remove(waiter)
            slot, expires_at = self.slot_of(waiter.name), now + waiter.max_hold_s
            self.free.remove(slot)
            self.held.append(Held(waiter.name, waiter.lane, slot, self._next(), expires_at, expires_at))
        self._call_back(now)

    def order(self) -> list[str]:
        """The queue, as if slots came free one by one and nobody needed a reserve."""
        left, count, order = list(self.waiting), self._count(), []
        while left:
            first = min(left, key=lambda w: self._rank(w, count))
            left.remove(first)
            count[first.lane] += 1
            order.append(first.name)
        return order

    def _next_of(self, waiting: list[Waiting], count: list[int], free: int) -> Waiting | None:
        """Rules 2, 3 and 4."""
        reserve = max(0, self.guarantee[CRITICAL] - count[CRITICAL])
        able = [w for w in waiting if free - (0 if w.lane == CRITICAL else reserve) > 0]
        return min(able, key=lambda w: self._rank(w, count), default=None)

    def _rank(self, waiter: Waiting, count: list[int]) -> tuple[object, ...]:
        is_short = len(self.free) + len(self.held) < sum(self.guarantee)
        is_below = count[waiter.lane] < self.guarantee[waiter.lane]
        lane = min(waiter.lane, HIGH) if is_short else waiter.lane
        return not waiter.is_urgent, not is_below, lane, waiter.key

    def _call_back(self, now: float) -> None:
        """Rules 5 and 6."""
        wanted, urgent = self._slots_to_come(self._entitled()), self._slots_to_come(self._urgent())
        lanes = {
            lane: [lease for lease in self.held if lease.lane == lane and self._comes_back(lease)]
            for lane in (BACKGROUND, HIGH)
        }
        goal = dict.fromkeys(lanes, 0)
        for lane, leases in lanes.items():
            while sum(goal.values()) < wanted and goal[lane] < len(leases) - self.guarantee[lane]:
                goal[lane] += 1
        for lane, leases in lanes.items():
            while sum(goal.values()) < urgent and goal[lane] < len(leases):
                goal[lane] += 1
        for lane, leases in lanes.items():
            self._bring_to(goal[lane], leases, now)

    def _bring_to(self, goal: int, leases: list[Held], now: float) -> None:
        """Call back the newest, call off the latest call-backs, until so many are called back."""
        called = [lease for lease in leases if lease.called_back is not None]
        rest = [lease for lease in leases if lease.called_back is None]
        while len(called) < goal:
            lease = max(rest, key=lambda x: x.order)
            rest.remove(lease)
            called.append(lease)
            lease.called_back = self._next()
            self.told.append(f"{lease.name} called back")
            lease.deadline = min(lease.expires_at, now + self.settings.grace_s)
        for lease in sorted(called, key=lambda x: x.called_back or 0)[goal:]:
            if not lease.is_cut:
                lease.called_back, lease.deadline = None, lease.expires_at

    def _comes_back(self, lease: Held) -> bool:
        """Whether its end brings a free slot."""
        is_late = self.now >= lease.late_at(self.settings.cleanup_s)
        return not lease.is_leaving and not lease.is_broken and not is_late

    def _urgent(self) -> set[str]:
        return {w.name for w in self.waiting if w.is_urgent}

    def _entitled(self) -> set[str]:
        """Who waits and is urgent or within the guarantee of its lane."""
        names = self._urgent()
        for lane, lacks in enumerate(g - n for g, n in zip(self.guarantee, self._count(), strict=True)):
            queue = sorted((w for w in self.waiting if w.lane == lane), key=lambda w: w.key)
            names |= {w.name for w in queue[: max(0, lacks)]}
        return names

    def _slots_to_come(self, names: set[str]) -> int:
        """How many more slots must come free until the rules serve all of these."""
        for coming in range(len(self.waiting) + sum(self.guarantee) + 1):
            left, count, free = list(self.waiting), self._count(), len(self.free) + coming
            while (waiter := self._next_of(left, count, free)) is not None:
                left.remove(waiter)
                count[waiter.lane] += 1
                free -= 1
            if not names & {w.name for w in left}:
                return coming
        raise AssertionError("no number of slots would do")

    def _count(self) -> list[int]:
        return [sum(lease.lane == lane for lease in self.held) for lane in (CRITICAL, HIGH, BACKGROUND)]

    def _next(self) -> int:
        self.number += 1
        return self.number
