"""One account's open browser context with its one page. All functions run on the asyncio side."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import structlog
from playwright.async_api import (
    Browser,
    BrowserContext,
    Dialog,
    Download,
    Page,
    StorageState,
)
from playwright.async_api import (
    Error as PlaywrightError,
)
from playwright.async_api import (
    TimeoutError as PlaywrightTimeoutError,
)

from orchestrator import aio
from orchestrator.browser.engine import Engine, first_line, killed_after
from orchestrator.browser.guard import HostRules
from orchestrator.browser.once import Effect, sent_once
from orchestrator.browser.page import end_soon
from orchestrator.errors import (
    BrowserError,
    ContextBrokenError,
    HostRefusedError,
    NothingSentError,
    OrchestratorError,
    SiteUnavailableError,
    without_queries,
)

T = TypeVar("T")

log = structlog.get_logger("browser.context")

ACTION_TIMEOUT_S = 10
"""One action on a page (a click, a fill); a visit has a time limit of its own."""
PING_TIMEOUT_S = 2
CLOSE_TIMEOUT_S = 5
PAGE_TIMEOUT_S = 3
"""A new page takes a tenth of a second. One whose renderer died while it was made never comes."""
NUISANCE_LIMIT = 20
"""Windows, dialogs and downloads during one visit, or until the next one; more of them have no end."""
HEAP_CHECK_VISITS = 20
HEAP_LIMIT_BYTES = 100 * 2**20
PAGE_VISITS = 50
"""Playwright keeps what it knows of a page's requests while the page is open: some 20 kB a visit in this
process and 30 kB in the driver. So a use that finds a page with more visits begins with a new one."""


@dataclass(slots=True)
class OpenContext:
    """An open context. Written on the asyncio side during a call, read by the pool between calls.

    1. `is_broken` implies that no visit succeeds any more.
    2. `is_worn` implies that the next use of the slot gets a new context.
    3. `is_page_spent` implies that the next visit gets a new page.
    4. `is_hung` implies `is_worn`.
    5. `is_heavy` implies that it is given up at the end of the present use.
    """

    account: str
    hosts: frozenset[str]
    rules: HostRules
    engine: Engine
    context: BrowserContext
    page: Page
    is_broken: bool = False
    is_hung: bool = False
    """Its page does not answer; its cookies may still be asked for."""
    is_worn: bool = False
    is_page_spent: bool = False
    is_heavy: bool = False
    renderers: frozenset[int] = frozenset()
    """The processes of its page's frames, as it last told them."""
    cut_off: str = ""
    """Why it was ended while it was in use."""
    used_at: float = 0.0
    """When it was last used, on trio's clock."""
    visits: int = 0
    page_visits: int = 0
    """Of the present page."""
    nuisances: int = 0
    heap_bytes: int = 0
    sign_in: int = 0
    """Which of the account's sign-ins its state stems from."""
    saved_digest: str = ""
    seen_cookies: str = ""
    interrupt: Callable[[], None] | None = None
    """Ends the visit that is under way."""

    def begin_use(self) -> None:
        """Somebody else's turn: nothing of what the page shows is wanted any more."""
        self.is_page_spent |= self.page_visits >= PAGE_VISITS

    def break_down(self) -> None:
        """Note that the context died; Playwright lets some waits go on as if nothing had happened."""
        self.is_broken = True
        if self.interrupt is not None:
            self.interrupt()

    @property
    def is_lost(self) -> bool:
        """Whether it died or hangs, so that the slot that holds it is broken."""
        return self.is_broken or self.is_hung

    @property
    def is_usable(self) -> bool:
        return not self.is_worn and self.is_readable

    @property
    def is_clean(self) -> bool:
        """Whether it may lie idle: no script of a visit that went wrong may still be at work in it."""
        return self.is_usable and not self.is_page_spent and not self.is_heavy

    @property
    def is_readable(self) -> bool:
        """Whether its cookies can still be asked for."""
        return not self.is_broken and self.engine.is_alive


