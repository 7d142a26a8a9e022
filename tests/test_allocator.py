"""The rules of the allocator, one by one; `docs/allocator.md` has them in words."""

import contextlib
import math
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from orchestrator.allocator import Allocator, Lease, LeaseEnd, LeaseRequest, why_no_promise
from orchestrator.browser import pool
from orchestrator.errors import LeaseEndedError, QueueFullError, WaitTooLongError
from orchestrator.settings import AllocatorSettings

CRITICAL, HIGH, BACKGROUND = 0, 1, 5


class Bench:
    """An allocator with tasks that hold leases until told to stop, and a record of what happened."""

    def __init__(self, nursery: trio.Nursery, **settings: float) -> None:
        self.granted: list[str] = []
        self.ended: list[tuple[str, LeaseEnd]] = []
        self.broken: list[int] = []
        self.gone: list[int] = []
        self.errors: dict[str, BaseException] = {}
        self.leases: dict[str, Lease] = {}
        self._stops: dict[str, trio.Event] = {}
        self._scopes: dict[str, trio.CancelScope] = {}
        self._nursery = nursery
        self.allocator = Allocator(
            AllocatorSettings.model_validate(settings),
            on_grant=lambda lease: self.granted.append(lease.holder),
            on_end=lambda lease, how: self.ended.append((lease.holder, how)),
            on_broken=self.broken.append,
            on_gone=self.gone.append,
        )

    def explain(self, holder: str) -> list[str]:
        return self.allocator.snapshot().explain(holder)

    async def ask(
        self,
        holder: str,
        priority: int,
        max_hold_s: float | None = None,
        max_wait_s: float = math.inf,
    ) -> None:
        """Start a task that asks for a slot and holds it until `stop`; everything settles before we go on."""
        self._stops[holder] = trio.Event()
        self._scopes[holder] = trio.CancelScope()
        request = self.allocator.lease(
            holder, priority=priority, max_hold_s=max_hold_s, max_wait_s=max_wait_s
        )
        self._nursery.start_soon(self._hold, holder, request)
        await trio.testing.wait_all_tasks_blocked()

    async def _hold(self, holder: str, request: LeaseRequest) -> None:
        with self._scopes[holder]:
            try:
                async with request as lease:
                    self.leases[holder] = lease
                    await self._stops[holder].wait()
            except (LeaseEndedError, QueueFullError, WaitTooLongError) as error:
                self.errors[holder] = error

    async def stop(self, holder: str) -> None:
        self._stops[holder].set()
        await trio.testing.wait_all_tasks_blocked()

    async def cancel(self, holder: str) -> None:
        self._scopes[holder].cancel()
        await trio.testing.wait_all_tasks_blocked()

    @property
    def holders(self) -> list[str]:
        return [s.lease.holder for s in self.allocator.snapshot().slots if s.lease is not None]

    @property
    def waiting(self) -> list[str]:
        return [waiter.holder for waiter in self.allocator.snapshot().queue]


def called_back(bench: Bench) -> list[str]:
    slots = bench.allocator.snapshot().slots
    return [slot.lease.holder for slot in slots if slot.lease is not None and slot.lease.is_called_back]


@asynccontextmanager
async def a_bench(**settings: float) -> AsyncIterator[Bench]:
    async with trio.open_nursery() as nursery:
        yield Bench(nursery, **settings)
        nursery.cancel_scope.cancel()


async def test_slots_are_never_given_twice_and_capacity_is_never_exceeded(autojump_clock: object) -> None:
    async with a_bench(capacity=3) as bench:
        for number in range(6):
            await bench.ask(f"critical{number}", CRITICAL)
        slots = [slot.slot for slot in bench.allocator.snapshot().slots if slot.lease is not None]
        assert slots == [0, 1, 2]
        assert len(bench.waiting) == 3


async def test_the_critical_slot_stands_idle_rather_than_be_used_by_others(autojump_clock: object) -> None:
    async with a_bench(capacity=3) as bench:
        for number in range(4):
            await bench.ask(f"background{number}", BACKGROUND)
        assert len(bench.holders) == 2
        await bench.ask("posting", CRITICAL)
        assert "posting" in bench.holders


async def test_a_critical_newcomer_takes_the_reserve_past_everybody_who_waits(autojump_clock: object) -> None:
    async with a_bench(capacity=2, high_guarantee=0, background_guarantee=0) as bench:
        await bench.ask("first", BACKGROUND)
        await bench.ask("second", BACKGROUND)
        await bench.ask("posting", CRITICAL)
        assert bench.holders == ["first", "posting"]
        assert bench.waiting == ["second"]


async def test_a_lane_below_its_guarantee_goes_before_a_higher_lane_that_has_its_own(
    autojump_clock: object,
) -> None:
    async with a_bench(capacity=3, grace_s=30) as bench:
        await bench.ask("metrics", HIGH)
        await bench.ask("harvest", HIGH)  # borrows what background does not use
        await bench.ask("late high", HIGH)
        await bench.ask("news", BACKGROUND)
        await bench.stop("metrics")
        assert "news" in bench.holders
        assert bench.waiting == ["late high"]


