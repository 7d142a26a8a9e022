"""The bare starts of the heavy parts: Playwright's driver with Chromium, and PostgreSQL.

As a program, `python -m bench.bare PLAN`, it starts one after the other, says so, and ends them. So it
imports nothing but what these two need.
"""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from playwright.async_api import async_playwright

STARTED = "started"
ASK_EVERY_S = 0.002
START_LIMIT_S = 60.0
END_LIMIT_S = 30.0

Plan = dict[str, Any]
"""`browser`: what Playwright's launch takes; `postgres`: the server's command line; `connect`: what asyncpg's
connect takes; `log`: the server's log."""


@asynccontextmanager
async def bare_browser(plan: Plan) -> AsyncIterator[None]:
    """A launched browser."""
    playwright = await async_playwright().start()
    try:
        browser = await playwright.chromium.launch(**plan["browser"])
        yield
        await browser.close()
    finally:
        await playwright.stop()


@asynccontextmanager
async def bare_postgres(plan: Plan) -> AsyncIterator[None]:
    """A server that takes connections. To be entered on the main thread, whose end ends it."""
    with open(plan["log"], "ab") as log:  # noqa: ASYNC230, PTH123 - nothing else runs on this loop
        process = subprocess.Popen(plan["postgres"], stdout=log, stderr=log, cwd="/")  # noqa: ASYNC220
    try:
        await _wait_until_connected(process, plan)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(END_LIMIT_S)


async def _wait_until_connected(process: "subprocess.Popen[bytes]", plan: Plan) -> None:
    give_up_at = time.monotonic() + START_LIMIT_S
    while True:
        try:
            connection = await asyncpg.connect(**plan["connect"])
        except (OSError, asyncpg.PostgresError) as error:
            if process.poll() is not None or time.monotonic() > give_up_at:
                raise RuntimeError("bare PostgreSQL did not start") from error
            await asyncio.sleep(ASK_EVERY_S)
        else:
            connection.terminate()
            return


async def time_browser(plan: Plan) -> float:
    """Seconds from nothing to a launched browser."""
    started_at = time.monotonic()
    async with bare_browser(plan):
        return time.monotonic() - started_at


async def time_postgres(plan: Plan) -> float:
    """Seconds from nothing to a server that has taken a connection."""
    started_at = time.monotonic()
    async with bare_postgres(plan):
        return time.monotonic() - started_at


async def _start_both(plan: Plan) -> None:
    async with bare_browser(plan), bare_postgres(plan):
        print(STARTED, flush=True)


if __name__ == "__main__":
    asyncio.run(_start_both(json.loads(sys.argv[1])))
