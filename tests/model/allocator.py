"""Drives the allocator and its reference model through the same random steps and compares them after each.

Holders are real tasks under a mock clock. The clock is moved from one event to the next, so both sides see
the same moments. What the reference can't know, it is told: the number of the slot that a holder got, and
whether a request was refused because of the predicted wait.
"""

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from random import Random

import trio
import trio.testing

from orchestrator.allocator import LANES, Allocator, Lease, LeaseEnd
from orchestrator.errors import LeaseEndedError, QueueFullError, WaitTooLongError
from orchestrator.settings import AllocatorSettings
from orchestrator.simulate.order import repeatable_order
from tests.model.reference import CRITICAL, Held, Reference, Waiting

STEPS_PER_LIFE = 250
"""After so many steps another allocator with other settings takes over."""
TICK_S = 1e-6
"""The clock is set this much past an event, so that rounding can't leave it before."""
MAX_SLOTS = 7
ACTIONS = {
    "ask": 30, "release": 16, "wait": 24, "cancel waiter": 6, "cancel holder": 3, "fail": 3, "break": 4,
    "mend": 8, "add": 2, "withdraw": 2, "cancel and mend": 2, "cancel and release": 2,
}  # fmt: skip


Event = tuple[float, str, Callable[[float], None]]
"""When, to whom, and what the reference is to do then."""


class BodyError(Exception):
    """The body of a lease fails."""


class Holder:
    """A task that asks for a slot and does with it what it is told."""

    def __init__(self, name: str, *, is_stubborn: bool) -> None:
        self.name = name
        self.is_stubborn = is_stubborn
        self.stop = trio.Event()
        self.scope = trio.CancelScope()
        self.fails = False
        self.lease: Lease | None = None
        self.end: LeaseEnd | None = None
        self.error: Exception | None = None

    async def run(self, allocator: Allocator, priority: int, max_hold_s: float, max_wait_s: float) -> None:
        request = allocator.lease(self.name, priority=priority, max_hold_s=max_hold_s, max_wait_s=max_wait_s)
        with self.scope:
            try:
                async with request:
                    with trio.CancelScope(shield=self.is_stubborn):
                        await self.stop.wait()
                    if self.fails:
                        raise BodyError
            except (LeaseEndedError, QueueFullError, WaitTooLongError, BodyError) as error:
                self.error = error