async def test_an_unused_guarantee_is_lent_to_whoever_waits(autojump_clock: object) -> None:
    async with a_bench(capacity=3) as bench:
        await bench.ask("news1", BACKGROUND)
        await bench.ask("news2", BACKGROUND)
        assert bench.holders == ["news1", "news2"]
        assert [s.lease.is_borrowed for s in bench.allocator.snapshot().slots if s.lease] == [False, True]


async def test_within_a_lane_a_level_of_priority_is_worth_so_much_waiting(autojump_clock: object) -> None:
    async with a_bench(capacity=1, critical_guarantee=0, high_guarantee=0, ageing_s=30) as bench:
        await bench.ask("holder", BACKGROUND)
        await bench.ask("low, early", 4)
        await trio.sleep(59)
        await bench.ask("high, 59 s later", 2)
        await trio.sleep(2)
        await bench.ask("high, 61 s later", 2)
        assert bench.waiting == ["high, 59 s later", "low, early", "high, 61 s later"]
        for holder in ("holder", "high, 59 s later", "low, early"):
            await bench.stop(holder)
        assert bench.granted == ["holder", "high, 59 s later", "low, early", "high, 61 s later"]


async def test_nothing_starves_under_a_stream_of_better_requests(autojump_clock: object) -> None:
    settings = {"capacity": 1, "critical_guarantee": 0, "high_guarantee": 0, "ageing_s": 10}
    async with a_bench(**settings) as bench:
        await bench.ask("request 0", 2)
        await bench.ask("low", 10)
        for number in range(1, 20):
            await bench.ask(f"request {number}", 2)
            await trio.sleep(10)
            await bench.stop(bench.holders[0])
            if "low" in bench.holders:
                break
        assert number == 9, "eight levels of ten seconds: after eight better ones it is its turn"


async def test_equal_requests_are_served_in_the_order_of_their_coming(autojump_clock: object) -> None:
    async with a_bench(capacity=1, critical_guarantee=0, high_guarantee=0) as bench:
        names = [f"job{number}" for number in range(8)]
        for name in names:
            await bench.ask(name, BACKGROUND)
        for name in names:
            await bench.stop(name)
        assert bench.granted == names


async def test_a_newcomer_does_not_barge_past_one_that_waits(autojump_clock: object) -> None:
    async with a_bench(capacity=1, critical_guarantee=0, high_guarantee=0) as bench:
        await bench.ask("holder", BACKGROUND)
        await bench.ask("waiter", BACKGROUND)
        bench._stops["holder"].set()
        await bench.ask("newcomer", BACKGROUND)
        assert bench.granted == ["holder", "waiter"]


async def test_a_waiting_guarantee_calls_back_the_newest_borrowed_lease(autojump_clock: object) -> None:
    async with a_bench(capacity=3, grace_s=15) as bench:
        await bench.ask("news1", BACKGROUND)
        await bench.ask("news2", BACKGROUND)
        await bench.ask("metrics", HIGH)
        assert bench.leases["news2"].is_called_back
        assert not bench.leases["news1"].is_called_back
        await bench.leases["news2"].wait_called_back()
        assert bench.waiting == ["metrics"], "the holder has grace_s to finish"
        await trio.sleep(15.1)
        assert bench.holders == ["news1", "metrics"]
        assert ("news2", LeaseEnd.REVOKED) in bench.ended
        assert isinstance(bench.errors["news2"], LeaseEndedError)


async def test_the_free_slot_of_the_reserve_does_not_stop_a_call_back(autojump_clock: object) -> None:
    async with a_bench(capacity=3) as bench:
        await bench.ask("harvest1", HIGH)
        await bench.ask("harvest2", HIGH)
        await bench.ask("news", BACKGROUND)
        assert bench.leases["harvest2"].is_called_back


async def test_critical_work_takes_a_guaranteed_slot_when_its_patience_is_over(
    autojump_clock: object,
) -> None:
    async with a_bench(capacity=3, critical_wait_s=60, grace_s=15, cleanup_s=5) as bench:
        start = trio.current_time()
        for holder, priority in (("post", CRITICAL), ("metrics", HIGH), ("news", BACKGROUND)):
            await bench.ask(holder, priority)
        await bench.ask("reply", CRITICAL)
        await trio.sleep(39)
        assert called_back(bench) == []
        await trio.sleep(2)
        assert called_back(bench) == ["news"]
        await bench.ask("other news", BACKGROUND)
        await trio.sleep(15)
        assert "reply" in bench.holders, "also past background, which waits below its guarantee"
        assert bench.leases["reply"].waited_s <= 60 - 5, "even if the holder had used its cleanup_s"
        assert trio.current_time() - start < 57


async def test_a_holder_that_does_not_end_keeps_critical_work_from_no_other_slot(
    autojump_clock: object,
) -> None:
    async with a_bench(capacity=3, critical_wait_s=60, grace_s=15, cleanup_s=5, max_hold_s=500) as bench:
        for holder, priority in (("post", CRITICAL), ("metrics", HIGH)):
            await bench.ask(holder, priority)
        async with bench.allocator.lease("deaf", priority=BACKGROUND):
            with trio.CancelScope(shield=True):
                await bench.ask("reply", CRITICAL)
                await trio.sleep(41)
                assert called_back(bench) == ["deaf"]
                await trio.sleep(18)
                told = bench.explain("reply")[0]
                assert told.endswith("; now it takes a slot from the lowest lane.")
                await trio.sleep(2)
                assert called_back(bench) == ["metrics", "deaf"], "it should have ended by now"
                await trio.sleep(15)
                assert bench.holders == ["post", "reply", "deaf"]
                await bench.ask("other reply", CRITICAL)
                await trio.sleep(41)
                told = bench.explain("other reply")[0]
                assert "deaf (background, called back) holds slot 2 for 117 s, does not end although" in told
                assert told.endswith("; there is no other slot to be had.")
        assert bench.holders == ["post", "reply"], "its slot has to be rebuilt first"
        assert bench.broken == [2]


