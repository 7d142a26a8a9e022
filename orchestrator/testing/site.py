"""A site in memory that behaves, towards the jobs, as `SiteSession` on a real one does.

Its ledger is the truth that tests compare with: what was accepted, in order. Troubles are scripted by
the name of the method; each is used once, the next call goes well.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

import trio

from orchestrator.errors import (
    AlreadyAnsweredError,
    PageUnexpectedError,
    PersonMissingError,
    PostMissingError,
    PostUnclearError,
)
from orchestrator.model import Listing, ListKind, PostMetrics, SeenPost, Timeline, TimelineItem
from orchestrator.sites.driver import AccountFigures
from orchestrator.sites.session import SiteAccount

LIST_PAGE = 20
"""Posts on one page of a list."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A post that the site has accepted."""

    account: str
    reference: str
    text: str
    in_reply_to: str | None = None


@dataclass(slots=True)
class Pause:
    """A call that does not come back until the test lets it."""

    is_reached: trio.Event = field(default_factory=trio.Event)
    go_on: trio.Event = field(default_factory=trio.Event)

    async def stay(self) -> None:
        self.is_reached.set()
        await self.go_on.wait()


Trouble = Exception | Pause | Callable[[], Awaitable[None]]
"""An error is raised, a pause stays, a function is awaited."""


class FakeSite:
    """The site. `trouble["write_post"].append(error)` makes the next writing fail, and so on.

    For "submit_post" there are two moments: "submit_post" is before the site has accepted the post,
    "accepted" after it. "write_reply" and "submit_reply" are the same for a reply.
    """

    def __init__(self) -> None:
        self.ledger: list[Entry] = []
        self.presses: list[str] = []
        """The text of each press of the button, whatever came of it."""
        self.visits: list[tuple[str, int]] = []
        """Account and slot of each visit."""
        self.metrics: dict[str, PostMetrics] = {}
        self.figures: dict[str, AccountFigures] = {}
        """What the pages of accounts say; nought otherwise, and how many posts the ledger has."""
        self.takes_s = 0.0
        """How long each page takes."""
        self.gone: set[str] = set()
        self.others: list[SeenPost] = []
        """Other people's posts, which lists show newest first."""
        self.lists_read: list[tuple[str, Listing]] = []
        """Account and list of each reading."""
        self.trouble: defaultdict[str, list[Trouble]] = defaultdict(list)
        self.refuses: dict[str, Exception] = {}
        """Accounts that the site does not let in, with its words."""
        self.looks: list[str] = []
        """References whose metrics were read."""
        self.show: Callable[[str], str] = lambda text: " ".join(text.split())
        """How a text looks on the timeline."""
        self.is_timeline_whole = True
        """Whether the site says that there are no older posts, when there are none."""
        self._numbers = count(1)

    @asynccontextmanager
    async def open_site(self, slot: int, account: SiteAccount) -> AsyncIterator["FakeSession"]:
        """What `Tools.open_site` is."""
        await self.meet("open_site")
        self.visits.append((account.name, slot))
        yield FakeSession(self, account.name)

    def accept(self, account: str, text: str, in_reply_to: str | None = None) -> str:
        """Take a post or a reply into the ledger; its reference."""
        entry = Entry(account, f"p{next(self._numbers)}", text, in_reply_to)
        self.ledger.append(entry)
        return entry.reference

    def of(self, account: str) -> list[Entry]:
        return [entry for entry in self.ledger if entry.account == account]

    async def meet(self, moment: str) -> None:
        """Whatever the test has put at this moment."""
        await trio.sleep(self.takes_s)
        if not self.trouble[moment]:
            return
        trouble = self.trouble[moment].pop(0)
        if isinstance(trouble, Exception):
            raise trouble
        await (trouble.stay() if isinstance(trouble, Pause) else trouble())


