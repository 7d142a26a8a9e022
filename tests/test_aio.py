"""What the bridge to asyncio promises."""

import asyncio
import contextvars
import gc
import threading
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import structlog.testing
import trio
from trio.testing import MockClock

from orchestrator import aio
from orchestrator.errors import BridgeClosedError

greeting: contextvars.ContextVar[str] = contextvars.ContextVar("greeting", default="none")


@pytest.fixture
async def bridge() -> AsyncIterator[aio.Bridge]:
    async with aio.open_bridge() as bridge:
        yield bridge


class Gate:
    """Tells the trio side that asyncio code has reached a point, and holds that code there."""

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._reached = trio.Event()
        self._open: asyncio.Event | None = None

    async def hold(self) -> None:
        """asyncio: say that we are here, then wait for `open`."""
        self._open = asyncio.Event()
        self._token.run_sync_soon(self._reached.set)
        await self._open.wait()

    async def reached(self) -> None:
        await self._reached.wait()

    async def open(self) -> None:
        """trio: let the held code go on."""

        async def set_open() -> None:
            assert self._open is not None
            self._open.set()

        await aio.call(set_open)


async def add(a: int, b: int) -> int:
    await asyncio.sleep(0)
    return a + b


# ── results and errors ──────────────────────────────────────────────────────────────────────────


async def test_a_call_returns_the_result(bridge: aio.Bridge) -> None:
    assert await aio.call(add, 2, 3) == 5
    assert bridge.calls_in_flight == 0


async def test_a_call_runs_on_the_asyncio_thread(bridge: aio.Bridge) -> None:
    async def thread_name() -> str:
        return threading.current_thread().name

    assert await aio.call(thread_name) == "asyncio"


async def test_an_exception_arrives_with_the_frame_that_raised_it(bridge: aio.Bridge) -> None:
    async def fails_deep_inside() -> None:
        await asyncio.sleep(0)
        raise LookupError("not here")

    with pytest.raises(LookupError, match="not here") as caught:
        await aio.call(fails_deep_inside)
    assert "fails_deep_inside" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]


async def test_an_exception_before_the_first_await_arrives(bridge: aio.Bridge) -> None:
    async def fails_at_once() -> None:
        raise ValueError("at once")

    with pytest.raises(ValueError, match="at once"):
        await aio.call(fails_at_once)


async def test_a_plain_function_that_raises_wakes_its_caller(bridge: aio.Bridge) -> None:
    def plain() -> Awaitable[None]:
        raise ValueError("no coroutine")

    with pytest.raises(ValueError, match="no coroutine"):
        await aio.call(plain)


async def test_a_function_that_returns_no_awaitable_is_a_type_error(bridge: aio.Bridge) -> None:
    def plain() -> int:
        return 7

    with pytest.raises(TypeError, match="await"):
        await aio.call(plain)  # type: ignore[arg-type]


async def test_a_system_exit_reaches_the_caller_and_spares_the_loop(bridge: aio.Bridge) -> None:
    async def leaves() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        await aio.call(leaves)
    assert await aio.call(add, 1, 1) == 2


async def test_the_callee_sees_the_callers_context_variables(bridge: aio.Bridge) -> None:
    async def read() -> str:
        await asyncio.sleep(0)
        seen = greeting.get()
        greeting.set("changed by the callee")
        return seen

    greeting.set("hello")
    assert await aio.call(read) == "hello"
    assert greeting.get() == "hello"


async def test_a_hundred_calls_run_side_by_side(bridge: aio.Bridge) -> None:
    results: list[int] = []
    gate = Gate()

    async def one(number: int) -> None:
        results.append(await aio.call(add, number, number))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(aio.call, gate.hold)
        await gate.reached()
        async with trio.open_nursery() as many:
            for number in range(100):
                many.start_soon(one, number)
        await gate.open()
    assert sorted(results) == [2 * number for number in range(100)]


# ── cancellation ────────────────────────────────────────────────────────────────────────────────