async def test_what_an_urgent_one_took_is_not_called_back_for_a_guarantee(autojump_clock: object) -> None:
    async with a_bench(capacity=3) as bench:
        for holder, priority in (("post", CRITICAL), ("metrics", HIGH), ("news", BACKGROUND)):
            await bench.ask(holder, priority)
        await bench.ask("reply", CRITICAL)
        await trio.sleep(46)
        assert bench.holders == ["post", "metrics", "reply"]
        await bench.ask("other news", BACKGROUND)
        await trio.sleep(100)
        assert bench.holders == ["post", "metrics", "reply"]
        assert bench.waiting == ["other news"]


async def test_a_call_back_that_nobody_needs_any_more_is_taken_back(autojump_clock: object) -> None:
    async with a_bench(capacity=3, max_hold_s=100) as bench:
        await bench.ask("news1", BACKGROUND)
        await bench.ask("news2", BACKGROUND)
        await bench.ask("metrics", HIGH)
        assert called_back(bench) == ["news2"]
        await trio.sleep(10)
        await bench.cancel("metrics")
        assert called_back(bench) == []
        await trio.sleep(80)
        assert bench.holders == ["news1", "news2"], "it has its whole time again"
        await bench.ask("metrics again", HIGH)
        assert called_back(bench) == ["news2"]
        with trio.fail_after(1):
            await bench.leases["news2"].wait_called_back()
        await bench.stop("news1")
        assert called_back(bench) == [], "another slot came free first"
        assert "metrics again" in bench.holders


@pytest.mark.parametrize("error", [None, ZeroDivisionError()], ids=["returns", "raises"])
@pytest.mark.parametrize(
    ("held_s", "how", "broken"),
    [(10, LeaseEnd.RELEASED, []), (20, LeaseEnd.REVOKED, []), (101, LeaseEnd.EXPIRED, [1])],
)
async def test_a_holder_that_does_not_listen_has_overstayed_however_it_ends(
    autojump_clock: object, held_s: float, how: LeaseEnd, broken: list[int], error: Exception | None
) -> None:
    async with a_bench(capacity=2, critical_guarantee=0, grace_s=15, max_hold_s=100) as bench:
        await bench.ask("news", BACKGROUND, max_hold_s=1000)
        with contextlib.suppress(ZeroDivisionError):
            async with bench.allocator.lease("stubborn", priority=BACKGROUND) as lease:
                await bench.ask("metrics", HIGH)
                assert lease.is_called_back
                with trio.CancelScope(shield=True):
                    await trio.sleep(held_s)
                if error is not None:
                    raise error
        assert dict(bench.ended)["stubborn"] is how
        assert bench.broken == broken


async def test_critical_leases_are_never_called_back(autojump_clock: object) -> None:
    async with a_bench(capacity=3) as bench:
        for holder in ("post", "reply", "second reply"):
            await bench.ask(holder, CRITICAL)
        await bench.ask("metrics", HIGH)
        await bench.ask("news", BACKGROUND)
        await trio.sleep(120)
        assert called_back(bench) == []
        await bench.stop("reply")
        assert "metrics" in bench.holders, "its guarantee goes before critical work beyond its own"


async def test_a_lease_that_is_held_too_long_expires_and_leaves_a_broken_slot(autojump_clock: object) -> None:
    async with a_bench(capacity=1, critical_guarantee=0, high_guarantee=0) as bench:
        await bench.ask("slow", BACKGROUND, max_hold_s=5)
        await bench.ask("next", BACKGROUND)
        await trio.sleep(5.1)
        assert bench.ended == [("slow", LeaseEnd.EXPIRED)]
        assert isinstance(bench.errors["slow"], LeaseEndedError)
        assert bench.broken == [0]
        assert bench.waiting == ["next"], "a broken slot is given to nobody"
        bench.allocator.mend(0)
        await trio.testing.wait_all_tasks_blocked()
        assert bench.holders == ["next"]


async def test_a_slot_that_its_holder_marks_broken_waits_to_be_mended(autojump_clock: object) -> None:
    async with a_bench(capacity=1, critical_guarantee=0, high_guarantee=0) as bench:
        await bench.ask("unlucky", BACKGROUND)
        bench.leases["unlucky"].mark_broken()
        await bench.stop("unlucky")
        assert bench.ended == [("unlucky", LeaseEnd.BROKEN)]
        assert [slot.state for slot in bench.allocator.snapshot().slots] == ["broken"]
        with pytest.raises(KeyError):
            bench.allocator.mend(1)


