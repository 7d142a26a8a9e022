"""Opening an address in a page, with the host guard's and the network's answers told apart. Asyncio side."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from urllib.parse import urlsplit

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page, Request, Response

from orchestrator import aio
from orchestrator.browser.engine import first_line
from orchestrator.browser.guard import HostRules
from orchestrator.errors import HostRefusedError, SiteUnavailableError

GUARD_ERRORS = ("ERR_TUNNEL_CONNECTION_FAILED", "ERR_PROXY")
OPEN_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a navigation: status, headers (lower-case names) and the address it ended at."""

    status: int
    headers: dict[str, str]
    url: str


class Scope(Protocol):
    """What `aio.timeout` gives. `when` is a moment of the event loop's clock."""

    def when(self) -> float | None: ...

    def reschedule(self, when: float | None) -> None: ...


def end_soon(scope: Scope) -> None:
    """Let a time-out strike now; for events that make further waiting pointless."""
    with suppress(RuntimeError):  # it has struck, or its block has ended, already
        scope.reschedule(0)


async def open_url(page: Page, url: str, rules: HostRules) -> Answer:
    """Go to `url` and wait until its document is complete.

    Raises HostRefusedError when it, or where it redirects to, is not allowed, and SiteUnavailableError
    when no complete answer comes. Any HTTP status is an answer.
    """
    if not rules.allows(url):
        raise HostRefusedError(f"{_host(url)} is not among the hosts of this site")
    failures: list[str] = []
    try:
        async with aio.timeout(OPEN_TIMEOUT_S) as scope:
            with broken_off(page, failures, partial(end_soon, scope)):
                response = await page.goto(url, wait_until="domcontentloaded", timeout=OPEN_TIMEOUT_S * 1000)
    except TimeoutError as error:
        reason = failures[0] if failures else f"no complete answer within {OPEN_TIMEOUT_S} s"
        raise failed(url, reason) from error
    except PlaywrightError as error:
        raise failed(url, first_line(error)) from error
    return _check(response, url, rules)


def _check(response: Response | None, url: str, rules: HostRules) -> Answer:
    if response is None:
        raise SiteUnavailableError(f"{_host(url)} gave no answer")
    if not rules.allows(response.url):
        raise HostRefusedError(f"{_host(url)} redirects to {_host(response.url)}, which is not allowed")
    return Answer(response.status, response.headers, response.url)


@contextmanager
def broken_off(page: Page, failures: list[str], tell: Callable[[], None]) -> Iterator[None]:
    """Note when the main document's transfer fails in the block, and call `tell`.

    Chromium never finishes a document whose transfer broke off, so nothing else would say so.
    """

    def on_failure(request: Request) -> None:
        if request.is_navigation_request() and request.frame == page.main_frame:
            failures.append(request.failure or "the transfer failed")
            tell()

    page.on("requestfailed", on_failure)
    try:
        yield
    finally:
        page.remove_listener("requestfailed", on_failure)


def failed(url: str, reason: str) -> HostRefusedError | SiteUnavailableError:
    """The error for a navigation from `url` that Chromium gave up for `reason`."""
    if any(sign in reason for sign in GUARD_ERRORS):
        return HostRefusedError(f"{_host(url)} leads to a host that is not allowed")
    return SiteUnavailableError(f"{_host(url)}: {reason}")


def _host(url: str) -> str:
    return urlsplit(url).netloc or url[:60]