@dataclass(frozen=True, slots=True)
class ContextPlan:
    """What to open: for whom, for which hosts, signed in with `state`, with `proxy_url` before all else."""

    account: str
    hosts: frozenset[str]
    state: dict[str, Any] | None
    proxy_url: str


async def open_context(engine: Engine, plan: ContextPlan, page_timeout_s: float) -> OpenContext:
    """A new context with its page. Raises ContextBrokenError, also when the page takes too long.

    A cancelled call leaves nothing open. An engine that hangs is ended by force.
    """
    rules, state = HostRules.parse(plan.hosts), plan.state
    making = _make(engine.browser, rules, plan, page_timeout_s)
    try:
        with killed_after(engine.driver, page_timeout_s + CLOSE_TIMEOUT_S):
            context, page = await aio.make_or_undo(making, lambda made: made[0].close())
    except PlaywrightError as error:
        raise ContextBrokenError(f"no new context could be opened: {first_line(error)}") from error
    except TimeoutError as error:
        raise ContextBrokenError(f"no new page came within {page_timeout_s:g} s") from error
    opened = OpenContext(plan.account, plan.hosts, rules, engine, context, page)
    # From here on nothing is awaited: a cancellation could not close what was made.
    if state is not None:
        opened.saved_digest = digest(state)
    opened.seen_cookies = _cookies_digest(state["cookies"] if state is not None else [])
    _listen(opened)
    return opened


async def _make(
    browser: Browser, rules: HostRules, plan: ContextPlan, page_timeout_s: float
) -> tuple[BrowserContext, Page]:
    context = await browser.new_context(
        proxy={"server": plan.proxy_url, "bypass": rules.bypass()},
        storage_state=StorageState(**plan.state) if plan.state is not None else None,  # type: ignore[typeddict-item]
        accept_downloads=False,
        service_workers="block",
    )
    try:
        context.set_default_timeout(ACTION_TIMEOUT_S * 1000)
        # No route sees what a shared worker sends, and Chromium would send that again by itself.
        await context.add_init_script("delete globalThis.SharedWorker")
        async with aio.timeout(page_timeout_s):
            return context, await context.new_page()
    except BaseException:
        await context.close()
        raise


def _listen(opened: OpenContext) -> None:
    async def close_popup(page: Page) -> None:
        if page is not opened.page and not opened.is_page_spent:
            with suppress(PlaywrightError):
                await page.close()
            await _count_nuisance(opened)

    async def dismiss(dialog: Dialog) -> None:
        with suppress(PlaywrightError):
            await dialog.dismiss()
        await _count_nuisance(opened)

    opened.context.on("close", lambda _context: opened.break_down())
    opened.context.on("page", close_popup)
    opened.context.on("dialog", dismiss)
    _listen_to_page(opened)


def _listen_to_page(opened: OpenContext) -> None:
    async def count_download(_download: Download) -> None:
        await _count_nuisance(opened)

    opened.page.on("crash", lambda _page: opened.break_down())
    opened.page.on("download", count_download)


async def _count_nuisance(opened: OpenContext) -> None:
    """Close a context whose page opens things without end: it would go on in an idle slot."""
    opened.nuisances += 1
    if opened.nuisances == NUISANCE_LIMIT:
        log.warning("context_nuisance", account=opened.account, url=without_queries(opened.page.url))
        await close_context(opened)


async def renew_page(opened: OpenContext) -> None:
    """A fresh page in the same context: what the old one was still doing can't disturb the next visit."""
    opened.page = await opened.context.new_page()
    _listen_to_page(opened)
    opened.is_page_spent = False
    opened.page_visits = 0
    for other in opened.context.pages:
        if other is not opened.page:  # the old one, or a window that it opened when nobody looked any more
            await other.close()


