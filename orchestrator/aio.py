"""The one door to asyncio: a thread with a uvloop loop, where Playwright and asyncpg live.

Rules for callers:

- A call is coarse: one whole transaction, one whole page visit. What is acquired inside a call is
  released inside it, so a cancelled call leaks nothing.
- Cancelling the trio side cancels the asyncio task and waits until it has *ended*. A task that had
  finished by then hands over its result all the same.
- A task that ignores its cancellation for `cancel_patience_s` is left behind and logged, and a
  bridge that closes, or whose thread dies, ends every call: no call waits for ever.
"""

import asyncio
import contextvars
import math
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NoReturn, TypeVar

import outcome
import structlog
import trio
import uvloop

from orchestrator.errors import BridgeClosedError

T = TypeVar("T")

log = structlog.get_logger("aio")

timeout = asyncio.timeout
"""`async with timeout(seconds)` for code that runs inside a call; raises TimeoutError."""

Lock = asyncio.Lock
"""`async with lock` for code that runs inside a call: one after the other, in the order of coming."""

Event = asyncio.Event
"""`await event.wait()` for code that runs inside a call."""

sleep = asyncio.sleep
"""`await sleep(seconds)` for code that runs inside a call."""


def later(delay_s: float, fn: Callable[[], object]) -> asyncio.TimerHandle:
    """Call `fn` on the asyncio thread after `delay_s`, unless it is cancelled; for code inside a call."""
    return asyncio.get_running_loop().call_later(delay_s, fn)


THREAD_END_S = 5.0
"""How long a thread whose loop has ended may take to vanish; it has nothing left to do."""

_current: trio.lowlevel.RunVar["Bridge"] = trio.lowlevel.RunVar("orchestrator_aio_bridge")