class FakeSession:
    """One account's visit; implements `orchestrator.jobs.tools.Site`."""

    def __init__(self, site: FakeSite, account: str) -> None:
        self._site = site
        self._account = account
        self._written: tuple[str, str | None] | None = None
        """A text, and what it answers."""

    async def stay_signed_in(self) -> None:
        await self._enter("stay_signed_in")

    async def write_post(self, text: str) -> None:
        await self._enter("write_post")
        self._written = text, None

    async def submit_post(self) -> str:
        return await self._submit("submit_post")

    async def write_reply(self, target: str, text: str) -> None:
        await self._enter("write_reply")
        self._check_there(target)
        if own := self._replies(target):
            said = f"{self._account} has answered {target} already: {own[0].reference}"
            raise AlreadyAnsweredError(said, reference=own[0].reference, text=self._site.show(own[0].text))
        self._written = text, target

    async def submit_reply(self) -> str:
        return await self._submit("submit_reply")

    async def own_replies(self, target: str, limit: int) -> Timeline:
        await self._enter("own_replies")
        self._check_there(target)
        own = self._replies(target)
        items = [TimelineItem(entry.reference, self._site.show(entry.text)) for entry in own[:limit]]
        return Timeline(items, is_whole=self._site.is_timeline_whole and len(own) <= limit)

    def _check_there(self, target: str) -> None:
        if target in self._site.gone:
            raise PostMissingError(f"the site has no post {target} any more")

    def _replies(self, target: str) -> list[Entry]:
        own = [entry for entry in self._site.of(self._account) if entry.in_reply_to == target]
        return [entry for entry in own if entry.reference not in self._site.gone]

    async def _submit(self, moment: str) -> str:
        if self._written is None:
            raise PageUnexpectedError("there is no filled compose form to submit")
        (text, target), self._written = self._written, None
        self._site.presses.append(text)
        await self._site.meet(moment)
        reference = self._site.accept(self._account, text, target)
        await self._site.meet("accepted")
        return reference

    async def read_metrics(self, reference: str) -> PostMetrics:
        await self._enter("read_metrics")
        self._site.looks.append(reference)
        known = {entry.reference for entry in self._site.ledger}
        if reference not in known or reference in self._site.gone:
            raise PostMissingError(f"the site has no post {reference} any more")
        return self._site.metrics.get(reference, PostMetrics(0, 0, 0))

    async def read_account(self) -> AccountFigures:
        await self._enter("read_account")
        count = len(self._site.of(self._account))
        return self._site.figures.get(self._account, AccountFigures(0, 0, count))

    async def own_posts(self, limit: int) -> Timeline:
        await self._enter("own_posts")
        newest_first = [entry for entry in reversed(self._site.of(self._account)) if not entry.in_reply_to]
        listed = [entry for entry in newest_first if entry.reference not in self._site.gone]
        items = [TimelineItem(entry.reference, self._site.show(entry.text)) for entry in listed[:limit]]
        return Timeline(items, is_whole=self._site.is_timeline_whole and len(listed) <= limit)

    async def read_list(
        self, listing: Listing, limit: int, go_on: Callable[[], bool] = lambda: True
    ) -> list[SeenPost]:
        """A search finds posts that have all its words."""
        await self._enter("read_list")
        self._site.lists_read.append((self._account, listing))
        if listing.what in self._site.gone:
            raise PersonMissingError(f"the site has no person {listing.what} any more")
        there = [post for post in self._site.others if post.reference not in self._site.gone]
        found = [post for post in there if _is_in(listing, post)]
        newest_first = sorted(found, key=lambda post: post.posted_at, reverse=True)[:limit]
        seen = LIST_PAGE
        while seen < len(newest_first) and go_on():
            await self._site.meet("next_page")
            seen += LIST_PAGE
        return newest_first[:seen]

    async def _enter(self, method: str) -> None:
        await self._site.meet(method)
        if self._account in self._site.refuses:
            raise self._site.refuses[self._account]


def _is_in(listing: Listing, post: SeenPost) -> bool:
    if listing.kind is ListKind.SEARCH:
        return all(word in post.text.casefold() for word in listing.what.casefold().split())
    return listing.kind is ListKind.HOME or post.author == listing.what


def dropped() -> PostUnclearError:
    """What follows a press when no answer comes."""
    return PostUnclearError("the site gave no clear answer: net::ERR_CONNECTION_RESET")
