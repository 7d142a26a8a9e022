"""The engine that all slots share. Trio side."""

import trio

from orchestrator import aio
from orchestrator.browser import engine as engines
from orchestrator.browser import processes
from orchestrator.browser.engine import Engine, LaunchPlan


class SharedEngine:
    """Whoever needs the engine and finds it dead launches it again, one at a time."""

    def __init__(self, plan: LaunchPlan) -> None:
        self.last: Engine | None = None
        """The one launched last; it may be dead."""
        self.launches = 0
        self._plan = plan
        self._lock = trio.Lock()

    async def live(self) -> Engine:
        """An engine that lives. Raises BrowserMissingError or BrowserError."""
        if self.last is not None and self.last.is_alive:
            return self.last
        async with self._lock:
            if self.last is None or not self.last.is_alive:
                self.last = await self._launch()
                self.launches += 1
            return self.last

    async def _launch(self) -> Engine:
        if self.last is not None:
            renewed = await aio.call(engines.renew_browser, self.last, self._plan)
            if renewed is not None:
                return renewed
        # A driver that was killed, also one of a launch that failed, has left its files.
        await trio.to_thread.run_sync(processes.clear, self._plan.directory)
        return await aio.call(engines.launch, self._plan)

    async def close(self, patience_s: float) -> None:
        """End it, with all contexts in it."""
        if self.last is not None:
            await aio.call(engines.close, self.last, patience_s)

    def describe(self) -> str | None:
        """Kind and version of the browser, or None while none runs."""
        if self.last is None or not self.last.is_alive:
            return None
        return f"{self.last.found.kind} {self.last.browser.version}"

    def process_ids(self) -> tuple[int, int]:
        """The driver's and the browser's process ids; 0 for one that is not there."""
        if self.last is None:
            return 0, 0
        browser = self.last.browser_process
        return self.last.driver.pid, browser.pid if browser is not None else 0

    def live_browser(self) -> int:
        """The process id of a browser that lives, which is nobody else's; 0 when there is none."""
        browser = self.last.browser_process if self.last is not None else None
        return browser.pid if browser is not None and browser.is_alive else 0
