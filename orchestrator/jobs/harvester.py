"""Job `harvester`: fills the pool of posts that a reply of ours would suit (A9.1)."""

from collections import deque
from dataclasses import dataclass, replace

from orchestrator.actors.job import Job, Run
from orchestrator.db import opportunities, reply_drafts
from orchestrator.db.opportunities import Found
from orchestrator.errors import PostMissingError, RobotsForbidError
from orchestrator.jobs.apart import Apart
from orchestrator.jobs.prospects import Judge, by_site, judge_of, read_stock
from orchestrator.jobs.tools import Account, Tools, Visit
from orchestrator.learning.pool import Level, key_of
from orchestrator.learning.relevance import LEAST
from orchestrator.model import Listing, ListKind, Outcome, SeenPost, done, nothing_to_do

NAME = "harvester"
PAGE = 100
"""Posts of a list that are read at most."""
LOOKS = 10
"""Drafts that wait for a person whose posts are looked at in one run: whether they are there still."""
MOST_DRAFTS = 500
"""From among so many."""
_PLACE = "place/"
"""How the key of a note begins that has the lists which a run did not get to."""


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        return await harvest(run, tools)

    return Job(
        NAME,
        work,
        priority=1,
        every_s=600,
        after=("account_discovery",),
        uses_browser=True,
        not_in_window=True,
    )


@dataclass(slots=True)
class _Counts:
    seen: int = 0
    new: int = 0
    gave_back: int = 0
    withdrawn: int = 0
    sites: int = 0


async def harvest(run: Run, tools: Tools) -> Outcome:
    """Read the sites whose pool is due for it, each by one of its accounts, until the pool is full."""
    tools.refusals.heed(run)
    settings, total, apart = tools.settings.opportunities, _Counts(), Apart(run)
    sites = by_site(tools)
    counts = await tools.database.run(opportunities.count_open, list(sites))
    lexicon, least = None, 0
    for site, accounts in sites.items():
        now, count = tools.clock.now(), counts[site]
        level = Level.of(await tools.recall(run, key_of(site))).seen(now, count, settings.target)
        await tools.remember(run, key_of(site), level.note())
        least += level.least
        if count >= settings.target or not (run.is_asked or level.is_due(now)):
            continue
        if lexicon is None:
            _, lexicon = await read_stock(tools)
        judge = await judge_of(tools, site, accounts, lexicon)
        harvester = _Harvester(run, tools, site, accounts, judge, count)
        account = harvester.account
        with apart.account(account.name):
            total.sites += 1
            await harvester.fill(account, total)
            now = tools.clock.now()
            level = replace(level, harvested_at=now).seen(now, harvester.open, settings.target)
            await tools.remember(run, key_of(site), level.note())
            total.withdrawn += await withdraw_gone(run, tools, site, account)
    tools.metrics.opportunities_least.set(least)
    if not total.sites:
        return apart.end(nothing_to_do("no pool is due for more"))
    detail = f"{total.new} new of {total.seen} posts seen"
    if total.gave_back:
        detail += f", {total.gave_back} × gave its context back"
    if total.withdrawn:
        detail += f", {total.withdrawn} drafts withdrawn whose posts are gone"
    figures = {
        "seen": total.seen, "new": total.new, "gave_back": total.gave_back, "withdrawn": total.withdrawn
    }  # fmt: skip
    return apart.end(done(detail, **figures))