async def test_a_cancelled_waiter_leaves_the_queue_and_the_next_one_is_served(autojump_clock: object) -> None:
    async with a_bench(capacity=1, critical_guarantee=0, high_guarantee=0) as bench:
        for name in ("holder", "leaver", "stayer"):
            await bench.ask(name, BACKGROUND)
        await bench.cancel("leaver")
        assert bench.waiting == ["stayer"]
        await bench.stop("holder")
        assert bench.holders == ["stayer"]


async def test_a_slot_granted_to_a_task_cancelled_in_the_same_step_goes_to_the_next(
    autojump_clock: object,
) -> None:
    async with a_bench(capacity=1, critical_guarantee=0, high_guarantee=0) as bench:
        for name in ("holder", "unlucky", "next"):
            await bench.ask(name, BACKGROUND)
        bench._stops["holder"].set()
        bench._scopes["unlucky"].cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert bench.holders == ["next"]
        bench._stops["next"].set()
        await trio.testing.wait_all_tasks_blocked()
        assert [slot.state for slot in bench.allocator.snapshot().slots] == ["free"]


async def test_a_cancelled_critical_waiter_is_forgotten_in_each_of_its_two_sleeps(
    autojump_clock: object,
) -> None:
    async with a_bench(capacity=1, critical_guarantee=0, high_guarantee=0, background_guarantee=0) as bench:
        await bench.ask("holder", CRITICAL)
        await bench.ask("early", CRITICAL)
        await bench.ask("late", CRITICAL)
        await bench.cancel("early")
        await trio.sleep(50)
        await bench.cancel("late")
        await bench.stop("holder")
        assert bench.waiting == []
        assert bench.holders == []
        await bench.ask("after", CRITICAL)
        assert bench.holders == ["after"]


async def test_a_cancelled_holder_frees_its_slot(autojump_clock: object) -> None:
    async with a_bench(capacity=1, critical_guarantee=0, high_guarantee=0) as bench:
        await bench.ask("holder", BACKGROUND)
        await bench.ask("next", BACKGROUND)
        await bench.cancel("holder")
        assert bench.ended == [("holder", LeaseEnd.CANCELLED)]
        assert bench.holders == ["next"]


async def test_an_error_in_the_body_frees_the_slot_and_passes_through(autojump_clock: object) -> None:
    async with a_bench(capacity=1, critical_guarantee=0, high_guarantee=0) as bench:
        with pytest.raises(ZeroDivisionError):
            async with bench.allocator.lease("buggy", priority=BACKGROUND):
                raise ZeroDivisionError
        assert bench.ended == [("buggy", LeaseEnd.RELEASED)]
        await bench.ask("next", BACKGROUND)
        assert bench.holders == ["next"]


async def test_a_request_beyond_the_bound_of_its_queue_fails_at_once(autojump_clock: object) -> None:
    async with a_bench(capacity=1, critical_guarantee=0, high_guarantee=0, queue_limit=2) as bench:
        for name in ("holder", "first", "second", "third"):
            await bench.ask(name, BACKGROUND)
        assert isinstance(bench.errors["third"], QueueFullError)
        await bench.ask("posting", CRITICAL)
        assert "posting" in bench.waiting, "each lane has a queue of its own"


async def test_the_snapshot_says_who_holds_what_and_who_waits_for_it(autojump_clock: object) -> None:
    async with a_bench(capacity=2, high_guarantee=0, background_guarantee=0) as bench:
        await bench.ask("news", BACKGROUND, max_hold_s=100)
        await bench.ask("metrics", HIGH)
        await trio.sleep(10)
        snapshot = bench.allocator.snapshot()
        assert [slot.reserved_for for slot in snapshot.slots] == [None, "critical"]
        lease = snapshot.slots[0].lease
        assert lease is not None
        assert (lease.holder, lease.lane, lease.held_s, lease.left_s) == ("news", "background", 10, 90)
        (waiter,) = snapshot.queue
        assert (waiter.holder, waiter.ahead, waiter.waited_s) == ("metrics", 0, 10)
        assert waiter.why == (
            "1 free slot is kept for critical work; news (background, borrowed) holds slot 0 for 10 s, "
            "90 s at most to go"
        )


async def test_taking_a_free_slot_is_a_checkpoint_that_can_be_cancelled(autojump_clock: object) -> None:
    async with a_bench(capacity=1, critical_guarantee=0, high_guarantee=0) as bench:
        with trio.CancelScope() as scope:
            scope.cancel()
            async with bench.allocator.lease("cancelled", priority=BACKGROUND):
                pytest.fail("a cancelled task got a lease")
        assert scope.cancelled_caught
        assert bench.holders == []


# ── rule 10: how long a request would wait ──────────────────────────────────────────────────────


async def test_a_request_that_would_wait_too_long_is_refused_with_the_prediction(
    autojump_clock: object,
) -> None:
    async with a_bench(capacity=1, critical_guarantee=0, high_guarantee=0, background_guarantee=0) as bench:
        await bench.ask("usual", BACKGROUND)
        await trio.sleep(40)
        await bench.stop("usual")  # so a lease takes about 40 s
        await bench.ask("holder", BACKGROUND)
        await bench.ask("first", BACKGROUND)
        await trio.sleep(10)
        await bench.ask("hasty", BACKGROUND, max_wait_s=69)
        assert "hasty would get a slot in about 70 s and waits 69 s at most" in str(bench.errors["hasty"])
        assert bench.waiting == ["first"]
        await bench.ask("patient", BACKGROUND, max_wait_s=71)
        assert bench.waiting == ["first", "patient"]