async def test_a_cancelled_call_goes_on_only_after_the_tasks_clean_up(bridge: aio.Bridge) -> None:
    gate = Gate()
    steps: list[str] = []

    async def holds_and_cleans_up() -> None:
        try:
            await gate.hold()
        finally:
            for _ in range(20):
                await asyncio.sleep(0.001)
            steps.append("cleaned up")

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(aio.call, holds_and_cleans_up)
            await gate.reached()
            scope.cancel()
    steps.append("went on")
    assert scope.cancelled_caught
    assert steps == ["cleaned up", "went on"]


async def test_a_call_cancelled_before_its_first_step_ends_at_once(bridge: aio.Bridge) -> None:
    # Submission and cancellation reach the loop together: the task is cancelled before it ever ran.
    blocked, released = trio.Event(), threading.Event()
    token = trio.lowlevel.current_trio_token()
    ran: list[str] = []

    async def block_the_loop() -> None:
        token.run_sync_soon(blocked.set)
        released.wait()

    async def never_runs() -> None:
        ran.append("ran")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(aio.call, block_the_loop)
        await blocked.wait()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as inner:
                inner.start_soon(aio.call, never_runs)
                inner.start_soon(_cancel_then_release, scope, released)
    assert scope.cancelled_caught
    assert ran == []


async def _cancel_then_release(scope: trio.CancelScope, released: threading.Event) -> None:
    with trio.CancelScope(shield=True):
        await trio.testing.wait_all_tasks_blocked()
    scope.cancel()
    released.set()


async def test_an_already_cancelled_caller_submits_nothing(bridge: aio.Bridge) -> None:
    ran: list[str] = []

    async def runs() -> None:
        ran.append("ran")

    with trio.CancelScope() as scope:
        scope.cancel()
        await aio.call(runs)
    assert scope.cancelled_caught
    assert ran == []


async def test_a_task_that_had_finished_in_the_same_moment_hands_over_its_result(bridge: aio.Bridge) -> None:
    finished = threading.Event()
    results: list[str] = []

    async def finishes() -> str:
        finished.set()
        return "made"

    async def keep() -> None:
        results.append(await aio.call(finishes))

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep)
            await trio.testing.wait_all_tasks_blocked()
            finished.wait()  # the trio thread stands still, so the result can't have arrived yet
            scope.cancel()
    assert results == ["made"]


async def test_a_task_that_swallows_its_cancellation_hands_over_its_result(bridge: aio.Bridge) -> None:
    gate = Gate()
    results: list[str] = []

    async def swallows() -> str:
        try:
            await gate.hold()
        except asyncio.CancelledError:
            return "went on"
        return "was let go"

    async def keep() -> None:
        results.append(await aio.call(swallows))

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep)
            await gate.reached()
            scope.cancel()
    assert results == ["went on"]


async def test_an_error_of_the_clean_up_is_not_lost(bridge: aio.Bridge) -> None:
    gate = Gate()

    async def fails_in_clean_up() -> None:
        try:
            await gate.hold()
        finally:
            raise LookupError("clean-up failed")

    async def cancelled() -> None:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(aio.call, fails_in_clean_up)
                await gate.reached()
                scope.cancel()

    with pytest.RaisesGroup(pytest.RaisesExc(LookupError, match="clean-up failed")):
        await cancelled()


async def test_a_task_that_ignores_cancellation_is_left_behind() -> None:
    async with aio.open_bridge(cancel_patience_s=0.05, close_patience_s=0.05) as bridge:
        gate, stubborn = Gate(), _Stubborn()
        with structlog.testing.capture_logs() as logs, trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(aio.call, stubborn.hold, gate)
                await gate.reached()
                scope.cancel()
        assert scope.cancelled_caught
        assert bridge.calls_in_flight == 0
        assert [(line["event"], line["call"]) for line in logs] == [("call_left_behind", "_Stubborn.hold")]
        await aio.call(stubborn.give_in)


class _Stubborn:
    """A call that ignores every cancellation until `give_in`."""

    def __init__(self) -> None:
        self._may_end = False

    async def hold(self, gate: Gate) -> None:
        while not self._may_end:
            try:
                await gate.hold()
            except asyncio.CancelledError:
                continue

    async def give_in(self) -> None:
        self._may_end = True


