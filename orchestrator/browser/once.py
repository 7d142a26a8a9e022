"""Requests with an effect, sent at most once. Asyncio side.

Chromium sends a request again, a POST too, when a connection that it kept from an earlier request ends
without an answer. A site that took the first one and dropped the answer then takes it twice. So while an
effect is on its way such requests are handed to the driver, which sends each on a new connection, once.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby
from typing import cast

import structlog
from playwright.async_api import APIResponse, Page, Playwright, Request, Route, StorageState
from playwright.async_api import Error as PlaywrightError

from orchestrator.browser.engine import first_line
from orchestrator.browser.guard import HostRules

log = structlog.get_logger("browser.once")

HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
CONNECTION_HEADERS = frozenset(
    {"connection", "content-encoding", "content-length", "keep-alive", "transfer-encoding"}
)
SEND_TIMEOUT_S = 120
"""Longer than any visit: the visit's own limit ends the waiting."""


@asynccontextmanager
async def sent_once(playwright: Playwright, page: Page, rules: HostRules) -> AsyncIterator[None]:
    """In the block, requests of the page that may have an effect are sent at most once each."""

    async def forward(route: Route, request: Request) -> None:
        if request.method in HARMLESS or not rules.allows(request.url):
            await route.continue_()
            return
        try:
            await _send(playwright, page, route, request)
        except PlaywrightError as error:
            log.warning("answer_lost", method=request.method, error=first_line(error))
            await route.abort("connectionclosed")

    await page.route("**/*", forward)
    yield
    # Only after success: a visit that fails costs the page, and its routes with it.
    await page.unroute_all(behavior="ignoreErrors")


async def _send(playwright: Playwright, page: Page, route: Route, request: Request) -> None:
    cookies = await page.context.cookies(request.url)
    state = cast("StorageState", {"cookies": cookies, "origins": []})
    sender = await playwright.request.new_context(storage_state=state)
    try:
        response = await sender.fetch(
            request,
            headers={**request.headers, "connection": "close"},
            max_redirects=0,
            max_retries=0,
            timeout=SEND_TIMEOUT_S * 1000,
        )
        await route.fulfill(status=response.status, headers=_headers(response), body=await response.body())
    finally:
        await sender.dispose()


def _headers(response: APIResponse) -> dict[str, str]:
    """The answer's headers without those of the connection; repeated ones joined as Playwright wants them."""
    pairs = sorted((header["name"].lower(), header["value"]) for header in response.headers_array)
    return {
        name: ("\n" if name == "set-cookie" else ", ").join(value for _, value in group)
        for name, group in groupby(pairs, key=lambda pair: pair[0])
        if name not in CONNECTION_HEADERS
    }