async def test_who_can_wait_for_no_slot_is_told_that_none_is_whole(autojump_clock: object) -> None:
    async with a_bench(capacity=1, critical_guarantee=0, high_guarantee=0) as bench:
        bench.allocator.break_slot(0)
        await bench.ask("hasty", BACKGROUND, max_wait_s=30)
        told = "hasty would get no slot while none is whole and waits 30 s at most"
        assert str(bench.errors["hasty"]) == told


async def test_a_request_whose_time_is_over_leaves_the_queue(autojump_clock: object) -> None:
    async with a_bench(capacity=1, critical_guarantee=0, high_guarantee=0, max_hold_s=50) as bench:
        await bench.ask("holder", BACKGROUND)
        await bench.ask("waiter", BACKGROUND, max_wait_s=60)
        await trio.sleep(50.5)  # the slot is broken now, which nobody predicted
        assert bench.waiting == ["waiter"]
        await trio.sleep(10)
        assert isinstance(bench.errors["waiter"], WaitTooLongError)
        assert bench.waiting == []
        bench.allocator.mend(0)
        await bench.ask("next", BACKGROUND)
        assert bench.holders == ["next"]


@pytest.mark.parametrize(("priority", "wait_s"), [(CRITICAL, 60), (HIGH, 15), (BACKGROUND, 600)])
async def test_call_backs_bound_the_prediction(autojump_clock: object, priority: int, wait_s: float) -> None:
    guarantees = {"critical_guarantee": 0, "high_guarantee": 1, "background_guarantee": 0}
    async with a_bench(capacity=1, **guarantees) as bench:
        await bench.ask("news", BACKGROUND)
        await bench.ask("asks", priority, max_wait_s=wait_s - 1)
        assert f"in about {wait_s} s" in str(bench.errors["asks"])
        await bench.ask("asks again", priority, max_wait_s=wait_s)
        assert bench.waiting == ["asks again"]


# ── rule 11: slots come and go ──────────────────────────────────────────────────────────────────


async def test_a_new_slot_goes_to_the_first_who_waits(autojump_clock: object) -> None:
    async with a_bench(capacity=2, high_guarantee=0) as bench:
        await bench.ask("first", BACKGROUND)
        await bench.ask("second", BACKGROUND)
        assert bench.waiting == ["second"]
        assert bench.allocator.add_slot() == 2
        await trio.testing.wait_all_tasks_blocked()
        assert (bench.holders, bench.allocator.capacity) == (["first", "second"], 3)


async def test_a_withdrawn_slot_goes_when_its_holder_is_done_and_not_before(autojump_clock: object) -> None:
    async with a_bench(capacity=4, grace_s=15, max_hold_s=100) as bench:
        await bench.ask("news", BACKGROUND)
        bench.allocator.withdraw(0)
        bench.allocator.withdraw(3)
        assert (bench.gone, bench.allocator.capacity) == ([3], 3)
        assert called_back(bench) == ["news"]
        assert bench.explain("news")[1] == "Slot 0 was called back: it is being withdrawn."
        await trio.sleep(90)
        assert bench.holders == ["news"], "it is asked, not cut short"
        await bench.stop("news")
        assert bench.gone == [3, 0]
        assert [slot.slot for slot in bench.allocator.snapshot().slots] == [1, 2]
        assert bench.allocator.add_slot() == 0


async def test_critical_work_keeps_its_guarantee_and_the_others_one_slot(autojump_clock: object) -> None:
    async with a_bench(capacity=3) as bench:
        bench.allocator.withdraw(2)
        with pytest.raises(ValueError, match="slot 1 must stay"):
            bench.allocator.withdraw(1)
        with pytest.raises(KeyError):
            bench.allocator.break_slot(2)


async def test_a_free_slot_that_breaks_waits_to_be_mended(autojump_clock: object) -> None:
    async with a_bench(capacity=3) as bench:
        bench.allocator.break_slot(0)
        bench.allocator.break_slot(0)
        assert bench.broken == [0]
        await bench.ask("news", BACKGROUND)
        bench.allocator.break_slot(1)
        assert bench.holders == ["news"], "its lease goes on"
        await bench.stop("news")
        assert bench.ended == [("news", LeaseEnd.BROKEN)]
        assert bench.broken == [0, 1]
        with pytest.raises(KeyError):
            bench.allocator.break_slot(3)


async def test_with_fewer_slots_than_guaranteed_no_lane_starves_the_one_below_it(
    autojump_clock: object,
) -> None:
    async with a_bench(capacity=3, ageing_s=10) as bench:
        bench.allocator.withdraw(2)  # one is the reserve, one is left for high and background
        await bench.ask("high 0", HIGH)
        await bench.ask("news", 5)
        for number in range(1, 20):
            await bench.ask(f"high {number}", HIGH)
            await trio.sleep(10)
            await bench.stop(bench.holders[0])
            if "news" in bench.holders:
                break
        assert number == 5, "four levels of ten seconds"


# ── rules 6 and 12: what is promised and what is told ───────────────────────────────────────────