async def call(fn: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Run `await fn(*args)` on the asyncio thread and return or raise what it returns or raises.

    The callee sees the caller's context variables. Raises BridgeClosedError when no bridge is open.
    """
    try:
        bridge = _current.get()
    except LookupError:
        raise BridgeClosedError("the asyncio thread is not running") from None
    return await bridge.call(fn, *args)


@asynccontextmanager
async def open_bridge(
    *, cancel_patience_s: float = 30.0, close_patience_s: float = 10.0
) -> AsyncIterator["Bridge"]:
    """Start the thread, serve `call` in this trio run, and end the thread when the block ends.

    At the end every task still there is cancelled; the loop has `close_patience_s` to wind up.
    """
    bridge = Bridge(cancel_patience_s)
    bridge._open()
    reset = _current.set(bridge)
    try:
        yield bridge
    finally:
        _current.reset(reset)
        await bridge._aclose(close_patience_s)


async def make_or_undo(make: Awaitable[T], undo: Callable[[T], Awaitable[object]]) -> T:
    """Await `make` as a task of its own; when we are cancelled, let it end and undo what it made.

    For things that a cancelled `await` would orphan, such as Playwright's `new_context()`.
    """
    making = asyncio.ensure_future(make)
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        # A task of its own again: a second cancellation ends our waiting, not the undoing.
        await asyncio.wait([asyncio.ensure_future(_undo_when_made(making, undo))])
        raise


async def _undo_when_made(making: "asyncio.Future[T]", undo: Callable[[T], Awaitable[object]]) -> None:
    await asyncio.wait([making])
    if making.cancelled() or making.exception() is not None:
        return  # nothing was made
    try:
        await undo(making.result())
    except Exception:
        log.exception("undo_failed", undo=_name(undo))


class _Call:
    """One call on its way. The loop writes `task`; all else is written on the trio thread."""

    __slots__ = ("name", "patience", "raise_cancel", "task", "trio_task")

    def __init__(self, name: str, trio_task: trio.lowlevel.Task) -> None:
        self.name = name
        self.trio_task = trio_task
        self.task: asyncio.Task[outcome.Outcome[Any]] | None = None
        self.raise_cancel: Callable[[], NoReturn] | None = None
        self.patience: threading.Timer | None = None


class Bridge:
    """A thread with an event loop, and the calls in it.

    Invariants, all kept on the trio thread:

    1. A call is in `_calls` from its submission until its trio task has been rescheduled.
    2. A call's trio task is rescheduled exactly once: by `_finish`, which removes it first.
    3. While a call is in `_calls`, or the bridge is closing, a mock clock does not jump.
    """

    def __init__(self, cancel_patience_s: float) -> None:
        self._cancel_patience_s = cancel_patience_s
        self._calls: set[_Call] = set()
        self._is_closing = False
        self._loop = uvloop.new_event_loop()
        self._loop.set_exception_handler(_log_loop_error)
        self._thread = threading.Thread(target=self._run_loop, name="asyncio", daemon=True)
        self._ended = trio.Event()
        self._token: trio.lowlevel.TrioToken
        self._winding_up: asyncio.Task[None]
        self._autojump_threshold_s: float | None = None

    @property
    def calls_in_flight(self) -> int:
        return len(self._calls)

    # ── trio side ───────────────────────────────────────────────────────────────────────────────

    def _open(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._thread.start()

    async def call(self, fn: Callable[..., Awaitable[T]], *args: Any) -> T:
        """See the module's `call`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        job = _Call(_name(fn), trio.lowlevel.current_task())
        context = contextvars.copy_context()
        if self._is_closing or not self._to_loop(self._start, job, fn, args, context):
            raise BridgeClosedError("the asyncio thread is closed")
        self._calls.add(job)
        self._hold_mock_clock()
        result: T = await trio.lowlevel.wait_task_rescheduled(lambda cancel: self._cancel(job, cancel))
        return result

    def _cancel(self, job: _Call, raise_cancel: Callable[[], NoReturn]) -> trio.lowlevel.Abort:
        job.raise_cancel = raise_cancel
        # A thread's timer: it fires on a blocked loop too, and no mock clock jumps past it.
        job.patience = threading.Timer(self._cancel_patience_s, self._to_trio, (self._abandon, job))
        job.patience.daemon = True
        job.patience.start()
        self._to_loop(self._cancel_task, job)
        return trio.lowlevel.Abort.FAILED

    def _abandon(self, job: _Call) -> None:
        if job in self._calls:
            log.error("call_left_behind", call=job.name, after_s=self._cancel_patience_s)
            self._finish(job, None)

    def _finish(self, job: _Call, result: outcome.Outcome[Any] | None) -> None:
        """Wake the caller with `result`; None stands for "cancelled" or "given up"."""
        if job not in self._calls:
            return  # it was abandoned: nobody waits for the result any more
        self._calls.remove(job)
        if not self._calls and not self._is_closing:
            self._release_mock_clock()
        if job.patience is not None:
            job.patience.cancel()
        if result is None:
            result = outcome.capture(job.raise_cancel or _raise_closed)
        trio.lowlevel.reschedule(job.trio_task, result)

    def _end_calls(self) -> None:
        """The loop has ended, or ran out of patience: nothing will come back from it any more."""
        self._is_closing = True
        self._ended.set()
        for job in list(self._calls):
            self._finish(job, None)

    def _hold_mock_clock(self) -> None:
        clock: Any = trio.lowlevel.current_clock()
        if self._autojump_threshold_s is None and hasattr(clock, "autojump_threshold"):
            self._autojump_threshold_s = clock.autojump_threshold
            clock.autojump_threshold = math.inf

    def _release_mock_clock(self) -> None:
        if self._autojump_threshold_s is not None:
            clock: Any = trio.lowlevel.current_clock()
            clock.autojump_threshold = self._autojump_threshold_s
            self._autojump_threshold_s = None

    async def _aclose(self, patience_s: float) -> None:
        self._is_closing = True
        self._hold_mock_clock()
        patience = threading.Timer(patience_s, self._to_trio, (self._end_calls,))
        patience.daemon = True
        patience.start()
        self._to_loop(self._start_wind_up)
        with trio.CancelScope(shield=True):  # bounded by the timer
            await self._ended.wait()
        patience.cancel()
        self._release_mock_clock()
        if self._loop.is_closed():
            self._thread.join(THREAD_END_S)
        else:
            log.error("asyncio_thread_left_behind", after_s=patience_s)

    def _to_loop(self, fn: Callable[..., object], *args: object) -> bool:
        """Run `fn` on the loop soon; False when the loop is gone."""
        try:
            self._loop.call_soon_threadsafe(fn, *args)
        except RuntimeError:
            if not self._loop.is_closed():
                raise
            return False
        return True

    # ── asyncio side ────────────────────────────────────────────────────────────────────────────

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            try:
                self._loop.close()
            finally:
                self._to_trio(self._end_calls)

    def _to_trio(self, fn: Callable[..., object], *args: object) -> None:
        try:
            self._token.run_sync_soon(fn, *args)
        except trio.RunFinishedError:
            log.warning("result_after_end", fn=_name(fn))

    def _start(
        self,
        job: _Call,
        fn: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        context: contextvars.Context,
    ) -> None:
        job.task = self._loop.create_task(_capture(fn, args), name=job.name, context=context)
        # A callback of the task and not a `finally` inside it: a task that is cancelled before its
        # first step never runs any of its code.
        job.task.add_done_callback(lambda task: self._hand_over(job, task))

    def _hand_over(self, job: _Call, task: "asyncio.Task[outcome.Outcome[Any]]") -> None:
        self._to_trio(self._finish, job, None if task.cancelled() else task.result())

    def _cancel_task(self, job: _Call) -> None:
        if job.task is not None:
            job.task.cancel()

    def _start_wind_up(self) -> None:
        self._winding_up = self._loop.create_task(self._wind_up(), name="wind_up")

    async def _wind_up(self) -> None:
        # Again and again, since a task's clean-up may start others.
        while others := asyncio.all_tasks(self._loop) - {self._winding_up}:
            for task in others:
                task.cancel()
            await asyncio.wait(others)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()
        self._loop.stop()


async def _capture(fn: Callable[..., Awaitable[T]], args: tuple[Any, ...]) -> outcome.Outcome[T]:
    # A coroutine of our own, so that a function that raises before its first await, or is no
    # coroutine function at all, still wakes the caller.
    try:
        return outcome.Value(await fn(*args))
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - handed over whole; a SystemExit would kill the loop
        return outcome.Error(error)


def _raise_closed() -> NoReturn:
    raise BridgeClosedError("the call was ended on the asyncio side before it had a result")


def _name(fn: Callable[..., object]) -> str:
    return getattr(fn, "__qualname__", None) or repr(fn)


def _log_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    log.warning("loop_error", message=context.get("message"), exc_info=context.get("exception"))
