"""Sessions over a scripted site: what a real one does only at a bad moment."""

import dataclasses
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import trio
from playwright.async_api import Page
from pydantic import SecretStr

from orchestrator import crash
from orchestrator.browser.page import Answer
from orchestrator.browser.pool import ContextPool
from orchestrator.errors import (
    BrowserError,
    ContextBrokenError,
    HostRefusedError,
    OrchestratorError,
    PageUnexpectedError,
    PostNotPressedError,
    PostUnclearError,
    ProfileError,
    SignedOutError,
    SiteRateLimitedError,
    SiteUnavailableError,
)
from orchestrator.sites import Profile, SiteAccount, SiteSession, load_profile, open_site, pressing
from orchestrator.sites.answers import rate_limited
from tests.browser.harness import MemoryStore, Reply, Site, family_of, of_kind, pool_in, serve

TOP = "<!doctype html><header><a data-testid=me href=/@ada>ada</a></header><main>"
END = "</main><footer>end</footer>"
COMPOSE = """<form id=compose method=post action=/compose>
<textarea name=text></textarea><button type=submit>go</button></form>"""
ACCEPTED = "<section data-testid=accepted><article class=post data-ref={}></article></section>"


def page(body: str) -> Reply:
    return Reply(f"{TOP}{body}{END}")


def post_page(likes: str = "1,234", replies: str = "5", views: str = "1.2K") -> Reply:
    counts = {"likes": likes, "replies": replies, "views": views}
    shown = "".join(f"<b data-count={name}>{count}</b>" for name, count in counts.items())
    return page(f"<article class=post data-ref=abcd>{shown}</article>")


def article(reference: str) -> str:
    return f"<article class=post data-ref={reference}><p class=text>text  of\n{reference}</p></article>"


def timeline(references: list[str], older: str | None = None) -> Reply:
    link = f"<a rel=next href={older}>older</a>" if older else ""
    return page(f"<section class=profile><h1>ada</h1></section>{''.join(map(article, references))}{link}")


def answers_to_post(reply: Reply) -> Callable[[BaseHTTPRequestHandler], Reply]:
    """A compose page whose form gets this answer."""
    return lambda request: reply if request.command == "POST" else page(COMPOSE)


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as site:
        yield site


@pytest.fixture
def profile(site: Site) -> Profile:
    return load_profile("microblog", f"http://{site.host}")


@pytest.fixture
def account(profile: Profile) -> SiteAccount:
    return SiteAccount("ada", "ada", SecretStr("secret"), profile)


async def publish(session: SiteSession) -> str:
    await session.write_post("some text")
    return await session.submit_post()


async def test_counts_are_read_as_the_site_writes_them(
    pool: ContextPool, site: Site, account: SiteAccount
) -> None:
    site.pages["/post/abcd"] = post_page()
    async with open_site(pool, 0, account) as session:
        metrics = await session.read_metrics("abcd")
    assert (metrics.likes, metrics.replies, metrics.views) == (1234, 5, 1200)


ODD_PAGES = [
    post_page(likes="many"),
    page(""),
    page("<article class=post data-ref=other><b data-count=likes>1</b></article>"),
    Reply(post_page().body.replace(END, "")),
    Reply("\x00garbage \ufffd<<<"),
    Reply(""),
    Reply("{}", headers={"X-Kind": "json"}),
    Reply(status=403),
]


async def test_a_page_that_is_not_what_the_profile_says_is_unexpected(
    pool: ContextPool, site: Site, account: SiteAccount
) -> None:
    async with open_site(pool, 0, account) as session:
        for reply in ODD_PAGES:
            site.pages["/post/abcd"] = reply
            with pytest.raises(PageUnexpectedError):
                await session.read_metrics("abcd")