async def test_the_queue_is_shown_in_the_order_in_which_it_will_be_served(autojump_clock: object) -> None:
    async with a_bench(capacity=3) as bench:
        for holder, priority in (("post", CRITICAL), ("metrics", HIGH), ("harvest", HIGH)):
            await bench.ask(holder, priority)
        for holder, priority in (("more", HIGH), ("news", 8), ("reply", CRITICAL), ("peers", 4)):
            await bench.ask(holder, priority)
        shown = bench.waiting
        assert shown == ["peers", "reply", "more", "news"], "first what background may have, then by lane"
        assert [waiter.ahead for waiter in bench.allocator.snapshot().queue] == [0, 1, 2, 3]
        for _ in shown:
            bench.allocator.add_slot()
            await trio.testing.wait_all_tasks_blocked()
        assert bench.granted[3:] == shown


async def test_waiters_and_holders_are_told_why(autojump_clock: object) -> None:
    async with a_bench(capacity=3, grace_s=15) as bench:
        await bench.ask("news", BACKGROUND, max_hold_s=100)
        await bench.ask("peers", BACKGROUND, max_hold_s=100)
        await bench.ask("metrics", HIGH)
        await trio.sleep(5)
        assert bench.explain("metrics") == [
            (
                "Has waited 5.0 s for a slot in lane high: 1 free slot is kept for critical work; "
                "peers (background, borrowed, called back) holds slot 1 for 5 s, 10 s at most to go; "
                "news (background) holds slot 0 for 5 s, 95 s at most to go."
            )
        ]
        assert bench.explain("peers") == [
            "It has held slot 1 for 5.0 s and must give it back in 10 s.",
            "Slot 1 was called back: metrics has more right to it and waits.",
        ]
        assert bench.explain("nobody") == []
        await bench.ask("post", CRITICAL)
        await bench.ask("reply", CRITICAL)
        assert bench.explain("reply")[0].endswith("in 25 s it takes a slot from the lowest lane.")


async def test_an_urgent_one_is_not_told_of_a_slot_that_would_not_come_back(autojump_clock: object) -> None:
    async with a_bench(capacity=3) as bench:
        for holder, priority in (("post", CRITICAL), ("metrics", HIGH), ("news", BACKGROUND)):
            await bench.ask(holder, priority)
        await bench.ask("reply", CRITICAL)
        assert bench.explain("reply")[0].endswith("; in 25 s it takes a slot from the lowest lane.")
        bench.allocator.break_slot(1)
        bench.allocator.withdraw(2)
        told = bench.explain("reply")[0]
        assert "holds slot 1 for 0 s, 600 s at most to go, then the slot is rebuilt" in told
        assert "holds slot 2 for 0 s, 600 s at most to go, then the slot is withdrawn" in told
        assert told.endswith("; there is no other slot to be had.")


async def test_a_critical_one_is_told_when_no_slot_is_whole(autojump_clock: object) -> None:
    async with a_bench(capacity=2, high_guarantee=0, background_guarantee=0) as bench:
        for slot in (0, 1):
            bench.allocator.break_slot(slot)
        await bench.ask("post", CRITICAL)
        [told] = bench.explain("post")
        broken = "slot 0 is broken and being rebuilt; slot 1 is broken and being rebuilt"
        assert told.endswith(f": {broken}; there is no other slot to be had.")


async def test_who_waits_is_told_that_a_slot_in_critical_hands_is_none_for_it(autojump_clock: object) -> None:
    async with a_bench(capacity=2, background_guarantee=0) as bench:
        for holder, priority in (("post", CRITICAL), ("metrics", HIGH), ("harvest", HIGH)):
            await bench.ask(holder, priority)
        assert "; post holds slot 0, which is kept for critical work." in bench.explain("harvest")[0]


@pytest.mark.parametrize(("jobs", "is_refused"), [(0, False), (3, False), (4, True)])
def test_a_promise_that_cannot_be_kept_is_told_with_the_arithmetic(jobs: int, is_refused: bool) -> None:
    found = why_no_promise(AllocatorSettings(capacity=3), "abcd"[:jobs])
    expected = (
        "4 critical jobs (a, b, c, d) share 3 contexts: one waits until another has ended, up to "
        "max_hold_s 600 + cleanup_s 20 = 620 s, besides the 60 s that are promised"
    )
    assert found == (expected if is_refused else None)


async def test_an_urgent_one_among_critical_holders_is_told_that_nobody_is_interrupted(
    autojump_clock: object,
) -> None:
    async with a_bench(capacity=2, high_guarantee=0, background_guarantee=0) as bench:
        for holder in ("post", "reply", "another"):
            await bench.ask(holder, CRITICAL)
        assert bench.explain("another")[0].endswith("critical work is never interrupted.")


async def test_each_of_two_call_backs_says_for_whom_it_is(autojump_clock: object) -> None:
    settings = {"capacity": 4, "critical_guarantee": 0, "high_guarantee": 2, "background_guarantee": 1}
    async with a_bench(**settings, grace_s=15) as bench:
        for number in range(4):
            await bench.ask(f"news {number}", BACKGROUND)
        await bench.ask("metrics", HIGH)
        await bench.ask("harvest", HIGH)
        assert called_back(bench) == ["news 2", "news 3"]
        assert "metrics has more right" in bench.explain("news 3")[1]
        assert "harvest has more right" in bench.explain("news 2")[1]
        await bench.cancel("metrics")
        assert called_back(bench) == ["news 3"], "the last that was called back is let off first"


