"""Time from the death of a renderer, the browser or the driver until its slot shows a page again.

A visit is under way when the process is killed. Counted is all of it: the visit that fails, the end of its
use, the rebuilding that the daemon does, and a use of the slot with a page.
"""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from playwright.async_api import Page

from bench.figure import Aim, Figure, Report, spread
from bench.site import running_site
from orchestrator import aio
from orchestrator.browser.guard import HostRules
from orchestrator.browser.page import Answer, open_url
from orchestrator.browser.pool import ContextPool, open_pool
from orchestrator.browser.processes import browser_family
from orchestrator.errors import ContextBrokenError
from orchestrator.settings import BrowserSettings

AIM = Aim(5.0, "s")
VICTIMS = ("renderer", "browser", "driver")


class NoStore:
    """Keeps no sign-in."""

    async def load(self, _account: str) -> bytes | None:
        return None

    async def save(self, _account: str, _state: bytes) -> None:
        """Forget it."""


async def measure(directory: Path, rounds: int) -> Report:
    state_dir = directory / "pool"
    state_dir.mkdir()
    taken: dict[str, list[float]] = {victim: [] for victim in VICTIMS}
    with running_site(directory / "site", {}) as address:
        async with (
            aio.open_bridge(),
            open_pool(BrowserSettings(), state_dir=state_dir, store=NoStore(), capacity=3) as pool,
        ):
            for _ in range(rounds):
                for victim in VICTIMS:
                    taken[victim].append(await _time_fault(pool, address, victim))
    figures = [
        Figure(
            f"death of a {victim} until its slot shows a page again, longest",
            max(times),
            f"{spread(times)} s",
            aim=AIM,
            unit="s",
        )
        for victim, times in taken.items()
    ]
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return Report(figures, [f"faults: {rounds} deaths of each; load {load} afterwards"])


async def _time_fault(pool: ContextPool, address: str, victim: str) -> float:
    hosts = frozenset({address.partition("//")[2]})
    rules = HostRules.parse(hosts)
    killed_at = 0.0

    async def die(page: Page) -> None:
        nonlocal killed_at
        await open_url(page, address, rules)
        killed_at = time.monotonic()
        for pid in _find(pool, victim):
            os.kill(pid, signal.SIGKILL)
        await page.evaluate("new Promise(() => {})")

    async def look(page: Page) -> Answer:
        return await open_url(page, address, rules)

    try:
        async with pool.use(0, "ada", hosts) as browser:
            await browser.visit(die)
    except ContextBrokenError:
        await pool.rebuild(0)
    async with pool.use(0, "ada", hosts) as browser:
        answer = await browser.visit(look)
    if answer.status != 200:
        raise RuntimeError(f"the bundled site answered {answer.status}")
    return time.monotonic() - killed_at


def _find(pool: ContextPool, victim: str) -> Sequence[int]:
    driver, browser = pool.process_ids()
    if victim == "renderer":
        return [pid for pid in browser_family(browser) if "--type=renderer" in psutil.Process(pid).cmdline()]
    return [browser if victim == "browser" else driver]
