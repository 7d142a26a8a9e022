"""The driver over a scripted site: what it makes of answers and timelines that could mean two things."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from playwright.async_api import Page
from pydantic import SecretStr

from orchestrator.browser.page import Answer
from orchestrator.browser.pool import ContextPool
from orchestrator.errors import (
    PageUnexpectedError,
    PostNotPressedError,
    PostRefusedError,
    PostUnclearError,
    SignInRefusedError,
    SiteRateLimitedError,
    SiteUnavailableError,
)
from orchestrator.model import Timeline, TimelineItem
from orchestrator.sites import Profile, SiteAccount, SiteSession, driver, load_profile, open_site, pressing
from orchestrator.sites.answers import rate_limited
from tests.browser.harness import Reply, Site, serve

TOP = "<!doctype html><header><a data-testid=me href=/@ada>ada</a></header><main>"
END = "</main><footer>end</footer>"
COMPOSE = """<form id=compose method=post action=/compose>
<textarea name=text></textarea><button type=submit>go</button></form>"""
ACCEPTED = "<section data-testid=accepted><article class=post data-ref=abcd></article></section>"
REFUSED = "<p class=error id=refusal>no</p>"
PATIENCE = {"Retry-After": "40"}


def page(body: str) -> Reply:
    return Reply(f"{TOP}{body}{END}")


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as site:
        yield site


@pytest.fixture
def profile(site: Site) -> Profile:
    return load_profile("microblog", f"http://{site.host}")


def ada(profile: Profile) -> SiteAccount:
    return SiteAccount("ada", "ada", SecretStr("secret"), profile)


async def publish(pool: ContextPool, profile: Profile) -> str:
    async with open_site(pool, 0, ada(profile)) as session:
        await session.write_post("some text")
        return await session.submit_post()


def answering(reply: Reply) -> Callable[[BaseHTTPRequestHandler], Reply]:
    """A compose page whose form gets this answer."""
    return lambda request: reply if request.command == "POST" else page(COMPOSE)


# ── after a press ───────────────────────────────────────────────────────────────────────────────


async def test_a_429_to_the_submit_itself_says_that_nothing_was_taken(
    pool: ContextPool, site: Site, profile: Profile
) -> None:
    site.pages["/compose"] = answering(Reply(status=429, headers=PATIENCE))
    with pytest.raises(SiteRateLimitedError) as caught:
        await publish(pool, profile)
    assert caught.value.retry_in_s == 40


@pytest.mark.parametrize(
    "wish", ["86401", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"], ids=["a day", "for ever", "the last date"]
)
def test_no_site_is_waited_for_longer_than_a_day(wish: str) -> None:
    headers = {"retry-after": wish, "date": "Wed, 21 Oct 2026 07:28:00 GMT"}
    assert rate_limited(Answer(429, headers, "http://a/")).retry_in_s == 86_400


async def test_a_429_of_a_later_page_says_nothing_of_the_post(
    pool: ContextPool, site: Site, profile: Profile
) -> None:
    site.pages["/compose"] = answering(Reply(status=303, headers={"Location": "/done"}))
    site.pages["/done"] = Reply(status=429, headers=PATIENCE)
    with pytest.raises(PostUnclearError):
        await publish(pool, profile)
    assert site.seen.count(("POST", "/compose")) == 1


async def test_a_page_that_both_accepts_and_refuses_is_unclear(
    pool: ContextPool, site: Site, profile: Profile
) -> None:
    site.pages["/compose"] = answering(page(ACCEPTED + REFUSED))
    with pytest.raises(PostUnclearError):
        await publish(pool, profile)


SCRIPTED = f"""{COMPOSE}<script>
document.querySelector('form').addEventListener('submit', async event => {{
  event.preventDefault();
  const body = new URLSearchParams(new FormData(event.target));
  const answer = await fetch('/compose', {{method: 'POST', body}}).catch(() => null);
  if (!answer || !answer.ok) document.querySelector('main').insertAdjacentHTML('beforeend', `{REFUSED}`);
}});</script>"""


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Reply(lost=True), PostUnclearError),
        (Reply(status=502), PostUnclearError),
        (Reply(status=429, headers=PATIENCE), SiteRateLimitedError),
        (Reply(status=422), PostRefusedError),
    ],
    ids=["lost", "502", "429", "422"],
)
async def test_a_scripts_word_that_it_did_not_work_is_not_the_sites(
    pool: ContextPool, site: Site, profile: Profile, answer: Reply, error: type[Exception]
) -> None:
    site.pages["/compose"] = lambda request: answer if request.command == "POST" else page(SCRIPTED)
    with pytest.raises(error):
        await publish(pool, profile)


HASTY = """{compose}<script>
document.querySelector('form').addEventListener('submit', event => {{
  event.preventDefault();
  document.querySelector('main').insertAdjacentHTML('beforeend', `{mark}`);
  const body = new URLSearchParams(new FormData(event.target));
  setTimeout(() => fetch('/compose', {{method: 'POST', body}}));
}});</script>"""


@pytest.mark.parametrize("status", [200, 422, 502])
@pytest.mark.parametrize("mark", [ACCEPTED, REFUSED], ids=["accepted", "refused"])
async def test_a_page_that_does_not_wait_for_the_answer_is_not_believed(
    pool: ContextPool, site: Site, profile: Profile, mark: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_noted = threading.Event()
    note_marks = pressing._Answers.note_marks

    async def tell(answers: pressing._Answers) -> None:
        is_noted.set()
        await note_marks(answers)

    def answer(request: BaseHTTPRequestHandler) -> Reply:
        if request.command != "POST":
            return hasty
        is_noted.wait(20)
        return Reply(status=status)

    monkeypatch.setattr(pressing._Answers, "note_marks", tell)
    hasty = page(HASTY.format(compose=COMPOSE, mark=mark))
    site.pages["/compose"] = answer
    with pytest.raises(PostUnclearError):
        await publish(pool, profile)
    assert site.seen.count(("POST", "/compose")) == 1


async def test_a_mark_is_not_believed_while_a_request_of_the_press_is_under_way(
    pool: ContextPool, site: Site, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a script that lets the request race against a timer, and does not break the loser off."""
    is_over = threading.Event()
    hasty = page(HASTY.format(compose=COMPOSE, mark=REFUSED))

    def answer(request: BaseHTTPRequestHandler) -> Reply:
        if request.command != "POST":
            return hasty
        is_over.wait(20)
        return Reply()

    site.pages["/compose"] = answer
    brief = profile.model_copy(update={"compose": profile.compose.model_copy(update={"answer_within_s": 2})})
    try:
        with pytest.raises(PostUnclearError, match="still under way"):
            await publish(pool, brief)
    finally:
        is_over.set()