async def test_a_call_back_that_makes_the_reserve_whole_is_for_the_one_who_needs_it(
    autojump_clock: object,
) -> None:
    async with a_bench(capacity=4) as bench:
        for number in range(3):
            await bench.ask(f"news {number}", BACKGROUND)
        bench.allocator.break_slot(3)
        await bench.ask("metrics", HIGH)
        await bench.ask("peers", BACKGROUND)
        assert called_back(bench) == ["news 1", "news 2"]
        for holder in called_back(bench):
            assert "metrics has more right" in bench.explain(holder)[1]


async def test_the_urgent_have_more_right_than_what_is_held_within_a_guarantee(
    autojump_clock: object,
) -> None:
    async with a_bench(capacity=3) as bench:
        for holder, priority in (("post", CRITICAL), ("metrics", HIGH), ("news", BACKGROUND)):
            await bench.ask(holder, priority)
        await bench.ask("more metrics", HIGH)
        await bench.ask("reply", CRITICAL)
        await trio.sleep(26)
        assert bench.explain("news")[1] == "Slot 2 was called back: reply has more right to it and waits."
        (lease,) = [s.lease for s in bench.allocator.snapshot().slots if s.lease and s.lease.is_called_back]
        assert [lease.max_hold_s, lease.left_s] == pytest.approx([40, 14])


async def test_who_ends_after_the_time_was_up_is_told_that_it_is_being_cancelled(
    autojump_clock: object,
) -> None:
    async with a_bench(capacity=2, critical_guarantee=0, grace_s=15, max_hold_s=100) as bench:
        await bench.ask("news", BACKGROUND)
        async with bench.allocator.lease("stubborn", priority=BACKGROUND):
            await bench.ask("metrics", HIGH)
            with trio.CancelScope(shield=True):
                await trio.sleep(16)
                await bench.cancel("metrics")
                told = bench.explain("stubborn")
        assert told == ["It has held slot 1 for 16.0 s and is being cancelled."]


# ── what the slots come to ──────────────────────────────────────────────────────────────────────


async def test_a_call_back_that_was_taken_back_can_come_again(autojump_clock: object) -> None:
    async with a_bench(capacity=3) as bench:
        await bench.ask("news1", BACKGROUND)
        await bench.ask("news2", BACKGROUND)
        lease = bench.leases["news2"]
        await bench.ask("metrics", HIGH)
        await lease.wait_called_back()
        await bench.cancel("metrics")
        with trio.move_on_after(1) as scope:
            await lease.wait_called_back()
        assert scope.cancelled_caught, "it was taken back"


async def test_who_was_asked_for_its_slot_may_end_in_its_own_time_also_past_its_limit(
    autojump_clock: object,
) -> None:
    async with a_bench(capacity=2, critical_guarantee=0, grace_s=15, cleanup_s=20, max_hold_s=50) as bench:

        async def listen() -> None:
            async with bench.allocator.lease("listens", priority=BACKGROUND):
                await trio.sleep(33)
                await bench.ask("metrics", HIGH)
                try:
                    await trio.sleep_forever()  # cancelled at 48, two seconds before its limit
                finally:
                    with trio.CancelScope(shield=True):
                        await trio.sleep(19)

        await bench.ask("news", BACKGROUND, max_hold_s=1000)
        with pytest.raises(LeaseEndedError, match="revoked"):
            await listen()
        assert bench.broken == []
        assert "metrics" in bench.holders


async def test_a_slot_that_will_not_come_back_is_not_called_back(autojump_clock: object) -> None:
    async with a_bench(capacity=3) as bench:
        for holder, priority in (("post", CRITICAL), ("metrics", HIGH), ("news", BACKGROUND)):
            await bench.ask(holder, priority)
        await bench.ask("reply", CRITICAL)
        bench.allocator.break_slot(2)
        await trio.sleep(26)
        assert called_back(bench) == ["metrics"], "news holds a slot that is broken"


async def test_a_slot_that_breaks_while_it_is_called_back_is_made_up_for_by_another(
    autojump_clock: object,
) -> None:
    async with a_bench(capacity=3) as bench:
        for holder, priority in (("post", CRITICAL), ("metrics", HIGH), ("news", BACKGROUND)):
            await bench.ask(holder, priority)
        await bench.ask("reply", CRITICAL)
        await trio.sleep(26)
        assert called_back(bench) == ["news"]
        bench.allocator.break_slot(2)
        assert "metrics" in called_back(bench)