class Life:
    """One allocator from its beginning to its end."""

    def __init__(self, rng: Random, nursery: trio.Nursery, clock: trio.testing.MockClock) -> None:
        self.rng = rng
        self.settings = settings = random_settings(rng)
        self._told: list[str] = []
        self.allocator = Allocator(
            settings,
            on_grant=self._granted,
            on_end=self._ended,
            on_call_back=lambda lease: self._told.append(f"{lease.holder} called back"),
            on_broken=lambda slot: self._told.append(f"slot {slot} broken"),
            on_gone=lambda slot: self._told.append(f"slot {slot} gone"),
        )
        self.reference = Reference.of(settings, self._slot_of)
        self.holders: dict[str, Holder] = {}
        self.expected_ends: dict[str, LeaseEnd] = {}
        self._ended_in_order: list[str] = []
        self._nursery = nursery
        self._clock = clock
        self._names = (f"h{number}" for number in itertools.count())

    # ── observation ─────────────────────────────────────────────────────────────────────────────

    def _granted(self, lease: Lease) -> None:
        """Rules 2, 4 and 8, seen from outside, at the moment of the grant."""
        allocator, lane = self.allocator, lease.lane
        self.holders[lease.holder].lease = lease
        if lane is not LANES[CRITICAL]:
            reserve = max(0, self.settings.critical_guarantee - allocator._leased[CRITICAL])
            assert len(allocator._free) >= reserve, "the reserve was lent"
        key = lease.granted_at - lease.waited_s + lease.priority * self.settings.ageing_s
        for waiter in allocator._heaps[lane]:
            assert waiter.is_gone or waiter.key[0] >= key - TICK_S, "somebody went before a better one"

    def _ended(self, lease: Lease, how: LeaseEnd) -> None:
        self.holders[lease.holder].end = how
        self._ended_in_order.append(lease.holder)

    def _slot_of(self, name: str) -> int:
        lease = self.holders[name].lease
        assert lease is not None, f"{name} should have a lease"
        return lease.slot

    # ── steps ───────────────────────────────────────────────────────────────────────────────────

    async def step(self) -> None:
        action = self.rng.choices(list(ACTIONS), list(ACTIONS.values()))[0]
        await getattr(self, "_" + action.replace(" ", "_"))()
        self.check()

    async def _ask(self) -> None:
        rng, name = self.rng, next(self._names)
        if len(self.reference.held) + len(self.reference.waiting) > 24:
            return
        priority = rng.choice([0, 0, 0, 1, 1, 1, rng.randint(2, 10), rng.randint(2, 10), 5])
        max_hold_s = rng.choice([rng.uniform(1, 20), rng.uniform(20, 900)])
        max_wait_s = rng.choice([float("inf")] * 6 + [rng.uniform(0.5, 300)])
        holder = self.holders[name] = Holder(name, is_stubborn=rng.random() < 0.08)
        self._nursery.start_soon(holder.run, self.allocator, priority, max_hold_s, max_wait_s)
        await trio.testing.wait_all_tasks_blocked()
        if isinstance(holder.error, WaitTooLongError):
            return  # the prediction is tested elsewhere; here, that a refusal changes nothing
        is_queued = self.reference.ask(trio.current_time(), name, priority, max_hold_s, max_wait_s)
        assert is_queued != isinstance(holder.error, QueueFullError), f"{name}: {holder.error!r}"

    async def _release(self, *, fails: bool = False) -> None:
        if (lease := self._any_held()) is None:
            return
        holder = self.holders[lease.name]
        holder.fails = fails
        holder.stop.set()
        await trio.testing.wait_all_tasks_blocked()
        self._end(lease, self._how_late(lease) if lease.is_cut else LeaseEnd.RELEASED)

    async def _fail(self) -> None:
        await self._release(fails=True)

    async def _cancel_waiter(self) -> None:
        if self.reference.waiting:
            name = self.rng.choice(self.reference.waiting).name
            self.holders[name].scope.cancel()
            await trio.testing.wait_all_tasks_blocked()
            self.reference.leave(trio.current_time(), name)

    async def _cancel_holder(self) -> None:
        lease = self._any_held()
        if lease is not None and not self.holders[lease.name].is_stubborn:
            self.holders[lease.name].scope.cancel()
            await trio.testing.wait_all_tasks_blocked()
            self._end(lease, LeaseEnd.CANCELLED)

    async def _cancel_and_release(self) -> None:
        """In one step: the slot may be granted to the one that is being cancelled."""
        lease = self._any_held()
        if lease is None or lease.is_cut or not self.reference.waiting:
            return
        name = self.rng.choice(self.reference.waiting).name
        self.holders[lease.name].stop.set()
        self.holders[name].scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        self._take_in_either_order(
            partial(self._go, name), lambda: self._end(self.reference.lease_of(lease.name), LeaseEnd.RELEASED)
        )

    async def _cancel_and_mend(self) -> None:
        """Here it surely is granted to it, if it is the first."""
        if not self.reference.waiting or not self.reference.broken:
            return
        name = self.rng.choice([self.reference.waiting[0].name, self.rng.choice(self.reference.waiting).name])
        slot = self.rng.choice(sorted(self.reference.broken))
        self.holders[name].scope.cancel()
        self.allocator.mend(slot)
        await trio.testing.wait_all_tasks_blocked()
        self.reference.set_free(trio.current_time(), slot)
        self._go(name)

    def _go(self, name: str) -> None:
        """A cancelled waiter goes, with the slot if it got one in this step."""
        if any(w.name == name for w in self.reference.waiting):
            self.reference.leave(trio.current_time(), name)
        else:
            self._end(self.reference.lease_of(name), LeaseEnd.CANCELLED)

    def _take_in_either_order(self, one: Callable[[], None], other: Callable[[], None]) -> None:
        """Trio chose an order of the two; the reference takes the one that explains what is seen."""
        before = self.reference
        for steps in ((one, other), (other, one)):
            self.reference = before.twin()
            self.expected_ends.clear()
            try:
                for step in steps:
                    step()
                self.compare()
            except AssertionError:
                if steps[0] is other:
                    raise
            else:
                return

    async def _break(self) -> None:
        slots = [*self.reference.free, *(lease.slot for lease in self.reference.held)]
        if slots:
            slot = self.rng.choice(sorted(slots))
            self.allocator.break_slot(slot)
            self.reference.break_slot(trio.current_time(), slot)

    async def _mend(self) -> None:
        if self.reference.broken:
            slot = self.rng.choice(sorted(self.reference.broken))
            self.allocator.mend(slot)
            await trio.testing.wait_all_tasks_blocked()
            self.reference.set_free(trio.current_time(), slot)

    async def _add(self) -> None:
        taken = {*self.reference.free, *self.reference.broken, *(lease.slot for lease in self.reference.held)}
        if len(taken) < MAX_SLOTS:
            slot = self.allocator.add_slot()
            assert slot == min(set(range(MAX_SLOTS + 1)) - taken)
            await trio.testing.wait_all_tasks_blocked()
            self.reference.set_free(trio.current_time(), slot)

    async def _withdraw(self) -> None:
        taken = {*self.reference.free, *self.reference.broken, *(lease.slot for lease in self.reference.held)}
        slot = self.rng.choice(sorted(taken))
        is_done = True
        try:
            self.allocator.withdraw(slot)
        except ValueError:
            is_done = False
        assert is_done == self.reference.may_withdraw(slot)
        if is_done:
            self.reference.withdraw(trio.current_time(), slot)

    async def _wait(self) -> None:
        """Let time pass, event by event."""
        until = trio.current_time() + self.rng.choice([0.0, 1.0, 10.0, 100.0]) * self.rng.expovariate(1.0)
        while (moment := min((event[0] for event in self._events()), default=until)) < until:
            self._ended_in_order.clear()
            self._clock.jump(max(0.0, moment - trio.current_time()) + TICK_S)
            await trio.testing.wait_all_tasks_blocked()
            now = trio.current_time()
            for event in sorted((e for e in self._events() if e[0] <= now), key=self._place_of):
                event[2](now)
            self.check()
        self._clock.jump(max(0.0, until - trio.current_time()))

    def _events(self) -> Iterator[Event]:
        """What time alone brings."""
        for waiter in self.reference.waiting:
            yield waiter.gives_up_at, waiter.name, partial(self._give_up, waiter)
            look_at = waiter.looks_at if waiter.is_urgent else waiter.urgent_at
            yield look_at, waiter.name, partial(self._look, waiter)
        for lease in self.reference.held:
            if not lease.is_cut:
                yield lease.deadline, lease.name, partial(self._cut, lease)

    def _place_of(self, event: Event) -> tuple[int, float]:
        """Leases that were called back in one step end in one step, in an order that trio chose."""
        moment, name, _ = event
        order = self._ended_in_order
        return order.index(name) if name in order else -1, moment

    def _give_up(self, waiter: Waiting, now: float) -> None:
        if waiter in self.reference.waiting:
            self.reference.leave(now, waiter.name)

    def _look(self, waiter: Waiting, now: float) -> None:
        if waiter in self.reference.waiting:
            self.reference.look(now, waiter)

    def _cut(self, lease: Held, now: float) -> None:
        """The lease's time is over; a stubborn holder goes on for a while."""
        lease.is_cut = True
        if not self.holders[lease.name].is_stubborn:
            self._end(lease, self._how_late(lease))

    def _how_late(self, lease: Held) -> LeaseEnd:
        """Who was asked for the slot has `cleanup_s` to end; others have had all the time there is."""
        is_late = trio.current_time() >= lease.late_at(self.settings.cleanup_s)
        return LeaseEnd.EXPIRED if is_late else LeaseEnd.REVOKED

    def _end(self, lease: Held, how: LeaseEnd) -> None:
        self.expected_ends[lease.name] = self.reference.end(trio.current_time(), lease, how)

    def _any_held(self) -> Held | None:
        return self.rng.choice(self.reference.held) if self.reference.held else None

    # ── comparison ──────────────────────────────────────────────────────────────────────────────

    def check(self) -> None:
        check_invariants(self.allocator)
        self.compare()
        self._told.clear()
        self.reference.told.clear()
        self.expected_ends.clear()

    def compare(self) -> None:
        allocator, reference = self.allocator, self.reference
        assert set(allocator._free) == reference.free
        assert allocator._broken == reference.broken
        assert {x.slot: x.holder for x in allocator._leases.values()} == {
            x.slot: x.name for x in reference.held
        }
        for lease in reference.held:
            real = allocator._leases[lease.slot]
            seen = (real.is_called_back, real.is_leaving)
            assert seen == (lease.called_back is not None, lease.is_leaving), f"{lease}: {seen}"
            late_s = real.deadline - lease.deadline
            assert lease.is_cut or abs(late_s) < 3 * TICK_S, f"{lease}: {late_s} later"
        assert [w.request.holder for w in allocator._order()] == reference.order()
        assert allocator._urgent == sum(w.is_urgent for w in reference.waiting)
        assert sorted(self._told) == sorted(reference.told), f"{self._told} told, not {reference.told}"
        for name, how in self.expected_ends.items():
            assert self.holders[name].end is how, f"{name} ended {self.holders[name].end}, not {how}"


