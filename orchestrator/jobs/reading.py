"""What the jobs share that read other people's posts: whom they read as, and which lists."""

import re
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from orchestrator.actors.job import Run
from orchestrator.cache.lists import ScrapedLists
from orchestrator.db import peers
from orchestrator.errors import (
    BrowserError,
    PersonMissingError,
    RobotsForbidError,
    SignedOutError,
    SignInRefusedError,
    SiteError,
    SiteRateLimitedError,
    SiteUnavailableError,
)
from orchestrator.jobs.apart import Apart
from orchestrator.jobs.tools import Account, Tools, Visit
from orchestrator.model import Listing, ListKind, Outcome, SeenPost, done, fingerprint, nothing_to_do

LISTS: ScrapedLists[SeenPost] = ScrapedLists("lists", SeenPost)
MAX_FAILED_IN_A_ROW = 3
"""After so many the trouble is the site's and not a list's."""
OF_ALL_LISTS = (SignInRefusedError, SignedOutError, SiteRateLimitedError, SiteUnavailableError, BrowserError)
"""What every other list of the site would meet too."""
_WORD = re.compile(r"\w+")

Take = Callable[[Listing, list[SeenPost]], Awaitable[None]]
"""What becomes of the posts of a list."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A random part of a list: `count` posts."""

    listing: Listing
    count: int


def has_list(account: Account, kind: ListKind) -> bool:
    """Whether the account's site has such lists."""
    lists = account.site.profile.lists
    return lists is not None and lists.path_of(kind) is not None


async def inventory(tools: Tools) -> tuple[Sequence[str], Sequence[str]]:
    """Our topics and formats."""
    found = (await tools.writer.read()).inventory
    return found.topics, found.formats


def topic_of(text: str, topics: Iterable[str]) -> str | None:
    """The first of `topics` whose words a text has, or their words as one, as hashtags have them."""
    words = _words(text)
    for topic in topics:
        wanted = _WORD.findall(topic.casefold())
        if wanted and (words.issuperset(wanted) or "".join(wanted) in words):
            return topic
    return None


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


def reactions(post: SeenPost) -> int:
    """What people made of a post, as far as its list shows it; a reply counts for two likes."""
    return (post.likes or 0) + 2 * (post.replies or 0)


class Reading:
    """One run that reads lists: site by site, as one account of each."""

    def __init__(self, run: Run, tools: Tools) -> None:
        tools.refusals.heed(run)
        self.apart = Apart(run)
        self._run = run
        self._tools = tools
        self._counts = {"read": 0, "gone": 0, "failed": 0, "forbidden": 0, "gave_back": 0}
        self._posts = 0

    def accounts(self) -> list[Account]:
        """One account for each site that has lists, at random among those that may be used."""
        by_site: dict[str, list[Account]] = {}
        for name, account in self._tools.accounts.items():
            may = not self._tools.refusals.is_refused(name) and self._tools.standing.is_for(self._run, name)
            if account.site.profile.lists is not None and may:
                by_site.setdefault(account.settings.site, []).append(account)
        return [self._tools.rng.choice(found) for _, found in sorted(by_site.items())]

    async def read(self, account: Account, wanted: Iterable[Wanted], take: Take) -> None:
        """Read the lists; a slot that is called back is given back after the present page and asked for anew.

        `take` gets what each shows of other people.
        """
        left = deque(one for one in wanted if has_list(account, one.listing.kind))
        while left:
            async with self._tools.visit(self._run, account) as visit:
                await self._read_some(visit, account, left, take)
            if left:
                self._counts["gave_back"] += 1
                self._run.log.info("gave_slot_back", account=account.name, left=len(left))

    async def _read_some(self, visit: Visit, account: Account, left: deque[Wanted], take: Take) -> None:
        in_a_row = 0
        own = {self._tools.accounts[name].site.username.casefold() for name in self._tools.beside(account)}
        while left and not visit.lease.is_called_back:
            one = left.popleft()
            try:
                posts = await self._sample(visit, account, one)
            except OF_ALL_LISTS:
                self._note("failed", one, "")
                raise
            except RobotsForbidError as error:
                self._note("forbidden", one, str(error))
            except PersonMissingError as error:
                self._note("gone", one, str(error))
                site, fence = account.settings.site, self._tools.fence.number
                await self._tools.database.run(peers.drop, site, one.listing.what, fence)
            except SiteError as error:
                self._note("failed", one, str(error))
                in_a_row += 1
                if in_a_row == MAX_FAILED_IN_A_ROW:
                    raise
            else:
                in_a_row = 0
                self._note("read", one, "")
                others = [post for post in posts if post.author.casefold() not in own and post.text]
                self._posts += len(others)
                await take(one.listing, others)

    async def _sample(self, visit: Visit, account: Account, one: Wanted) -> list[SeenPost]:
        listing = one.listing
        name = f"{account.settings.site}/{listing.kind}/{fingerprint(listing.what)}"
        go_on = partial(_may_go_on, visit)

        async def read(limit: int) -> list[SeenPost]:
            return await visit.site.read_list(listing, limit, go_on)

        return await LISTS.sample(self._tools.cache, self._tools.rng, name, one.count, read)

    def _note(self, outcome: str, one: Wanted, why: str) -> None:
        self._counts[outcome] += 1
        self._tools.metrics.lists_read.labels(job_name=self._run.job, outcome=outcome).inc()
        self._run.beat(f"{self._counts['read']} lists read")
        if why:
            kind, what = str(one.listing.kind), one.listing.what
            self._run.log.warning("list_not_read", kind=kind, what=what, error=why)

    def end(self, what: str, **figures: int) -> Outcome:
        """How the run ends; `what` says what came of it."""
        if not any(self._counts.values()):
            return self.apart.end(nothing_to_do("no list is to be read"))
        line = f"{self._counts['read']} lists read, {self._posts} posts of others; {what}"
        if self._counts["forbidden"]:
            line += f"; {self._counts['forbidden']} forbidden by robots.txt"
        if self._counts["failed"]:
            line += f"; {self._counts['failed']} not readable"
        return self.apart.end(done(line, posts=self._posts, **self._counts, **figures))


def _may_go_on(visit: Visit) -> bool:
    return not visit.lease.is_called_back