async def test_a_call_cancelled_on_the_asyncio_side_is_an_error_for_the_caller(bridge: aio.Bridge) -> None:
    async def cancels_itself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    with pytest.raises(BridgeClosedError):
        await aio.call(cancels_itself)


# ── opening and closing ─────────────────────────────────────────────────────────────────────────


async def test_without_a_bridge_a_call_fails() -> None:
    with pytest.raises(BridgeClosedError, match="not running"):
        await aio.call(add, 1, 1)


async def test_after_closing_a_call_fails_and_the_thread_is_gone() -> None:
    async with aio.open_bridge() as bridge:
        assert await aio.call(add, 1, 1) == 2
    with pytest.raises(BridgeClosedError):
        await aio.call(add, 1, 1)
    with pytest.raises(BridgeClosedError, match="closed"):
        await bridge.call(add, 1, 1)
    assert "asyncio" not in [thread.name for thread in threading.enumerate()]


async def test_closing_ends_outstanding_calls_after_their_clean_up() -> None:
    steps: list[str] = []

    async def holds(gate: Gate) -> None:
        try:
            await gate.hold()
        finally:
            await asyncio.sleep(0.01)
            steps.append("cleaned up")

    async def caller(gate: Gate) -> None:
        with pytest.raises(BridgeClosedError):
            await aio.call(holds, gate)
        steps.append("told")

    async with trio.open_nursery() as nursery, aio.open_bridge():
        gate = Gate()
        nursery.start_soon(caller, gate)
        await gate.reached()
    assert steps == ["cleaned up", "told"]


async def test_closing_ends_tasks_that_clean_up_starts() -> None:
    ended: list[str] = []

    async def straggler() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("straggler")

    async def starts_one_at_its_end(gate: Gate) -> None:
        try:
            await gate.hold()
        finally:
            ended.append("first")
            task = asyncio.get_running_loop().create_task(straggler())
            task.add_done_callback(lambda _: ended.append("all"))
            await asyncio.sleep(0)

    async def caller(gate: Gate) -> None:
        with pytest.raises(BridgeClosedError):
            await aio.call(starts_one_at_its_end, gate)

    async with trio.open_nursery() as nursery, aio.open_bridge():
        gate = Gate()
        nursery.start_soon(caller, gate)
        await gate.reached()
    assert ended == ["first", "straggler", "all"]


async def test_closing_is_bounded_when_the_loop_is_blocked() -> None:
    released = threading.Event()

    async def blocks(token: trio.lowlevel.TrioToken, started: trio.Event) -> None:
        token.run_sync_soon(started.set)
        released.wait()

    async def caller(started: trio.Event) -> None:
        with pytest.raises(BridgeClosedError):
            await aio.call(blocks, trio.lowlevel.current_trio_token(), started)

    with structlog.testing.capture_logs() as logs:
        async with trio.open_nursery() as nursery, aio.open_bridge(close_patience_s=0.05) as bridge:
            started = trio.Event()
            nursery.start_soon(caller, started)
            await started.wait()
    assert [line["event"] for line in logs] == ["asyncio_thread_left_behind"]
    released.set()
    await trio.to_thread.run_sync(bridge._thread.join)


async def test_a_thread_that_dies_ends_every_call() -> None:
    async def stops_the_loop() -> None:
        asyncio.get_running_loop().stop()
        await asyncio.Event().wait()

    async with aio.open_bridge():
        with pytest.raises(BridgeClosedError):
            await aio.call(stops_the_loop)
        with pytest.raises(BridgeClosedError, match="closed"):
            await aio.call(add, 1, 1)
    gc.collect()  # the coroutine of the dead loop is destroyed here, not in some later test


