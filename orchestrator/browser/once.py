"""Requests with an effect, sent at most once. Asyncio side.

Chromium sends a request again, a POST too, when a connection that it kept from an earlier request ends
without an answer. A site that took the first one and dropped the answer then takes it twice. So while an
effect is on its way such requests are handed to the driver, which sends each on a new connection, once.
A form may send by GET, so whatever leads to another page counts as one with an effect.
Scripts of a page may try again as well: what was lost once is refused from then on, to one address they
are sent one after the other, and what is like another one that is under way there is refused.
"""

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from typing import cast
from urllib.parse import urlsplit

import structlog
from playwright.async_api import (
    APIRequestContext,
    APIResponse,
    BrowserContext,
    Playwright,
    Request,
    Route,
    StorageState,
)
from playwright.async_api import Error as PlaywrightError

from orchestrator import aio, crash
from orchestrator.browser.engine import first_line
from orchestrator.browser.guard import HostRules
from orchestrator.crash import Step
from orchestrator.errors import BrowserError

log = structlog.get_logger("browser.once")

HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
CONNECTION_HEADERS = frozenset(
    {"connection", "content-encoding", "content-length", "keep-alive", "transfer-encoding"}
)
SEND_TIMEOUT_S = 30
"""How long a request may be on its way. Only later is it certain that a site will not get it any more."""
DISPOSE_TIMEOUT_S = 2

Address = tuple[str, str]
"""Of a request: its method, and its URL without the query."""
Content = tuple[Address, bytes | None]
WORDS = re.compile(rb"\w+")
ALIKE = 0.6
"""Two bodies are alike that share this part of their words: a number of the try more, another boundary."""


@dataclass(slots=True)
class Effect:
    """What became of the requests of one block: written in it, read after it."""

    has_form: bool = False
    """A page asked to be led on by one."""
    has_left: bool = False
    """The driver was told to send one."""
    held: int = 0
    """So many were neither handed on nor surely refused."""

    def is_kept(self, *, is_browser_gone: bool) -> bool:
        """Whether a form came this far and surely no further.

        A browser that is gone sends nothing of what was held here; while it lives only a refusal is sure.
        Without a form nobody knows by what other way a page has sent.
        """
        return self.has_form and not self.has_left and (is_browser_gone or not self.held)


@asynccontextmanager
async def sent_once(
    playwright: Playwright,
    context: BrowserContext,
    rules: HostRules,
    leave: Callable[[], Awaitable[None]],
    effect: Effect,
) -> AsyncIterator[None]:
    """In the block, requests of all pages that may have an effect are sent at most once each.

    With the block it is over with them: what is under way is broken off. Then, after success, `leave` closes
    the pages. When the block fails, they stay refused for as long as the context lives.
    """
    sending = _Sending(playwright, context, rules, effect)
    await context.route("**/*", sending.forward)
    try:
        yield
    finally:
        await sending.end()
    # Only after success: a visit that fails costs the context, and its routes with it.
    await leave()  # the pages' scripts must not go on without the routes
    # A request that is still held when its route goes is sent by Chromium, so each is answered before.
    await context.unroute_all(behavior="wait")


