"""A limit to what one process of the browser may hold, so that no page takes the machine's memory.

The limit of a page's scripts (`launcher.JS_HEAP_LIMIT_MIB`) does not count buffers, images and documents. The
kernel tells nobody that a process grows, so this looks. A renderer that is killed breaks its slot; the
browser itself, where pages keep blobs, all of them.
"""

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog
import trio

from orchestrator.browser.processes import browser_family, resident_bytes

log = structlog.get_logger("browser.memory_limit")

LIMIT_BYTES = 2**30
"""Resident. Heavy pages take 300 to 500 MB, 150 MB of it the program itself."""
LOOK_EVERY_S = 0.5
"""A page fills about 500 MB in that time. A look takes a millisecond."""


@asynccontextmanager
async def keep_memory_limit(live_browser: Callable[[], int]) -> AsyncIterator[None]:
    """Keep the limit while the block runs; `live_browser` tells the browser's process id, or 0."""
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_watch, live_browser)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - it is raised again below
            failure = error  # out of the nursery it would come wrapped in a group
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _watch(live_browser: Callable[[], int]) -> None:
    while True:
        await trio.sleep(LOOK_EVERY_S)
        if browser := live_browser():
            _kill_the_large(browser)


def _kill_the_large(browser: int) -> None:
    for pid in list(browser_family(browser)):
        held = resident_bytes(pid)
        if held > LIMIT_BYTES:
            log.error("process_over_memory_limit", pid=pid, held_bytes=held, limit_bytes=LIMIT_BYTES)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