class _Harvester:
    """Fills the pool of one site in one run."""

    def __init__(
        self, run: Run, tools: Tools, site: str, accounts: list[Account], judge: Judge, count: int
    ) -> None:
        self._run = run
        self._tools = tools
        self._site = site
        self._accounts = accounts
        self._judge = judge
        self.open = count
        """How many are in the pool, as last counted."""

    @property
    def account(self) -> Account:
        """One that is well, if any is: another one each time."""
        refusals, standing = self._tools.refusals, self._tools.standing
        well = [
            one
            for one in self._accounts
            if standing.is_for(self._run, one.name) and not refusals.is_refused(one.name)
        ]
        return self._tools.rng.choice(well or self._accounts)

    async def fill(self, account: Account, total: _Counts) -> None:
        """Read list after list: a context that is called back is given back and another asked for.

        What is left stands in a note, so that a run that fails or is cut off is gone on with by the next one.
        """
        key, target = f"{_PLACE}{self._site}", self._tools.settings.opportunities.target
        kept = await self._tools.recall(self._run, key)
        lists = self._lists(account)
        left = deque([listing for listing in lists if _name(listing) in (kept or ())] or lists)
        cut_short: set[Listing] = set()
        while left and self.open < target:
            async with self._tools.visit(self._run, account) as visit:
                while left and self.open < target and not visit.lease.is_called_back:
                    listing = left.popleft()
                    is_whole = await self._read(visit, listing, total)
                    if not is_whole and listing not in cut_short:
                        cut_short.add(listing)
                        left.append(listing)
                    await self._tools.remember(self._run, key, [_name(listing) for listing in left] or None)
            if left and self.open < target:
                total.gave_back += 1
                self._run.beat(f"gave its context back with {len(left)} lists of {self._site} left")
                self._run.log.info("gave_slot_back", account=account.name, left=len(left))
        await self._tools.remember(self._run, key, None)

    def _lists(self, account: Account) -> list[Listing]:
        """The home list, then a search for each topic, the one that earns most first."""
        section = account.site.profile.lists
        assert section is not None  # `by_site` leaves others out
        home = [Listing(ListKind.HOME)] if section.home else []
        searches = [Listing(ListKind.SEARCH, topic) for topic in self._judge.topics] if section.search else []
        return home + searches

    async def _read(self, visit: Visit, listing: Listing, total: _Counts) -> bool:
        """Put a list's posts into the pool; False when a call-back has cut it short after a page."""
        is_whole = True

        def go_on() -> bool:
            nonlocal is_whole
            is_whole = not visit.lease.is_called_back
            return is_whole

        try:
            seen = await visit.site.read_list(listing, PAGE, go_on)
        except RobotsForbidError as error:
            self._tools.metrics.lists_read.labels(job_name=NAME, outcome="forbidden").inc()
            self._run.log.info("list_not_read", site=self._site, why=str(error))
            return True
        self._tools.metrics.lists_read.labels(job_name=NAME, outcome="read").inc()
        found = [one for post in seen if (one := self._found(post)) is not None]
        names = [account.name for account in self._accounts]
        tools = self._tools
        new = await tools.database.run(opportunities.add, self._site, names, found, tools.stamp())
        self.open = (await tools.database.run(opportunities.count_open, [self._site]))[self._site]
        total.seen += len(seen)
        total.new += new
        self._run.beat(f"{total.seen} seen, {self.open} open on {self._site}")
        return is_whole

    def _found(self, post: SeenPost) -> Found | None:
        """The post as an opportunity; None for one that is none."""
        if self._judge.is_ours(post.author):
            return None
        now = self._tools.clock.now()
        score = self._judge.score(post.text, post.posted_at, now, post.likes, post.replies)
        if score.score < LEAST:
            return None
        return Found(
            post.reference, post.author, post.text, post.posted_at, post.likes, post.replies, post.views,
            score.score, score.topic, score.why,
        )  # fmt: skip


async def withdraw_gone(run: Run, tools: Tools, site: str, account: Account) -> int:
    """Look whether posts are there still that drafts answer which wait for a person; how many drafts went.

    Another `LOOKS` of them each time: who reads and approves a draft shall not do so for nothing.
    """
    targets = await tools.database.run(reply_drafts.targets, site, MOST_DRAFTS)
    if not targets:
        return 0
    withdrawn = 0
    async with tools.visit(run, account) as visit:
        for target in tools.rng.sample(targets, min(LOOKS, len(targets))):
            if visit.lease.is_called_back:
                break
            try:
                await visit.site.own_replies(target, 1)
            except PostMissingError:
                run.log.info("draft_withdrawn", site=site, target=target)
                withdrawn += await tools.database.run(reply_drafts.withdraw_gone, site, target, tools.stamp())
    return withdrawn


def _name(listing: Listing) -> str:
    return f"{listing.kind}/{listing.what}"