async def test_a_page_cut_off_in_the_middle_of_a_number_is_not_read(
    pool: ContextPool, site: Site, account: SiteAccount
) -> None:
    body = post_page().body
    site.pages["/post/abcd"] = Reply(body, cut_at=body.index("1,234") + 2)
    async with open_site(pool, 0, account) as session:
        with pytest.raises(SiteUnavailableError, match="ERR_CONTENT_LENGTH_MISMATCH"):
            await session.read_metrics("abcd")


async def test_the_sites_own_figure_says_when_to_come_again(
    pool: ContextPool, site: Site, account: SiteAccount
) -> None:
    async with open_site(pool, 0, account) as session:
        for wish, retry_in_s in (("30", 30.0), ("soon", None), ("-5", None), ("", None)):
            site.pages["/post/abcd"] = Reply(status=429, headers={"Retry-After": wish})
            with pytest.raises(SiteRateLimitedError) as caught:
                await session.read_metrics("abcd")
            assert caught.value.retry_in_s == retry_in_s


@pytest.mark.parametrize(
    ("wish", "retry_in_s"),
    [("Wed, 21 Oct 2026 07:30:00 GMT", 120.0), ("Wed, 21 Oct 2026 07:00:00 GMT", 0.0), ("2026", 2026.0)],
)
def test_a_date_to_come_again_is_read_by_the_sites_own_clock(wish: str, retry_in_s: float) -> None:
    headers = {"retry-after": wish, "date": "Wed, 21 Oct 2026 07:28:00 GMT"}
    assert rate_limited(Answer(429, headers, "http://a/")).retry_in_s == retry_in_s


async def test_a_timeline_whose_pages_shift_lists_each_post_once(
    pool: ContextPool, site: Site, account: SiteAccount
) -> None:
    pages = {"1": (["aaaa", "bbbb"], "/@ada?page=2"), "2": (["bbbb", "cccc"], None)}

    def show(request: BaseHTTPRequestHandler) -> Reply:
        return timeline(*pages[request.path.partition("page=")[2] or "1"])

    site.pages["/@ada"] = show
    async with open_site(pool, 0, account) as session:
        posts = (await session.own_posts(10)).items
    assert [post.reference for post in posts] == ["aaaa", "bbbb", "cccc"]
    assert posts[0].text == "text of aaaa"


ODD_TIMELINES = [
    timeline(["aaaa"], "/@ada"),
    timeline(["aaaa", "'not a reference'"]),
    page(article("aaaa")),
    Reply(timeline(["aaaa"]).body.replace(END, "")),
]


async def test_a_timeline_that_is_not_surely_whole_is_never_taken_for_one(
    pool: ContextPool, site: Site, account: SiteAccount
) -> None:
    async with open_site(pool, 0, account) as session:
        for reply in ODD_TIMELINES:
            site.pages["/@ada"] = reply
            with pytest.raises(PageUnexpectedError):
                await session.own_posts(10)


async def test_a_timeline_that_leads_to_another_host_is_refused(
    pool: ContextPool, site: Site, account: SiteAccount
) -> None:
    site.pages["/@ada"] = timeline(["aaaa"], "http://other.test/@ada")
    async with open_site(pool, 0, account) as session:
        with pytest.raises(HostRefusedError):
            await session.own_posts(10)


async def test_the_reference_of_a_new_post_is_taken_from_its_page(
    pool: ContextPool, site: Site, account: SiteAccount
) -> None:
    site.pages["/compose"] = answers_to_post(Reply(status=303, headers={"Location": "/done"}))
    site.pages["/done"] = page(ACCEPTED.format("abcd"))
    async with open_site(pool, 0, account) as session:
        assert await publish(session) == "abcd"


UNCLEAR_ANSWERS = [
    page(ACCEPTED.format("'no reference'")),
    page("<p>thanks"),
    Reply(status=302, headers={"Location": "http://other.test/"}),
    Reply(status=302, headers={"Location": "/sign-in"}),
    Reply(status=400),
    Reply(page(ACCEPTED.format("abcd")).body, status=503),
    Reply(lost=True),
]