async def test_closing_in_a_cancelled_scope_still_waits_for_the_clean_up() -> None:
    steps: list[str] = []

    async def holds(gate: Gate) -> None:
        try:
            await gate.hold()
        finally:
            await asyncio.sleep(0.01)
            steps.append("cleaned up")

    with trio.CancelScope() as scope:
        async with aio.open_bridge():
            gate = Gate()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(aio.call, holds, gate)
                await gate.reached()
                scope.cancel()
    assert scope.cancelled_caught
    assert steps == ["cleaned up"]


# ── mock clock ──────────────────────────────────────────────────────────────────────────────────


async def test_a_mock_clock_does_not_jump_while_a_call_is_in_flight(
    autojump_clock: MockClock, bridge: aio.Bridge
) -> None:
    started_at = trio.current_time()
    with trio.fail_after(1):
        await aio.call(asyncio.sleep, 0.05)
    assert trio.current_time() == started_at


async def test_a_mock_clock_jumps_again_after_the_last_call(
    autojump_clock: MockClock, bridge: aio.Bridge
) -> None:
    gate = Gate()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(aio.call, gate.hold)
        await gate.reached()
        await aio.call(add, 1, 1)
        assert autojump_clock.autojump_threshold > 1e9  # one call ended, the other is still in flight
        await gate.open()
    real_start, shown_start = time.monotonic(), trio.current_time()
    await trio.sleep(3600)
    assert trio.current_time() - shown_start >= 3600
    assert time.monotonic() - real_start < 60


async def test_a_mock_clock_does_not_jump_while_the_bridge_closes(autojump_clock: MockClock) -> None:
    async def holds(gate: Gate) -> None:
        try:
            await gate.hold()
        finally:
            await asyncio.sleep(0.05)

    async def caller(gate: Gate) -> None:
        with pytest.raises(BridgeClosedError):
            await aio.call(holds, gate)

    started_at = trio.current_time()
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery, aio.open_bridge():
            gate = Gate()
            nursery.start_soon(caller, gate)
            await gate.reached()
    assert trio.current_time() == started_at
    assert autojump_clock.autojump_threshold == 0


# ── make_or_undo ────────────────────────────────────────────────────────────────────────────────


class Workshop:
    """Makes things slowly, and can undo them."""

    def __init__(self) -> None:
        self.things: list[str] = []

    async def make(self, gate: Gate) -> str:
        await gate.hold()
        self.things.append("thing")
        return "thing"

    async def undo(self, thing: str) -> None:
        await asyncio.sleep(0)
        self.things.remove(thing)


async def _make_and_cancel(workshop: Workshop, undo: Callable[[str], Awaitable[None]]) -> None:
    gate = Gate()

    async def make() -> str:
        return await aio.make_or_undo(workshop.make(gate), undo)

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(aio.call, make)
            await gate.reached()
            scope.cancel()
            with trio.CancelScope(shield=True):
                await gate.open()
    assert scope.cancelled_caught


async def test_what_was_made_is_handed_over(bridge: aio.Bridge) -> None:
    async def make_now() -> str:
        return "thing"

    async def never(_: str) -> None:
        raise AssertionError("nothing is to be undone")

    async def make() -> str:
        return await aio.make_or_undo(make_now(), never)

    assert await aio.call(make) == "thing"


async def test_what_a_cancelled_call_makes_is_undone(bridge: aio.Bridge) -> None:
    workshop = Workshop()
    await _make_and_cancel(workshop, workshop.undo)
    assert workshop.things == []


async def test_an_undo_that_fails_is_logged(bridge: aio.Bridge) -> None:
    async def cannot_undo(_: str) -> None:
        raise LookupError("no way back")

    with structlog.testing.capture_logs() as logs:
        await _make_and_cancel(Workshop(), cannot_undo)
    assert [line["event"] for line in logs] == ["undo_failed"]


async def test_a_maker_that_fails_tells_its_reason(bridge: aio.Bridge) -> None:
    async def fails() -> str:
        raise LookupError("out of wood")

    async def never(_: str) -> None:
        raise AssertionError("nothing was made")

    async def make() -> str:
        return await aio.make_or_undo(fails(), never)

    with pytest.raises(LookupError, match="out of wood"):
        await aio.call(make)