async def test_what_else_a_page_sends_does_not_make_its_answer_unclear(
    pool: ContextPool, site: Site, profile: Profile
) -> None:
    counting = "<script>fetch('/count', {method: 'POST', body: 'seen'})</script>"
    site.pages["/compose"] = answering(page(ACCEPTED + counting))
    assert await publish(pool, profile) == "abcd"


SCRIPTED_SIGN_IN = f"""<!doctype html><header><a href=/sign-in>in</a></header><main>
<form id=sign-in><input name=username><input name=password type=password>
<button type=submit>in</button></form><script>
document.querySelector('form').addEventListener('submit', async event => {{
  event.preventDefault();
  const answer = await fetch('/sign-in', {{method: 'POST', body: 'x'}}).catch(() => null);
  if (!answer || !answer.ok) document.querySelector('main').insertAdjacentHTML('beforeend', `{REFUSED}`);
}});</script>{END}"""


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Reply(lost=True), SiteUnavailableError),
        (Reply(status=502), SiteUnavailableError),
        (Reply(status=422), SignInRefusedError),
    ],
    ids=["lost", "502", "422"],
)
async def test_only_the_sites_own_refusal_of_a_sign_in_is_one(
    pool: ContextPool, site: Site, profile: Profile, answer: Reply, error: type[Exception]
) -> None:
    """An account that was refused is not signed in again by itself; a site that was away is."""
    site.pages["/sign-in"] = lambda request: answer if request.command == "POST" else Reply(SCRIPTED_SIGN_IN)
    async with open_site(pool, 0, ada(profile)) as session:
        with pytest.raises(error):
            await session.sign_in()


DISABLED = COMPOSE.replace("<button", "<button disabled")


async def test_a_button_that_stays_disabled_is_found_out_before_the_press(
    pool: ContextPool, site: Site, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "BUTTON_WITHIN_S", 0.3)
    site.pages["/compose"] = page(DISABLED)
    async with open_site(pool, 0, ada(profile)) as session:
        with pytest.raises(PageUnexpectedError, match="can't be pressed"):
            await session.write_post("some text")
    assert ("POST", "/compose") not in site.seen


@pytest.mark.parametrize("does", ["disable", "hang"])
async def test_a_button_that_can_no_longer_be_pressed_is_not_waited_for(
    pool: ContextPool, site: Site, profile: Profile, does: str
) -> None:
    """The daemon has made sure that it may press just before: a late press would be one without that."""
    site.pages["/compose"] = page(COMPOSE)

    async def spoil(page: Page) -> None:
        if does == "disable":
            await page.evaluate("() => { document.querySelector('button').disabled = true }")
        else:
            await page.evaluate("() => { setTimeout(() => { for (;;); }) }")

    async with pool.use(0, ada(profile).identity, profile.hosts) as browser:
        session = SiteSession(browser, ada(profile))
        await session.write_post("some text")
        await browser.visit(spoil)
        with pytest.raises(PostNotPressedError):
            await session.submit_post()
    assert ("POST", "/compose") not in site.seen


# ── timelines ───────────────────────────────────────────────────────────────────────────────────

HEAD = "<section class=profile><h1>ada</h1></section>"
ITEM = "<article class=post data-ref=abcd><p class=text>one<br>two</p></article>"


async def read(pool: ContextPool, profile: Profile) -> Timeline:
    async with open_site(pool, 0, ada(profile)) as session:
        return await session.own_posts(10)


async def test_a_timeline_without_a_link_to_older_posts_is_whole(
    pool: ContextPool, site: Site, profile: Profile
) -> None:
    site.pages["/@ada"] = page(HEAD + ITEM)
    assert await read(pool, profile) == Timeline([TimelineItem("abcd", "onetwo")], is_whole=True)


@pytest.mark.parametrize("link", ["<a rel=next>older</a>", "<a rel=next href='javascript:more()'>older</a>"])
async def test_a_timeline_whose_way_to_older_posts_is_no_link_is_not_surely_whole(
    pool: ContextPool, site: Site, profile: Profile, link: str
) -> None:
    site.pages["/@ada"] = page(HEAD + ITEM + link)
    found = await read(pool, profile)
    assert ([item.reference for item in found.items], found.is_whole) == (["abcd"], False)


@pytest.mark.parametrize(("items", "is_whole"), [(ITEM, False), ("", True)])
async def test_without_the_profiles_word_on_older_posts_only_an_empty_timeline_is_surely_whole(
    pool: ContextPool, site: Site, profile: Profile, items: str, is_whole: bool
) -> None:
    brief = profile.model_copy(update={"timeline": profile.timeline.model_copy(update={"next": None})})
    site.pages["/@ada"] = page(HEAD + items)
    assert (await read(pool, brief)).is_whole == is_whole
