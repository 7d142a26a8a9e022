"""Job `metrics_scraper`: reads likes, replies and views of published posts, by age tier (A8.1)."""

from collections import deque
from dataclasses import asdict, dataclass

from orchestrator.actors.job import Job, Run
from orchestrator.db import measurements
from orchestrator.db.measurements import DuePost
from orchestrator.errors import (
    BrowserError,
    PostMissingError,
    SignedOutError,
    SignInRefusedError,
    SiteError,
    SiteRateLimitedError,
)
from orchestrator.jobs import slowdown
from orchestrator.jobs.apart import Apart
from orchestrator.jobs.lasting import lasting
from orchestrator.jobs.tools import Account, Tools, Visit
from orchestrator.model import Outcome, PostMetrics, done, nothing_to_do

NAME = "metrics_scraper"
BATCH = 100
"""Posts of an account read in one run; between two of them the slot can be called back."""
MAX_FAILED_IN_A_ROW = 3
"""After so many the trouble is the site's and not a page's."""
OF_ALL_PAGES = (SignInRefusedError, SignedOutError, SiteRateLimitedError)
"""What every other page of the account would meet too."""
STORE_PATIENCE_S = 10.0
"""How long storing what was read may take after the run was cancelled."""


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        return await measure(run, tools)

    return Job(
        NAME,
        work,
        priority=1,
        every_s=1200,
        after=("posting",),
        uses_browser=True,
        not_in_window=True,
    )


async def measure(run: Run, tools: Tools) -> Outcome:
    """Look at what is due, account by account, the one that was looked at longest ago first."""
    tools.refusals.heed(run)
    total, apart = _Counts(), Apart(run)
    for name in await tools.database.run(measurements.turns, list(tools.accounts)):
        with apart.account(name):
            await _measure_account(run, tools, tools.accounts[name], total)
    if not total.pages and not total.gone and not total.failed:
        return apart.end(nothing_to_do("no post is due for a look"))
    return apart.end(done(total.line(), **asdict(total)))


async def _measure_account(run: Run, tools: Tools, account: Account, total: "_Counts") -> None:
    """Visit the account until all is read: a slot that is called back is given back and asked for anew."""
    site = account.settings.site
    seldom = (await slowdown.recall(run, tools, site)).factor
    reply, now = account.site.profile.reply, tools.clock.now()
    with_replies = reply is not None and reply.own_page
    found = await tools.database.run(measurements.due, account.name, now, BATCH, seldom, with_replies)
    due = deque(found)
    while due:
        batch = _Batch(run, tools)
        try:
            async with tools.visit(run, account) as visit:
                await batch.read(visit, due)
        finally:
            total.add(batch)
            with lasting(f"what was read of {account.name}", STORE_PATIENCE_S, run.log):
                await batch.store(site)  # noqa: ASYNC102 - it shields and bounds itself
                if batch.seen:
                    await tools.cache.forget_account(account.name)  # noqa: ASYNC102 - the same
        if due:
            total.gave_back += 1
            run.log.info("gave_slot_back", account=account.name, left=len(due))


@dataclass(slots=True)
class _Counts:
    """What a run has come to, as its figures tell."""

    pages: int = 0
    gone: int = 0
    failed: int = 0
    gave_back: int = 0
    """How often it gave its slot back and asked for another."""

    def add(self, batch: "_Batch") -> None:
        self.pages += len(batch.seen)
        self.gone += len(batch.gone)
        self.failed += len(batch.failed)

    def line(self) -> str:
        text = f"{self.pages} read"
        if self.failed:
            text += f", {self.failed} not readable"
        if self.gave_back:
            text += f", {self.gave_back} × gave its context back"
        return text


class _Batch:
    """What one visit saw; stored also when the visit ends early."""

    def __init__(self, run: Run, tools: Tools) -> None:
        self._run = run
        self._tools = tools
        self.seen: list[tuple[int, PostMetrics]] = []
        self.gone: list[int] = []
        self.failed: list[int] = []

    async def read(self, visit: Visit, due: deque[DuePost]) -> None:
        """Look at the posts and take them out of `due`, until the slot is called back."""
        in_a_row = 0
        while due and not visit.lease.is_called_back:
            post = due.popleft()
            try:
                self.seen.append((post.id, await visit.site.read_metrics(post.reference)))
                in_a_row = 0
                self._run.beat(f"{len(self.seen)} read, {len(due)} left")
            except PostMissingError:
                self._run.log.warning("post_gone", post=post.id, reference=post.reference)
                self.gone.append(post.id)
                in_a_row = 0
            except OF_ALL_PAGES:
                raise
            except BrowserError:
                self.failed.append(post.id)  # else a page that kills its context would always come first
                raise
            except SiteError as error:
                self._run.log.warning("page_not_read", post=post.id, error=str(error))
                self.failed.append(post.id)
                in_a_row += 1
                if in_a_row == MAX_FAILED_IN_A_ROW:
                    raise

    async def store(self, site: str) -> None:
        without = self.gone + self.failed
        if self.seen or without:
            fence, now = self._tools.fence.number, self._tools.clock.now()
            await self._tools.database.run(measurements.record, self.seen, without, fence, now)
        pages = self._tools.metrics.scraped_pages
        pages.labels(outcome="read").inc(len(self.seen))
        pages.labels(outcome="gone").inc(len(self.gone))
        pages.labels(outcome="failed").inc(len(self.failed))
        if self.seen or self.failed:
            known = await slowdown.recall(self._run, self._tools, site)
            after = known.after(len(self.seen), len(self.failed))
            await slowdown.remember(self._run, self._tools, site, after)
            if after.factor != known.factor:
                self._run.log.info("slowdown_changed", site=site, factor=after.factor, why=after.judged)
