"""Starts the daemon: the browser first, since it takes longest; the rest of us is imported meanwhile.

So nothing is imported here that the browser's start does not need.
"""

import gc
from importlib import import_module
from typing import TYPE_CHECKING, TextIO

import structlog
import trio

from orchestrator import aio
from orchestrator.browser.pool import open_pool
from orchestrator.clock import Clock
from orchestrator.db.sessions import SessionTable
from orchestrator.log import configure
from orchestrator.settings import Settings
from orchestrator.state import hold_state_dir

if TYPE_CHECKING:
    from orchestrator.app import Face

log = structlog.get_logger("app")


def run(settings: Settings, face: "Face | None" = None, log_stream: TextIO | None = None) -> None:
    """Live until SIGTERM or SIGINT; logs go to `log_stream`, standard error by default.

    Raises an OrchestratorError, alone or in an exception group, when it can't go on.
    """
    configure(settings.log, log_stream, secrets=settings.secrets())
    trio.run(_start, settings, face)


async def _start(settings: Settings, face: "Face | None") -> None:
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
            await live(Beginning(settings, clock, owner, pool, sessions, started_at), face)
            nursery.cancel_scope.cancel()
    log.info("ended")
