"""Requests with an effect: the site gets each at most once, whatever becomes of the answer."""

import threading
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler

import pytest
import trio
from playwright.async_api import Page, Request
from pydantic import ValidationError

from orchestrator.browser.once import SEND_TIMEOUT_S
from orchestrator.browser.pool import ContextPool
from orchestrator.errors import PageUnexpectedError
from orchestrator.settings import PostingSettings
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


async def test_a_form_that_sends_by_get_is_sent_once_and_led_on(pool: ContextPool, site: Site) -> None:
    site.pages["/form"] = Reply(FORM.replace("method=post", "method=get"))
    site.pages["/submit"] = Reply(lost=True)

    async def press_lost(page: Page) -> None:
        await site.open(page, "/form")
        async with page.expect_event("requestfailed"):
            await page.click("button")

    async def press_well(page: Page) -> str:
        await site.open(page, "/form")
        await page.click("button")
        await page.wait_for_url("**/done")
        return page.url

    async with pool.use(0, "ada", site.hosts) as browser:
        await browser.visit(site.open)
        await browser.visit_with_effect(press_lost)
        assert site.seen.count(("GET", "/submit")) == 1
        site.pages["/submit"] = Reply(status=302, headers={"Location": "/done"})
        assert await browser.visit_with_effect(press_well) == site.url("/done")
    assert site.seen.count(("GET", "/submit")) == 2


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


@pytest.mark.parametrize("status", [307, 308])
async def test_a_form_that_is_to_be_sent_on_is_not_sent_past_us(
    pool: ContextPool, site_with_form: Site, status: int
) -> None:
    site = site_with_form
    site.pages["/submit"] = Reply(status=status, headers={"Location": "/elsewhere"})
    async with pool.use(0, "ada", site.hosts) as browser:
        assert await browser.visit_with_effect(press_in_vain, site)
    assert [path for method, path in site.seen if method == "POST"] == ["/submit"]


async def test_a_form_that_opens_a_window_is_sent_once_too(pool: ContextPool, site: Site) -> None:
    site.pages["/form"] = Reply(FORM.replace("<form", "<form target=_blank"))
    site.pages["/submit"] = Reply(lost=True)

    async def press_for_window(page: Page) -> None:
        await site.open(page, "/form")
        async with page.context.expect_event("requestfailed", lambda request: request.method == "POST"):
            await page.click("button")

    async with pool.use(0, "ada", site.hosts) as browser:
        await browser.visit(site.open)
        await browser.visit_with_effect(press_for_window)
    assert site.seen.count(("POST", "/submit")) == 1


TRY_AGAIN = """async path => {
  const tries = [];
  for (const number of [1, 2, 3]) {
    const answer = await fetch(`${path}?try=${number}`, {method: 'POST', body: 'x'}).catch(() => null);
    tries.push(answer ? answer.status : 0);
  }
  return tries;
}"""


@pytest.mark.parametrize(
    ("answer", "tries"),
    [(Reply(lost=True), [0, 0, 0]), (Reply(status=502), [502, 0, 0])],
    ids=["lost", "502"],
)
async def test_a_script_that_tries_again_is_not_let_through(
    pool: ContextPool, site: Site, answer: Reply, tries: list[int]
) -> None:
    site.pages["/submit"] = answer

    async def submit(page: Page) -> list[list[int]]:
        await site.open(page)
        return [await page.evaluate(TRY_AGAIN, "/submit"), await page.evaluate(TRY_AGAIN, "/other")]

    async with pool.use(0, "ada", site.hosts) as browser:
        assert await browser.visit_with_effect(submit) == [tries, [200, 200, 200]]
        # The next submit is another one.
        site.pages["/submit"] = Reply()
        assert (await browser.visit_with_effect(submit))[0] == [200, 200, 200]
    assert site.seen.count(("POST", "/submit")) == 1 + 3


