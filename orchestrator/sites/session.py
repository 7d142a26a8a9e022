"""One account at work on its site while a lease lasts: what jobs call. Trio side."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import structlog
import trio
from playwright.async_api import Page
from pydantic import SecretStr

from orchestrator.browser.page import open_url
from orchestrator.browser.pool import BrowserSession, ContextPool
from orchestrator.errors import (
    BrowserError,
    HostRefusedError,
    NothingSentError,
    OrchestratorError,
    PageUnexpectedError,
    PostNotPressedError,
    PostRefusedError,
    PostUnclearError,
    SignedOutError,
    SiteRateLimitedError,
    SiteUnavailableError,
)
from orchestrator.model import Listing, PostMetrics, SeenPost, Timeline, TimelineItem
from orchestrator.robots import Robots
from orchestrator.sites import driver, lists
from orchestrator.sites.answers import check_status
from orchestrator.sites.driver import AccountFigures
from orchestrator.sites.pressing import Submission
from orchestrator.sites.profile import Profile

T = TypeVar("T")

log = structlog.get_logger("sites.session")

CERTAIN = (PostRefusedError, SiteRateLimitedError, PostUnclearError)
TIMELINE_PAGES = 50
"""A timeline with more pages than this is not read to its end: it may well have none."""


@dataclass(frozen=True, slots=True)
class SiteAccount:
    """An account on a site."""

    name: str
    username: str
    password: SecretStr
    profile: Profile

    @property
    def identity(self) -> str:
        """Whose sign-in a stored state is: not that of a user or site that the settings named before."""
        return f"{self.name}/{self.username}@{urlsplit(self.profile.site.base_url).netloc}"


async def _nothing(_account: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class SignInWatch:
    """Who is asked before a sign-in and told of it afterwards, by the account's name."""

    before: Callable[[str], Awaitable[None]] = _nothing
    """Raises an error of its own when there may be none now."""
    after: Callable[[str], Awaitable[None]] = _nothing


UNWATCHED = SignInWatch()