def check_invariants(allocator: Allocator) -> None:
    """The invariants at the top of `allocator.py`."""
    leases = allocator._leases
    slots = [*allocator._free, *allocator._broken, *leases]
    assert len(slots) == len(set(slots)) == allocator.capacity, "I1"
    waiters = [[w for w in heap if not w.is_gone] for heap in allocator._heaps]
    for lane in LANES:
        assert allocator._leased[lane] == sum(lease.lane is lane for lease in leases.values()), "I2"
        assert allocator._waiting[lane] == len(waiters[lane]), "I2"
    assert allocator._urgent == sum(w.is_urgent for lane in waiters for w in lane), "I2"
    assert all(w.lease is None for lane in waiters for w in lane), "I3"
    assert not allocator._free or not any(waiters) or allocator._next_waiter() is None, "I4"
    if any(x.is_late for x in leases.values()):
        return  # since the last step its time was over; `Life.compare` sees who is called back then
    counts = allocator._to_call_back()
    for lane in LANES:
        count = counts.get(lane, 0)
        called = [x for x in leases.values() if x.lane is lane and x.is_called_back and x.comes_back]
        ending = sum(x.scope.cancel_called for x in called)  # no call-off saves these
        assert 0 <= len(called) - count <= ending, "I5"


def random_settings(rng: Random) -> AllocatorSettings:
    capacity = rng.choice([1, 2, 3, 3, 3, 4, 5])
    shares = [rng.randint(0, 2) for _ in range(3)]
    while sum(shares) > capacity or shares[0] >= capacity:
        lane = rng.randrange(3)
        shares[lane] = max(0, shares[lane] - 1)
    return AllocatorSettings(
        capacity=capacity,
        critical_guarantee=shares[0],
        high_guarantee=shares[1],
        background_guarantee=shares[2],
        ageing_s=rng.choice([1, 30, 61.7]),
        critical_wait_s=60,
        grace_s=rng.choice([3.3, 15.1, 29]),
        cleanup_s=rng.choice([0.7, 13]),
        max_hold_s=600,
        queue_limit=rng.choice([3, 1000]),
    )


def run(steps: int, seed: int, progress: Callable[[int], None]) -> None:
    """So many random steps. Raises AssertionError where the two disagree or a rule is broken."""

    async def main(clock: trio.testing.MockClock) -> None:
        rng = Random(seed)
        for first in range(0, steps, STEPS_PER_LIFE):
            async with trio.open_nursery() as nursery:
                life = Life(rng, nursery, clock)
                try:
                    for step in range(first, min(steps, first + STEPS_PER_LIFE)):
                        progress(step)
                        await life.step()
                finally:  # the stubborn listen to nothing else
                    for holder in life.holders.values():
                        holder.stop.set()
                    nursery.cancel_scope.cancel()
            assert life.allocator.snapshot().queue == (), "somebody still waits"
            assert not life.allocator._leases, "somebody still has a lease"

    with repeatable_order(seed):
        clock = trio.testing.MockClock()
        trio.run(main, clock, clock=clock)