@dataclass(frozen=True, slots=True)
class Visit(Generic[T]):
    """What to do in a page: `await fn(page, *args)`, within `timeout_s` seconds.

    `has_effect`: what the page sends meanwhile, beyond mere reading, is sent at most once.
    """

    fn: Callable[..., Awaitable[T]]
    args: tuple[Any, ...]
    timeout_s: float
    has_effect: bool = False


async def run_visit(opened: OpenContext, visit: Visit[T]) -> T:
    """Make a visit, with Playwright's errors translated.

    Raises ContextBrokenError when the page, its browser or the driver died or hangs, SiteUnavailableError
    for a site that does not answer, HostRefusedError for a page that ended on a host that is not allowed.
    NothingSentError is a ContextBrokenError that tells of a visit's effect that it did not take place.
    """
    effect = Effect()
    opened.visits += 1
    opened.nuisances = 0
    try:
        async with aio.timeout(visit.timeout_s) as scope:
            opened.interrupt = partial(end_soon, scope)
            result = await _carry_out(opened, visit, effect)
    except (PlaywrightError, OrchestratorError, TimeoutError) as error:
        opened.is_page_spent = True
        opened.is_worn |= visit.has_effect
        await _ping(opened)
        translated = _translate(error, opened, visit.timeout_s)
        if isinstance(translated, ContextBrokenError) and _is_kept(opened.engine, effect):
            translated = NothingSentError(str(translated))
        if translated is error:
            raise
        # Without its cause: Playwright's call log holds what was filled in, passwords too.
        raise translated from None
    except BaseException:
        # Cancelled, or a bug: whatever the page was doing, nobody waits for it any more.
        opened.is_worn = True
        raise
    finally:
        opened.interrupt = None
    return result


def _is_kept(engine: Engine, effect: Effect) -> bool:
    process = engine.browser_process
    is_browser_gone = process is not None and not process.is_alive
    return engine.driver.is_alive and effect.is_kept(is_browser_gone=is_browser_gone)


async def _carry_out(opened: OpenContext, visit: Visit[T], effect: Effect) -> T:
    if opened.is_page_spent:
        await renew_page(opened)
    opened.page_visits += 1
    if not visit.has_effect:
        return await _go(opened, visit)

    async def leave() -> None:
        opened.is_page_spent = True
        await renew_page(opened)

    async with sent_once(opened.engine.playwright, opened.context, opened.rules, leave, effect):
        return await _go(opened, visit)


async def _go(opened: OpenContext, visit: Visit[T]) -> T:
    result = await visit.fn(opened.page, *visit.args)
    _check_place(opened)
    return result


def _translate(error: Exception, opened: OpenContext, timeout_s: float) -> OrchestratorError:
    if opened.is_broken or not opened.engine.is_alive:
        opened.is_broken = True
        return ContextBrokenError(opened.cut_off or f"the browser died during the visit: {_brief(error)}")
    if opened.is_hung and isinstance(error, TimeoutError | PlaywrightTimeoutError | SiteUnavailableError):
        return ContextBrokenError(f"the page hangs: {_brief(error)}")
    if isinstance(error, OrchestratorError):
        return error
    if isinstance(error, PlaywrightTimeoutError):
        return SiteUnavailableError(f"the page did not answer: {first_line(error)}")
    if isinstance(error, PlaywrightError):
        return BrowserError(f"the browser refused: {first_line(error)}")
    opened.is_worn = True
    return SiteUnavailableError(f"the visit took longer than {timeout_s:g} s at {opened.page.url}")


def _brief(error: Exception) -> str:
    return first_line(error) if isinstance(error, PlaywrightError) else str(error) or type(error).__name__


