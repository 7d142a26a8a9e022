"""Requests with an effect: the site gets each at most once, whatever becomes of the answer."""

from http.server import BaseHTTPRequestHandler

import pytest
from playwright.async_api import Page, Request

from orchestrator.browser.pool import ContextPool
from tests.browser.harness import Reply, Site

FORM = """<!doctype html>
<form method=post action=/submit><input name=text value="a b"><button>go</button></form>"""


async def press(page: Page, site: Site) -> str:
    await site.open(page, "/form")
    async with page.expect_event("requestfinished", lambda request: request.method == "POST"):
        await page.click("button")
    await page.wait_for_load_state("domcontentloaded")
    return page.url


async def press_in_vain(page: Page, site: Site) -> str | None:
    await site.open(page, "/form")
    async with page.expect_event("requestfailed", lambda request: request.method == "POST") as failed:
        await page.click("button")
    request: Request = await failed.value
    return request.failure


@pytest.fixture
def site_with_form(site: Site) -> Site:
    site.pages["/form"] = Reply(FORM)
    return site


async def test_a_lost_answer_does_not_send_the_form_again(pool: ContextPool, site_with_form: Site) -> None:
    site = site_with_form
    site.pages["/submit"] = Reply(lost=True)
    async with pool.use(0, "ada", site.hosts) as browser:
        # The page before has left a connection open: on such a one Chromium would try again by itself.
        await browser.visit(site.open)
        assert await browser.visit_with_effect(press_in_vain, site)
    assert site.seen.count(("POST", "/submit")) == 1


async def test_form_cookies_and_redirect_go_through_as_without_us(
    pool: ContextPool, site_with_form: Site
) -> None:
    site = site_with_form
    got: list[str] = []

    def submit(request: BaseHTTPRequestHandler) -> Reply:
        got.extend([request.headers["Cookie"], request.headers["Content-Type"], request.headers["Origin"]])
        return Reply(status=303, headers={"Location": "/done", "Set-Cookie": "after=2; Path=/"})

    def done(request: BaseHTTPRequestHandler) -> Reply:
        got.append(request.headers["Cookie"])
        return Reply()

    site.pages["/start"] = Reply(headers={"Set-Cookie": "before=1; Path=/; HttpOnly; SameSite=Lax"})
    site.pages |= {"/submit": submit, "/done": done}
    async with pool.use(0, "ada", site.hosts) as browser:
        await browser.visit(site.open, "/start")
        assert await browser.visit_with_effect(press, site) == site.url("/done")
        assert (await browser.visit(site.open)).status == 200
    kind = "application/x-www-form-urlencoded"
    assert got == ["before=1", kind, f"http://{site.host}", "before=1; after=2"]


async def test_what_is_sent_to_a_host_that_is_not_listed_is_refused(
    pool: ContextPool, site_with_form: Site, other_site: Site
) -> None:
    site = site_with_form
    site.pages["/form"] = Reply(FORM.replace("/submit", other_site.url("/submit")))

    async def press_and_wait(page: Page) -> None:
        await site.open(page, "/form")
        async with page.expect_event("response", lambda response: response.request.method == "POST"):
            await page.click("button")
        await page.goto("about:blank")

    async with pool.use(0, "ada", site.hosts) as browser:
        await browser.visit_with_effect(press_and_wait)
    assert other_site.seen == []
    assert pool.statistics().refused == {other_site.host: 1}