async def test_no_clear_answer_to_a_submit_is_unclear_and_sent_once(
    pool: ContextPool, site: Site, account: SiteAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pressing, "MARKS_WITHIN_S", 0.3)
    async with open_site(pool, 0, account) as session:
        for reply in UNCLEAR_ANSWERS:
            site.pages["/compose"] = answers_to_post(reply)
            with pytest.raises(PostUnclearError):
                await publish(session)
    assert site.seen.count(("POST", "/compose")) == len(UNCLEAR_ANSWERS)


async def test_a_browser_that_dies_over_a_submit_leaves_the_post_unclear(
    pool: ContextPool, site: Site, account: SiteAccount
) -> None:
    def compose(request: BaseHTTPRequestHandler) -> Reply:
        if request.command == "POST":
            os.kill(pool.process_ids()[1], signal.SIGKILL)
            return Reply(lost=True)
        return page(COMPOSE)

    site.pages["/compose"] = compose
    async with open_site(pool, 0, account) as session:
        with pytest.raises(PostUnclearError, match="submit was pressed"):
            await publish(session)
    assert pool.is_broken(0)
    site.pages["/post/abcd"] = post_page()
    async with open_site(pool, 0, account) as session:
        await session.read_metrics("abcd")


@pytest.mark.parametrize(("dies", "error"), [("browser", PostNotPressedError), ("driver", PostUnclearError)])
async def test_only_a_form_that_surely_died_with_its_browser_was_not_sent(
    pool: ContextPool,
    site: Site,
    account: SiteAccount,
    monkeypatch: pytest.MonkeyPatch,
    dies: str,
    error: type[OrchestratorError],
) -> None:
    """Killed while the form's request is held, before it is handed on. A dying driver may let it go."""
    site.pages["/compose"] = page(COMPOSE)

    def kill(point: str) -> None:
        if point == "send:before":
            os.kill(pool.process_ids()[dies == "browser"], signal.SIGKILL)

    async with open_site(pool, 0, account) as session:
        await session.write_post("some text")
        monkeypatch.setattr(crash, "_on_reach", kill)
        with pytest.raises(error) as caught:
            await session.submit_post()
    assert pool.is_broken(0)
    assert isinstance(caught.value.__cause__, ContextBrokenError)
    if dies == "browser":
        assert not caught.value.costs_attempt
        assert ("POST", "/compose") not in site.seen