async def _ping(opened: OpenContext) -> None:
    """Find out whether the page is dead: the error of a dying page comes before the news of its death.

    When the page does not answer, browser and driver are asked too: an engine that hangs is condemned.
    """
    try:
        async with aio.timeout(PING_TIMEOUT_S):
            await opened.page.evaluate("0")
    except TimeoutError:
        opened.is_worn = opened.is_hung = True
        await _ping_engine(opened)
    except PlaywrightError as error:
        opened.is_broken |= opened.page.is_closed() or "crashed" in error.message or "closed" in error.message


async def _ping_engine(opened: OpenContext) -> None:
    try:
        async with aio.timeout(CLOSE_TIMEOUT_S):
            await opened.context.cookies()
    except TimeoutError:
        log.error("browser_hangs", account=opened.account, after_s=CLOSE_TIMEOUT_S)
        opened.engine.is_condemned = True
    except PlaywrightError:
        opened.is_broken = True


def _check_place(opened: OpenContext) -> None:
    url = opened.page.url
    if url.startswith("chrome-error:"):
        opened.is_page_spent = True  # a navigation that failed, which `fn` made nothing of
    elif url != "about:blank" and not opened.rules.allows(url):
        raise HostRefusedError(f"the page went to {urlsplit(url).netloc or url[:60]}, which is not allowed")


# ── sign-in state ───────────────────────────────────────────────────────────────────────────────


async def read_cookies(opened: OpenContext) -> str:
    """A digest of the cookies; their expiry, which sites move all the time, aside."""
    try:
        async with aio.timeout(CLOSE_TIMEOUT_S):
            return _cookies_digest(await opened.context.cookies())
    except (PlaywrightError, TimeoutError) as error:
        opened.is_broken = True
        raise ContextBrokenError(f"the context's cookies can't be read: {_brief(error)}") from error


def _cookies_digest(cookies: Iterable[Mapping[str, Any]]) -> str:
    return digest(sorted((c["name"], c["domain"], c["path"], c["value"]) for c in cookies))


async def read_state(opened: OpenContext) -> dict[str, Any]:
    """Cookies and local storage as Playwright keeps them. Raises ContextBrokenError."""
    try:
        async with aio.timeout(CLOSE_TIMEOUT_S):
            return dict(await opened.context.storage_state())
    except (PlaywrightError, TimeoutError) as error:
        opened.is_broken = True
        raise ContextBrokenError(f"the sign-in state can't be read: {_brief(error)}") from error


def digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


# ── wear and end ────────────────────────────────────────────────────────────────────────────────


async def check_heap(opened: OpenContext) -> None:
    """Every `HEAP_CHECK_VISITS` visits: a page whose scripts hold too much memory is worn."""
    if opened.visits % HEAP_CHECK_VISITS:
        return
    with suppress(PlaywrightError, TimeoutError):  # the next visit finds out what is wrong
        async with aio.timeout(PING_TIMEOUT_S):
            session = await opened.context.new_cdp_session(opened.page)
            opened.heap_bytes = int((await session.send("Runtime.getHeapUsage"))["usedSize"])
            await session.detach()
    if opened.heap_bytes > HEAP_LIMIT_BYTES:
        log.info("context_worn", account=opened.account, visits=opened.visits, heap_bytes=opened.heap_bytes)
        opened.is_worn = True


async def cut_off(opened: OpenContext, why: str) -> None:
    """End it while it is in use: a visit under way raises ContextBrokenError with `why`."""
    opened.cut_off = why
    opened.break_down()


async def close_context(opened: OpenContext) -> None:
    """Close it; one that can't be closed condemns its engine, since it would live on unseen."""
    opened.is_broken = True
    if not opened.engine.is_alive:
        return
    try:
        async with aio.timeout(CLOSE_TIMEOUT_S):
            await opened.context.close()
    except TimeoutError:
        log.error("context_not_closed", account=opened.account, after_s=CLOSE_TIMEOUT_S)
        opened.engine.is_condemned = True
    except PlaywrightError as error:
        log.info("context_gone_before_close", account=opened.account, error=first_line(error))