class _Sending:
    """One block's requests. Once it `is_over`, requests with an effect are refused."""

    def __init__(
        self, playwright: Playwright, context: BrowserContext, rules: HostRules, effect: Effect
    ) -> None:
        self._playwright = playwright
        self._context = context
        self._rules = rules
        self._effect = effect
        self._is_over = False
        self._senders: set[APIRequestContext] = set()
        self._under_way: list[Content] = []
        self._turns: defaultdict[Address, aio.Lock] = defaultdict(aio.Lock)
        self._lost: set[Address] = set()
        """Where requests were sent whose answer the page did not get."""

    async def forward(self, route: Route, request: Request) -> None:
        """Playwright calls it with each request."""
        with suppress(PlaywrightError):  # the page is gone by now, and its request with it
            is_harmless = request.method in HARMLESS and not request.is_navigation_request()
            if is_harmless or not self._rules.allows(request.url):
                await route.continue_()
            else:
                self._effect.has_form |= request.is_navigation_request()
                self._effect.held += 1
                await self._forward_once(route, request)
                self._effect.held -= 1

    async def end(self) -> None:
        """Break off what is still on its way: an answer may have no end."""
        self._is_over = True
        with suppress(PlaywrightError, TimeoutError):  # a driver that died or hangs is found out by others
            async with aio.timeout(DISPOSE_TIMEOUT_S):
                for sender in list(self._senders):
                    await sender.dispose()

    async def _forward_once(self, route: Route, request: Request) -> None:
        address = (request.method, urlsplit(request.url)._replace(query="", fragment="").geturl())
        content = (address, request.post_data_buffer)
        if any(_alike(content, other) for other in self._under_way):
            await _refuse(route, address)
            return
        self._under_way.append(content)
        try:
            # One at a time: a script that gives up waiting may count its tries in what it sends instead, and
            # only when the first one has ended is it certain that Playwright has told of its being given up.
            async with self._turns[address]:
                if self._is_over or address in self._lost:
                    await _refuse(route, address)
                else:
                    await self._hand_on(route, request, address)
        finally:
            self._under_way.remove(content)

    async def _hand_on(self, route: Route, request: Request, address: Address) -> None:
        try:
            with crash.around(Step.SEND):
                response, body = await self._send(request)
        except (PlaywrightError, BrowserError) as error:
            self._lost.add(address)
            if not self._is_over:
                reason = first_line(error) if isinstance(error, PlaywrightError) else str(error)
                log.warning("answer_lost", method=request.method, error=reason)
            await route.abort("connectionclosed")
            return
        # Before the page hears of the answer, since it may react at once. It may also have given up waiting.
        if response.status >= 500 or request.failure is not None:
            self._lost.add(address)
        await route.fulfill(status=response.status, headers=_headers(response), body=body)

    async def _send(self, request: Request) -> tuple[APIResponse, bytes]:
        cookies = await self._context.cookies(request.url)
        state = cast("StorageState", {"cookies": cookies, "origins": []})
        sender = await self._playwright.request.new_context(storage_state=state)
        self._senders.add(sender)
        try:
            if self._is_over:
                raise BrowserError("the visit has ended")
            self._effect.has_left = True
            response = await sender.fetch(
                request,
                headers={**request.headers, "connection": "close"},
                max_redirects=0,
                max_retries=0,
                timeout=SEND_TIMEOUT_S * 1000,
            )
            if _is_to_be_sent_on(request.method, response.status):
                # Chromium would follow it by itself, past all routes.
                raise BrowserError(f"status {response.status} wants the request sent on to another address")
            return response, await response.body()
        finally:
            self._senders.discard(sender)
            await sender.dispose()


async def _refuse(route: Route, address: Address) -> None:
    log.warning("request_not_sent_again", method=address[0], url=address[1])
    await route.abort("blockedbyclient")


def _alike(one: Content, other: Content) -> bool:
    """Whether one may be another try of the other, also one that counts its tries in its body."""
    if one[0] != other[0] or one[1] == other[1]:
        return one == other
    ours, theirs = (set(WORDS.findall(body or b"")) for _, body in (one, other))
    return len(ours & theirs) >= ALIKE * len(ours | theirs)


def _is_to_be_sent_on(method: str, status: int) -> bool:
    """Whether a browser would answer that status with the same effect at another address."""
    return method not in HARMLESS and (status in (307, 308) or (status in (301, 302) and method != "POST"))


def _headers(response: APIResponse) -> dict[str, str]:
    """The answer's headers without those of the connection; repeated ones joined as Playwright wants them."""
    pairs = sorted((header["name"].lower(), header["value"]) for header in response.headers_array)
    return {
        name: ("\n" if name == "set-cookie" else ", ").join(value for _, value in group)
        for name, group in groupby(pairs, key=lambda pair: pair[0])
        if name not in CONNECTION_HEADERS
    }
