"""Which processes render a context's page, and how the browser is asked to give memory back. Asyncio side."""

from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from playwright.async_api import Browser, CDPSession
from playwright.async_api import Error as PlaywrightError

from orchestrator import aio
from orchestrator.browser.context import OpenContext
from orchestrator.browser.engine import first_line
from orchestrator.errors import BrowserError

PATIENCE_S = 5.0
"""A page that hangs never answers."""
DETACH_S = 2.0
TRACED = "disabled-by-default-devtools.timeline"
"""A trace of this kind begins with the page's frames, each with its process; no other call tells those."""
FRAMES_EVENT = "TracingStartedInBrowser"


async def renderers_of(opened: OpenContext) -> frozenset[int]:
    """The processes of all frames of the page. Raises BrowserError when it does not tell in time.

    The browser runs one more process from the first call on, of about 25 MB, so this is for when it matters.
    """
    async with _session(opened.context.new_cdp_session(opened.page), "tell a page's processes") as session:
        return await _traced(session)


async def relieve(browser: Browser) -> None:
    """Have all of the browser's processes drop their caches and collect garbage. Raises BrowserError."""
    async with _session(browser.new_browser_cdp_session(), "sweep its caches") as session:
        await session.send("Memory.simulatePressureNotification", {"level": "critical"})


@asynccontextmanager
async def _session(opening: Awaitable[CDPSession], purpose: str) -> AsyncIterator[CDPSession]:
    """A session of the developers' protocol, for `PATIENCE_S` at most, with its errors translated."""
    try:
        async with aio.timeout(PATIENCE_S):
            session = await opening
            try:
                yield session
            finally:
                await _detach(session)  # noqa: ASYNC102 - it bounds itself
    except TimeoutError as error:
        raise BrowserError(f"the browser did not {purpose} within {PATIENCE_S:g} s") from error
    except PlaywrightError as error:
        raise BrowserError(f"the browser can't {purpose}: {first_line(error)}") from error


async def _detach(session: CDPSession) -> None:
    """Ends a trace too that was cut short."""
    with suppress(PlaywrightError, TimeoutError):
        async with aio.timeout(DETACH_S):
            await session.detach()


async def _traced(session: CDPSession) -> frozenset[int]:
    events: list[Mapping[str, Any]] = []
    is_complete = aio.Event()
    session.on("Tracing.dataCollected", lambda data: events.extend(data["value"]))
    session.on("Tracing.tracingComplete", lambda _data: is_complete.set())
    wanted = {"includedCategories": [TRACED], "excludedCategories": ["*"]}
    await session.send("Tracing.start", {"transferMode": "ReportEvents", "traceConfig": wanted})
    await session.send("Tracing.end")
    await is_complete.wait()
    return frozenset(_processes(events))


def _processes(events: Iterable[Mapping[str, Any]]) -> Iterable[int]:
    for event in events:
        if event["name"] == FRAMES_EVENT:
            for frame in event["args"]["data"]["frames"]:
                if "processId" in frame:  # a frame that is only being made has none
                    yield frame["processId"]