async def test_a_body_that_blocks_past_its_limit_has_overstayed_too(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with a_bench(capacity=1, critical_guarantee=0, high_guarantee=0) as bench:
        async with bench.allocator.lease("blocks", priority=BACKGROUND, max_hold_s=5):
            mock_clock.jump(6)
        assert bench.ended == [("blocks", LeaseEnd.EXPIRED)]
        assert bench.broken == [0]


async def test_a_holder_that_ends_by_itself_while_its_task_is_cancelled_has_released(
    autojump_clock: object,
) -> None:
    async with a_bench(capacity=1, critical_guarantee=0, high_guarantee=0) as bench:
        with trio.CancelScope() as scope:
            async with bench.allocator.lease("done", priority=BACKGROUND):
                scope.cancel()
        assert bench.ended == [("done", LeaseEnd.RELEASED)]


async def test_a_broken_slot_can_be_withdrawn(autojump_clock: object) -> None:
    async with a_bench(capacity=3) as bench:
        bench.allocator.break_slot(1)
        bench.allocator.withdraw(1)
        assert (bench.gone, bench.allocator.capacity) == ([1], 2)
        with pytest.raises(KeyError):
            bench.allocator.mend(1)


async def test_withdrawing_a_slot_whose_holder_is_being_cancelled_gives_it_no_more_time(
    autojump_clock: object,
) -> None:
    async with a_bench(capacity=4, max_hold_s=50) as bench:
        async with bench.allocator.lease("stubborn", priority=BACKGROUND) as lease:
            with trio.CancelScope(shield=True):
                await trio.sleep(60)
            bench.allocator.withdraw(lease.slot)
            assert lease.deadline < trio.current_time()
        assert bench.ended == [("stubborn", LeaseEnd.EXPIRED)]
        assert bench.gone == [lease.slot]


async def test_those_who_have_left_do_not_fill_the_queue(autojump_clock: object) -> None:
    async with a_bench(capacity=1, critical_guarantee=0, high_guarantee=0, queue_limit=20) as bench:
        await bench.ask("holder", BACKGROUND)
        await bench.ask("best", 2)
        for number in range(500):
            await bench.ask(f"hasty {number}", BACKGROUND, max_wait_s=1)
        assert sum(len(heap) for heap in bench.allocator._heaps) < 50
        assert bench.waiting == ["best"]


# ── rule 10: the prediction, case by case ───────────────────────────────────────────────────────


async def predicted_s(bench: Bench, priority: int) -> float:
    """What a request that would not wait at all is told."""
    name = f"asks {priority} {len(bench.errors)}"
    await bench.ask(name, priority, max_wait_s=0.001)
    return float(re.search(r"in about (\S+) s", str(bench.errors[name])).group(1))  # type: ignore[union-attr]


async def make_usual(bench: Bench, priority: int, held_s: float) -> None:
    await bench.ask("usual", priority)
    await trio.sleep(held_s)
    await bench.stop("usual")


async def test_a_lease_that_takes_longer_than_usual_is_expected_to_take_as_long_again(
    autojump_clock: object,
) -> None:
    async with a_bench(capacity=1, critical_guarantee=0, high_guarantee=0) as bench:
        await make_usual(bench, BACKGROUND, 40)
        await bench.ask("holder", BACKGROUND)
        await trio.sleep(50)
        assert await predicted_s(bench, BACKGROUND) == 30


async def test_what_is_usual_follows_slowly(autojump_clock: object) -> None:
    async with a_bench(capacity=1, critical_guarantee=0, high_guarantee=0) as bench:
        await make_usual(bench, BACKGROUND, 40)
        await make_usual(bench, BACKGROUND, 140)
        await bench.ask("holder", BACKGROUND)
        assert await predicted_s(bench, BACKGROUND) == 50


async def test_leases_that_did_not_end_by_themselves_say_nothing_of_what_is_usual(
    autojump_clock: object,
) -> None:
    async with a_bench(capacity=1, critical_guarantee=0, high_guarantee=0) as bench:
        await make_usual(bench, BACKGROUND, 40)
        await bench.ask("unlucky", BACKGROUND)
        await bench.cancel("unlucky")
        await bench.ask("holder", BACKGROUND)
        assert await predicted_s(bench, BACKGROUND) == 40


async def test_the_reserve_is_not_promised_to_others(autojump_clock: object) -> None:
    async with a_bench(capacity=2, high_guarantee=0, background_guarantee=0) as bench:
        await make_usual(bench, BACKGROUND, 40)
        await bench.ask("holder", BACKGROUND)
        assert await predicted_s(bench, BACKGROUND) == 40


async def test_a_slot_that_leaves_is_promised_to_nobody(autojump_clock: object) -> None:
    async with a_bench(capacity=3, high_guarantee=0) as bench:
        await make_usual(bench, BACKGROUND, 40)
        await bench.ask("news", BACKGROUND)
        await trio.sleep(10)
        await bench.ask("peers", BACKGROUND)
        bench.allocator.withdraw(0)
        assert await predicted_s(bench, BACKGROUND) == 40, "not 30"


async def test_one_borrowed_lease_is_promised_once(autojump_clock: object) -> None:
    settings = {"capacity": 3, "critical_guarantee": 0, "high_guarantee": 2, "background_guarantee": 1}
    async with a_bench(**settings, grace_s=15) as bench:
        await make_usual(bench, BACKGROUND, 100)
        for number in range(2):
            await bench.ask(f"news {number}", BACKGROUND)
        await bench.ask("metrics", HIGH)
        assert await predicted_s(bench, HIGH) == 15
        await bench.ask("harvest", HIGH)
        assert called_back(bench) == ["news 1"]
        assert await predicted_s(bench, HIGH) > 15


def test_the_end_of_a_use_of_a_context_is_within_what_a_cancelled_holder_has() -> None:
    """At worst the state is read twice, and the context closed."""
    assert AllocatorSettings().cleanup_s >= 2 * pool.SAVE_S + pool.CLOSE_S