GIVE_UP = """async kind => {
  const bodies = {
    none: () => undefined,
    json: number => JSON.stringify({text: 'a b', attempt: number}),
    form: () => { const form = new FormData(); form.set('text', 'a b'); return form; },
  };
  const send = (number, options) =>
    fetch('/submit', {method: 'POST', body: bodies[kind](number), ...options}).then(a => a.status, () => 0);
  const impatience = new AbortController();
  const first = send(1, {signal: impatience.signal});
  await fetch('/arrived');
  const tries = kind === 'none' ? [await send(1, {})] : [];
  impatience.abort();
  await first;
  const next = send(2, {});
  await fetch('/given-up');
  return [...tries, await next, await send(3, {})];
}"""


def keep_the_form_waiting(site: Site) -> None:
    """The form has no answer until a script asks for /given-up; /arrived waits until its request has come."""
    arrived, given_up = threading.Event(), threading.Event()

    def submit(_request: BaseHTTPRequestHandler) -> Reply:
        arrived.set()
        given_up.wait(20)
        return Reply()

    def wait_for_arrival(_request: BaseHTTPRequestHandler) -> Reply:
        arrived.wait(20)
        return Reply()

    def give_up(_request: BaseHTTPRequestHandler) -> Reply:
        given_up.set()
        return Reply()

    site.pages |= {"/submit": submit, "/arrived": wait_for_arrival, "/given-up": give_up}


@pytest.mark.parametrize(("kind", "tries"), [("none", [0, 0, 0]), ("json", [0, 0]), ("form", [0, 0])])
async def test_a_script_that_gives_up_waiting_does_not_send_again(
    pool: ContextPool, site: Site, kind: str, tries: list[int]
) -> None:
    keep_the_form_waiting(site)

    async def run(page: Page) -> list[int]:
        await site.open(page)
        found: list[int] = await page.evaluate(GIVE_UP, kind)
        return found

    async with pool.use(0, "ada", site.hosts) as browser:
        assert await browser.visit_with_effect(run) == tries
    assert site.seen.count(("POST", "/submit")) == 1


RACE = """async () => {
  const send = number => fetch('/submit', {method: 'POST', body: JSON.stringify({text: 'a b', try: number})})
    .then(answer => answer.status, () => 0);
  const first = send(1);
  await fetch('/arrived');
  const second = send(2);
  await fetch('/given-up');
  return [await first, await second];
}"""


async def test_a_script_that_does_not_break_off_what_it_stops_waiting_for_does_not_send_again(
    pool: ContextPool, site: Site
) -> None:
    keep_the_form_waiting(site)

    async def run(page: Page) -> list[int]:
        await site.open(page)
        found: list[int] = await page.evaluate(RACE)
        return found

    async with pool.use(0, "ada", site.hosts) as browser:
        assert await browser.visit_with_effect(run) == [200, 0]
    assert site.seen.count(("POST", "/submit")) == 1


@pytest.mark.parametrize("ends_well", [True, False])
async def test_an_answer_without_end_is_broken_off_with_the_visit(
    pool: ContextPool, site_with_form: Site, ends_well: bool
) -> None:
    site = site_with_form
    flows, broken_off = threading.Event(), threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> Reply:
        request.send_response(200)
        request.send_header("Content-Length", str(2**40))
        request.end_headers()
        try:
            while not broken_off.wait(0.01):
                request.wfile.write(b"x" * 1000)
                flows.set()
        except OSError:
            broken_off.set()
        return Reply(lost=True)

    def wait_for_flow(_request: BaseHTTPRequestHandler) -> Reply:
        flows.wait(20)
        return Reply()

    site.pages |= {"/submit": answer, "/flows": wait_for_flow}

    async def submit(page: Page) -> None:
        await site.open(page, "/form")
        await page.evaluate("void fetch('/submit', {method: 'POST'})")
        await page.evaluate("fetch('/flows')")
        if not ends_well:
            raise PageUnexpectedError("no mark")

    try:
        async with pool.use(0, "ada", site.hosts) as browser:
            if ends_well:
                await browser.visit_with_effect(submit)
            else:
                with pytest.raises(PageUnexpectedError):
                    await browser.visit_with_effect(submit)
            assert await trio.to_thread.run_sync(broken_off.wait, 20)
            await browser.visit(site.open)
    finally:
        broken_off.set()
    assert site.seen.count(("POST", "/submit")) == 1


