"""Job `plan`: what to publish next, and when."""

from collections import Counter
from collections.abc import Iterable

from orchestrator.actors.job import Job, Run
from orchestrator.content.writer import Stock
from orchestrator.db import findings, posts
from orchestrator.db.posts import QueueDepth
from orchestrator.errors import ContentError
from orchestrator.jobs.assistant import Assistant, open_assistant
from orchestrator.jobs.choice import open_chooser
from orchestrator.jobs.desks import Desk, groups, open_desks
from orchestrator.jobs.outbox import Outbox
from orchestrator.jobs.pace import rates
from orchestrator.jobs.planner import Draw, Planner, SiteDesk
from orchestrator.jobs.tools import Account, Tools
from orchestrator.learning import cached
from orchestrator.learning.bandit import DIMENSIONS, Arm
from orchestrator.model import Outcome, done, nothing_to_do
from orchestrator.retry import RetryRule

NAME = "plan"
RECENT_TEXTS = 500
"""So many of the latest texts of the site's accounts are compared with a new one."""


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        outcome = await plan(run, tools)
        await tools.expect_posts()
        return outcome

    return Job(NAME, work, priority=1, every_s=7200, retry=RetryRule(3, 2.0))


async def plan(run: Run, tools: Tools) -> Outcome:
    """Fill each account's queue by up to `content.posts_a_run` drafts that pass the gates.

    Raises ContentError when an account is left with nothing to post.
    """
    stock = await tools.writer.read()
    if tools.feeds is not None:
        stock = stock.with_first(await tools.feeds.read(run.job))
    assistant = await open_assistant(run, tools)
    accounts = list(tools.accounts.values())  # one that is added from now on has its turn at the next run
    names = [account.name for account in accounts]
    per_hour = await rates(run, tools, names)
    depths = await tools.database.run(posts.depths, names)
    sites = {site: await _open_site(tools, site, accounts) for site in _sites(accounts)}
    effects = {site: await tools.database.run(findings.effects, site, DIMENSIONS) for site in sites}
    writing = _Writing(run, tools, stock, assistant)
    wanting = [one for one in accounts if depths[one.name].waiting < tools.settings.content.queue_target]
    for group in groups(wanting, depths):
        for desk in await open_desks(tools, group, depths, per_hour, effects):
            await writing.fill(desk, sites[desk.account.settings.site])
    await writing.outbox.keep()
    return writing.end(depths)


def _sites(accounts: Iterable[Account]) -> list[str]:
    return sorted({account.settings.site for account in accounts})


async def _open_site(tools: Tools, site: str, accounts: Iterable[Account]) -> SiteDesk:
    names = [account.name for account in accounts if account.settings.site == site]
    arms = [Arm(*row) for row in await cached.arms(tools.cache, tools.database, site)]
    recent = await tools.database.run(posts.recent_texts, names, RECENT_TEXTS)
    return SiteDesk(arms, await open_chooser(tools, site), recent)


class _Writing:
    """One run's drafts, and what became of the wishes for them."""

    def __init__(self, run: Run, tools: Tools, stock: Stock, assistant: Assistant | None) -> None:
        self._run = run
        self._tools = tools
        self._stock = stock
        self._assistant = assistant
        self._tally: dict[str, Counter[Draw]] = {}
        """By account, of those that had their turn."""
        self.outbox = Outbox(run, tools)

    async def fill(self, desk: Desk, site: SiteDesk) -> None:
        """Write what an account's queue has room for, unless it was switched off or removed meanwhile."""
        name = desk.account.name
        if name not in self._tools.accounts:
            return
        content, depth = self._tools.settings.content, desk.depth
        count = min(content.queue_target - depth.waiting, max(1, round(content.posts_a_run * desk.per_hour)))
        planner = Planner(self._run, self._tools, self._stock, self._assistant, site, desk)
        tally = self._tally[name] = Counter[Draw]()
        for number in range(count):
            is_first = depth.published + depth.waiting + number == 0
            tally[await planner.write_one(self.outbox, is_first=is_first)] += 1
        if self._assistant is not None:
            await self.outbox.keep()  # what a model has written has cost money and time

    def end(self, depths: dict[str, QueueDepth]) -> Outcome:
        """Raises ContentError when an account has nothing to post."""
        outbox = self.outbox
        dry = [name for name, tally in self._tally.items() if tally[Draw.DRY]]
        here = [name for name in self._tally if name in self._tools.accounts]
        without = [name for name in here if depths[name].waiting + outbox.queued[name] == 0]
        if without:
            raise _nothing_for(without, dry)
        wishes = sum(self._tally.values(), Counter[Draw]())
        figures = {
            Draw.QUEUED.value: outbox.queued.total(),
            Draw.REFUSED.value: wishes[Draw.REFUSED] + outbox.refused.total(),
            Draw.DRY.value: wishes[Draw.DRY],
        }
        if figures[Draw.QUEUED.value]:
            return done(f"{figures[Draw.QUEUED.value]} queued", **figures)
        if dry:
            return done(f"no unused text is left for {', '.join(dry)}", **figures)
        if figures[Draw.REFUSED.value]:
            return done("the gates refused every draft", **figures)
        return nothing_to_do("every queue is full")


def _nothing_for(without: list[str], dry: list[str]) -> ContentError:
    if set(without) <= set(dry):
        return ContentError(
            f"there is no unused text for {', '.join(without)}",
            remedy="Write more (docs/content.md); a text is used once",
        )
    return ContentError(
        f"there is no new text for {', '.join(without)} that passes the gates",
        remedy="Write more, or loosen the gates (docs/content.md); draft_refused in the log says why",
    )