@pytest.mark.parametrize("dies", ["renderer", "browser", "driver"])
async def test_what_dies_before_the_press_costs_no_try_and_presses_nothing(
    pool: ContextPool, site: Site, account: SiteAccount, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    site.pages["/compose"] = page(COMPOSE)
    check = pressing.check_button

    async def kill_and_check(page: Page, button: str, within_s: float) -> None:
        renderers = [process.pid for process in of_kind(family_of(pool.process_ids()[1]), "renderer")]
        driver, browser = pool.process_ids()
        for pid in {"driver": [driver], "browser": [browser], "renderer": renderers}[dies]:
            os.kill(pid, signal.SIGKILL)
        await check(page, button, within_s)

    async with open_site(pool, 0, account) as session:
        await session.write_post("some text")
        monkeypatch.setattr(pressing, "check_button", kill_and_check)
        with pytest.raises(PostNotPressedError) as caught:
            await session.submit_post()
    assert not caught.value.costs_attempt
    assert ("POST", "/compose") not in site.seen


async def test_a_submit_whose_button_is_gone_presses_nothing(
    pool: ContextPool, site: Site, account: SiteAccount
) -> None:
    site.pages["/compose"] = page(COMPOSE.replace("submit>go", "reset>no"))
    async with open_site(pool, 0, account) as session:
        with pytest.raises(PageUnexpectedError, match="pressed in"):
            await publish(session)
    assert ("POST", "/compose") not in site.seen


async def test_a_site_that_forgets_us_at_once_is_signed_in_to_only_once(
    pool: ContextPool, site: Site, account: SiteAccount
) -> None:
    fields = "<input name=username><input name=password type=password><button type=submit>in</button>"
    form = f"<form id=sign-in method=post action=/sign-in>{fields}</form>"
    signed_out = Reply(f"<header><a href=/sign-in>in</a></header><main>{form}{END}")

    def sign_in(request: BaseHTTPRequestHandler) -> Reply:
        return page("") if request.command == "POST" else signed_out

    site.pages |= {"/sign-in": sign_in, "/post/abcd": signed_out}
    async with open_site(pool, 0, account) as session:
        with pytest.raises(SignedOutError):
            await session.read_metrics("abcd")
    assert site.seen.count(("POST", "/sign-in")) == 1


async def test_a_selector_that_only_the_browser_refuses_is_a_fault_of_the_profile(
    pool: ContextPool, site: Site, profile: Profile
) -> None:
    odd = profile.model_copy(
        update={"timeline": profile.timeline.model_copy(update={"item": "article:unheard-of"})}
    )
    site.pages["/@ada"] = timeline(["aaaa"])
    async with open_site(pool, 0, SiteAccount("ada", "ada", SecretStr("x"), odd)) as session:
        with pytest.raises(ProfileError, match="unheard-of"):
            await session.own_posts(1)


async def test_pages_are_opened_no_faster_than_the_profile_allows(
    pool: ContextPool, site: Site, profile: Profile
) -> None:
    slow = profile.model_copy(update={"limits": profile.limits.model_copy(update={"min_delay_s": 3600})})
    site.pages["/post/abcd"] = post_page()
    async with open_site(pool, 0, SiteAccount("ada", "ada", SecretStr("x"), slow)) as session:
        await session.read_metrics("abcd")
        with trio.move_on_after(0.2) as scope:
            await session.read_metrics("abcd")
    assert scope.cancelled_caught
    assert site.seen.count(("GET", "/post/abcd")) == 1


@pytest.mark.parametrize("change", ["username", "site"])
async def test_the_stored_sign_in_of_another_user_or_site_is_not_taken(
    tmp_path: Path, site: Site, account: SiteAccount, change: str
) -> None:
    cookies: list[str | None] = []

    def show(request: BaseHTTPRequestHandler) -> Reply:
        cookies.append(request.headers["Cookie"])
        return dataclasses.replace(post_page(), headers={"Set-Cookie": "user=ada; Path=/; Max-Age=10000"})

    store = MemoryStore()
    with serve() as other_site:
        site.pages["/post/abcd"] = other_site.pages["/post/abcd"] = show
        if change == "username":
            other = dataclasses.replace(account, username="bert")
        else:
            other = dataclasses.replace(account, profile=load_profile("microblog", other_site.url("")))
        for who in (account, account, other):
            async with pool_in(tmp_path, store) as pool, open_site(pool, 0, who) as session:
                await session.read_metrics("abcd")
    assert cookies == [None, "user=ada", None]


async def test_a_password_that_a_field_does_not_take_is_in_no_part_of_the_error(
    pool: ContextPool, site: Site, account: SiteAccount
) -> None:
    fields = "<input name=username><input name=password type=number><button type=submit>in</button>"
    site.pages["/sign-in"] = Reply(f"<form id=sign-in method=post>{fields}</form>{END}")
    async with open_site(pool, 0, dataclasses.replace(account, password=SecretStr("canary"))) as session:
        with pytest.raises(BrowserError, match="Cannot type text") as caught:
            await session.sign_in()
    assert "canary" not in "".join(traceback.format_exception(caught.value))


async def test_an_error_names_a_page_without_its_query(
    pool: ContextPool, site: Site, account: SiteAccount
) -> None:
    site.pages["/post/abcd"] = Reply(status=302, headers={"Location": "/other?token=canary#canary"})
    site.pages["/other"] = Reply(status=403)
    async with open_site(pool, 0, account) as session:
        with pytest.raises(PageUnexpectedError, match=r"/other answers 403$"):
            await session.read_metrics("abcd")