@pytest.mark.parametrize("ends_well", [True, False])
async def test_what_is_under_way_when_a_visit_ends_is_not_sent_again(
    pool: ContextPool, site: Site, ends_well: bool
) -> None:
    arrived, is_over = threading.Event(), threading.Event()
    answers: list[str] = []

    def submit(request: BaseHTTPRequestHandler) -> Reply:
        answers.append(request.path)
        arrived.set()
        is_over.wait(20)
        return Reply()

    def wait_for_arrival(_request: BaseHTTPRequestHandler) -> Reply:
        arrived.wait(20)
        return Reply()

    site.pages |= {"/submit": submit, "/arrived": wait_for_arrival}

    async def leave_under_way(page: Page) -> None:
        await site.open(page)
        await page.evaluate("void fetch('/submit', {method: 'POST', body: 'x'}).catch(() => 0)")
        await page.evaluate("fetch('/arrived').then(() => 0)")
        if not ends_well:
            raise PageUnexpectedError("no mark")

    try:
        async with pool.use(0, "ada", site.hosts) as browser:
            with nullcontext() if ends_well else pytest.raises(PageUnexpectedError):
                await browser.visit_with_effect(leave_under_way)
            # What Chromium sends by itself it has sent before the answers to these.
            for _ in range(3):
                assert (await browser.visit(site.open)).status == 200
    finally:
        is_over.set()
    assert len(answers) == 1


async def test_after_a_submit_that_went_well_its_page_sends_nothing_more(
    pool: ContextPool, site: Site
) -> None:
    go_on = threading.Event()

    def wait(_request: BaseHTTPRequestHandler) -> Reply:
        go_on.wait(20)
        return Reply()

    site.pages["/wait"] = wait

    async def submit(page: Page) -> None:
        await site.open(page)
        await page.evaluate("() => void fetch('/wait').then(() => fetch('/submit', {method: 'POST'}))")

    try:
        async with pool.use(0, "ada", site.hosts) as browser:
            await browser.visit_with_effect(submit)
            go_on.set()
            place: str = await browser.visit(where)
            for _ in range(3):
                assert (await browser.visit(site.open)).status == 200
    finally:
        go_on.set()
    assert place == "about:blank"
    assert ("POST", "/submit") not in site.seen


async def where(page: Page) -> str:
    return page.url


async def test_after_a_submit_that_failed_its_page_sends_nothing_more(pool: ContextPool, site: Site) -> None:
    go_on, ended = threading.Event(), threading.Event()

    def wait(_request: BaseHTTPRequestHandler) -> Reply:
        go_on.wait(20)
        return Reply()

    def note(_request: BaseHTTPRequestHandler) -> Reply:
        ended.set()
        return Reply()

    site.pages |= {"/wait": wait, "/ended": note}

    async def submit(page: Page) -> None:
        await site.open(page)
        await page.evaluate(
            """() => void fetch('/wait').then(() => fetch('/submit', {method: 'POST'}))
            .catch(() => 0).then(() => fetch('/ended'))"""
        )
        raise PageUnexpectedError("no mark")

    try:
        async with pool.use(0, "ada", site.hosts) as browser:
            with pytest.raises(PageUnexpectedError):
                await browser.visit_with_effect(submit)
            go_on.set()
            assert await trio.to_thread.run_sync(ended.wait, 20)
            assert (await browser.visit(site.open)).status == 200
            assert pool.statistics().slots[0].renewals == 1
    finally:
        go_on.set()
    assert ("POST", "/submit") not in site.seen


async def test_pages_have_no_shared_workers_whose_requests_nobody_would_see(
    pool: ContextPool, site: Site
) -> None:
    async def look(page: Page) -> list[str]:
        await site.open(page)
        return await page.evaluate("[typeof Worker, typeof SharedWorker]")  # type: ignore[no-any-return]

    async with pool.use(0, "ada", site.hosts) as browser:
        assert await browser.visit(look) == ["function", "undefined"]


def test_no_post_is_judged_missing_while_it_may_be_under_way() -> None:
    with pytest.raises(ValidationError, match="settle_s"):
        PostingSettings(settle_s=SEND_TIMEOUT_S)
