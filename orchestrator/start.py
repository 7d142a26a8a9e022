"""Starts the daemon: the browser first, since it takes longest; the rest of us is imported meanwhile.

So nothing is imported here that the browser's start does not need.
"""

import faulthandler
import gc
import math
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, TextIO

import structlog
import trio

from orchestrator import aio, crash
from orchestrator.browser.pool import open_pool
from orchestrator.clock import Clock
from orchestrator.db.sessions import SessionTable
from orchestrator.log import KeptLog
from orchestrator.service.manager import Manager, take_over
from orchestrator.settings import Settings
from orchestrator.settings.address import is_on_this_machine
from orchestrator.settings.live import Reread
from orchestrator.state import hold_state_dir

if TYPE_CHECKING:
    from orchestrator.app import Face
    from orchestrator.jobs import OwnJob

log = structlog.get_logger("app")

HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""The signals that end a life, and the one that has the settings read again."""


def run(
    settings: Settings,
    face: "Face | None" = None,
    log_stream: TextIO | None = None,
    more_jobs: "Callable[[], Sequence[OwnJob]]" = tuple,
    read: Callable[[], Settings] | None = None,
) -> None:
    """Live until SIGTERM or SIGINT; logs go to `log_stream`, standard error by default.

    `more_jobs` makes jobs besides those of the house; it is called when jobs can be imported. `read` reads
    the settings again at SIGHUP; without it, or when the terminal that we run in says so, that ends us too.

    Raises an OrchestratorError, alone or in an exception group, when it can't go on.
    """
    manager = take_over(os.environ)  # before anything is started that would inherit it
    if manager.notifier is not None and manager.notifier.watchdog_s is not None:
        faulthandler.enable(sys.stderr)  # the watchdog ends us with SIGABRT: this says where we hung
    dsn = settings.database.dsn
    crash.arm(os.environ, is_local=dsn is None or is_on_this_machine(dsn.get_secret_value()))
    kept_log = KeptLog(log_stream)
    kept_log.configure(settings.log, settings.secrets())

    def relog(new: Settings) -> None:
        kept_log.configure(new.log, new.secrets())

    reread = Reread(read, relog) if read is not None else None
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)  # `_start` lets them in
    trio.run(_start, settings, face, more_jobs, manager, reread, kept_log)


async def _start(
    settings: Settings,
    face: "Face | None",
    more_jobs: "Callable[[], Sequence[OwnJob]]",
    manager: Manager,
    reread: Reread | None,
    kept_log: KeptLog,
) -> None:
    send, receive = trio.open_memory_channel[int](math.inf)
    with trio.open_signal_receiver(*HEARD) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_hear, signals, send)
            await _live(settings, face, more_jobs, manager, reread, receive, kept_log)
            nursery.cancel_scope.cancel()
    log.info("ended")


async def _hear(signals: AsyncIterator[int], send: trio.MemorySendChannel[int]) -> None:
    """Take every signal, from the first moment to the last: one that nobody took would end us abruptly."""
    async for number in signals:
        send.send_nowait(number)


async def _live(  # noqa: PLR0913, PLR0917 - a life begins with all of it
    settings: Settings,
    face: "Face | None",
    more_jobs: "Callable[[], Sequence[OwnJob]]",
    manager: Manager,
    reread: Reread | None,
    signals: trio.MemoryReceiveChannel[int],
    kept_log: KeptLog,
) -> None:
    started_at = trio.current_time()
    clock = Clock(settings.clock.speed, settings.clock.real_epoch, settings.clock.shown_epoch)
    sessions = SessionTable(clock)
    with hold_state_dir(settings.state_dir) as owner:
        pool_of_contexts = open_pool(
            settings.browser,
            state_dir=settings.state_dir,
            store=sessions,
            capacity=settings.allocator.capacity,
        )
        async with aio.open_bridge(), pool_of_contexts as pool, trio.open_nursery() as nursery:
            nursery.start_soon(pool.warm_up)
            await trio.to_thread.run_sync(import_module, "orchestrator.app")
            from orchestrator.app import Beginning, live

            gc.freeze()  # what is imported by now stays for good
            gc.enable()  # the command line turns it off while it imports
            beginning = Beginning(
                settings,
                clock,
                owner,
                pool,
                sessions,
                started_at,
                signals,
                kept_log.hide,
                kept_log.redact,
                manager,
                reread,
                more_jobs(),
            )
            await live(beginning, face)
            nursery.cancel_scope.cancel()