class SiteSession:
    """Opens, reads and writes as one account. Signs in by itself, once, when the site asks for it.

    All methods raise BrowserError and its kind, SiteError and its kind, or HostRefusedError.
    """

    def __init__(self, browser: BrowserSession, account: SiteAccount, watch: SignInWatch = UNWATCHED) -> None:
        self._browser = browser
        self._watch = watch
        self._account = account
        self._next_visit_at = 0.0
        self._robots: Robots | None = None

    async def write_post(self, text: str) -> None:
        """Open the compose page and fill in the text; nothing is submitted."""
        await self._signed_in(driver.write_post, text)

    async def submit_post(self) -> str:
        """Press submit on what `write_post` filled in; returns the site's reference of the new post.

        PostRefusedError and SiteRateLimitedError mean that nothing was published. PostUnclearError
        means that it may have been: only the account's timeline tells. PostNotPressedError means that
        submit was not pressed, or that nothing was sent for it.
        """
        return await self._submit(driver.submit_post)

    async def write_reply(self, target: str, text: str) -> None:
        """Open the target's page and fill in the text; nothing is submitted.

        PostMissingError: there is no such post. AlreadyAnsweredError: the account has answered it.
        """
        await self._signed_in(driver.write_reply, self._account.username, target, text)

    async def submit_reply(self) -> str:
        """Press submit on what `write_reply` filled in; as `submit_post`."""
        return await self._submit(driver.submit_reply)

    async def _submit(self, press: Callable[..., Awaitable[str]]) -> str:
        submission = Submission()
        try:
            return await self._browser.visit_with_effect(press, self._account.profile, submission)
        except CERTAIN:
            raise
        except OrchestratorError as error:
            costs = error.costs_attempt
            if isinstance(error, NothingSentError):
                raise PostNotPressedError(f"nothing was sent: {error}", costs_attempt=costs) from error
            if submission.is_pressed:
                raise PostUnclearError(f"submit was pressed, then: {error}") from error
            raise PostNotPressedError(f"submit was not pressed: {error}", costs_attempt=costs) from error

    async def read_metrics(self, reference: str) -> PostMetrics:
        """Raises PostMissingError when the post is gone."""
        return await self._signed_in(driver.read_metrics, reference)

    async def read_account(self) -> AccountFigures:
        return await self._signed_in(driver.read_account, self._account.username)

    async def own_posts(self, limit: int) -> Timeline:
        """The newest posts, at most `limit`, white space folded."""
        url = driver.timeline_url(self._account.profile, self._account.username)
        return await self._listed(url, limit, driver.read_timeline)

    async def own_replies(self, target: str, limit: int) -> Timeline:
        """The account's own answers to a post, at most `limit`. Raises PostMissingError when it is gone."""
        url = driver.target_url(self._account.profile, target)
        return await self._listed(url, limit, driver.read_own_replies, self._account.username)

    async def _listed(
        self, url: str, limit: int, read: Callable[..., Awaitable[driver.TimelinePage]], *args: Any
    ) -> Timeline:
        posts: dict[str, TimelineItem] = {}
        for _ in range(TIMELINE_PAGES):
            page = await self._signed_in(read, *args, url)
            # A post that came in between shifts the pages: what is seen twice counts once.
            new = {item.reference: item for item in page.items if item.reference not in posts}
            posts.update(new)
            if page.next is None or len(posts) >= limit:
                return Timeline(list(posts.values())[:limit], page.is_last and len(posts) <= limit)
            url = page.next
            if not new:
                break
        raise PageUnexpectedError(f"the list of {self._account.username} at {url} leads on without end")

    async def read_list(
        self, listing: Listing, limit: int, go_on: Callable[[], bool] = lambda: True
    ) -> list[SeenPost]:
        """Posts of anybody in the site's order, at most `limit`; fewer when `go_on` says no after a page.

        RobotsForbidError: the site does not want that list to be read. PersonMissingError: it has no such
        person. PageUnexpectedError also when the profile has no such list.
        """
        url: str | None = lists.listing_url(self._account.profile, listing)
        if self._robots is None:
            self._robots = await self._visit(lists.read_robots)
        posts: dict[str, SeenPost] = {}
        while url is not None:
            page = await self._signed_in(lists.read_list, self._robots, listing, url)
            # A post that came in between shifts the pages; a page without any new one is the end.
            new = {post.reference: post for post in page.posts if post.reference not in posts}
            posts.update(new)
            url = page.next if new and len(posts) < limit and go_on() else None
        return list(posts.values())[:limit]

    async def stay_signed_in(self) -> None:
        """See whether the site still knows the account, and sign in if it does not."""
        await self._signed_in(driver.look_around)

    async def sign_in(self) -> None:
        """Sign in, whether it is needed or not, and keep the new state. Raises SignInRefusedError."""
        account = self._account
        await self._watch.before(account.name)
        await self._visit(driver.sign_in, account.username, account.password.get_secret_value())
        log.info("signed_in", account=account.name, site=account.profile.site.name)
        await self._browser.save_new_sign_in()
        await self._watch.after(account.name)

    async def _signed_in(self, fn: Callable[..., Awaitable[T]], *args: Any) -> T:
        try:
            return await self._visit(fn, *args)
        except SignedOutError as error:
            log.info("signed_out", account=self._account.name, why=str(error))
        await self.sign_in()
        return await self._visit(fn, *args)

    async def _visit(self, fn: Callable[..., Awaitable[T]], *args: Any) -> T:
        await trio.sleep_until(self._next_visit_at)
        try:
            return await self._browser.visit(fn, self._account.profile, *args)
        finally:
            self._next_visit_at = trio.current_time() + self._account.profile.limits.min_delay_s


@asynccontextmanager
async def open_site(
    pool: ContextPool, slot: int, account: SiteAccount, watch: SignInWatch = UNWATCHED
) -> AsyncIterator[SiteSession]:
    """Work as `account` in the browser context of `slot`, which the caller holds a lease on."""
    async with pool.use(slot, account.identity, account.profile.hosts) as browser:
        yield SiteSession(browser, account, watch)


async def look_at_site(pool: ContextPool, profile: Profile) -> None:
    """Ask for the sign-in page, as nobody: each profile has one, and it needs no account.

    Returns, or raises another SiteError, when the site answers. Raises SiteUnavailableError when it does not,
    and when nobody can tell since there is no browser.
    """
    try:
        await pool.visit_apart(profile.hosts, _open_sign_in, profile)
    except HostRefusedError as error:
        log.info("site_leads_elsewhere", site=profile.site.name, where=str(error))
    except BrowserError as error:
        raise SiteUnavailableError(f"it can't be looked at: {error}") from error


async def _open_sign_in(page: Page, profile: Profile) -> None:
    check_status(await open_url(page, profile.url(profile.sign_in.path), profile.rules))
