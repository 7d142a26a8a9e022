"""Job `metrics_scraper`: reads likes, replies and views of published posts, by age tier (A8.1)."""

import trio

from orchestrator.actors.job import Job, Run
from orchestrator.db import measurements
from orchestrator.db.measurements import DuePost
from orchestrator.errors import PageUnexpectedError, PostMissingError, SignInRefusedError
from orchestrator.jobs.tools import Account, Tools, Visit
from orchestrator.model import Outcome, PostMetrics, done, nothing_to_do
from orchestrator.retry import RetryRule

NAME = "metrics_scraper"
BATCH = 100
"""Posts read under one lease; between two of them the slot can be called back."""
STORE_PATIENCE_S = 10.0
"""How long storing what was read may take, also after the run was cancelled."""


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
        retry=RetryRule(5, 5.0),
    )


async def measure(run: Run, tools: Tools) -> Outcome:
    """Look at what is due, account by account."""
    seen, gone, refused = 0, 0, None
    for account in tools.accounts.values():
        batch = _Batch(run, tools)
        try:
            await _measure_account(run, tools, account, batch)
        except SignInRefusedError as error:  # the other accounts' posts don't wait for this one
            run.log.warning("account_refused", account=account.name, error=error.line())
            refused = error
        seen, gone = seen + len(batch.seen), gone + len(batch.gone)
    if refused is not None:
        raise refused
    if not seen and not gone:
        return nothing_to_do("no post is due for a look")
    return done(f"{seen} read", pages=seen, gone=gone)


async def _measure_account(run: Run, tools: Tools, account: Account, batch: "_Batch") -> None:
    due = await tools.database.run(measurements.due, account.name, tools.clock.now(), BATCH)
    if not due:
        return
    try:
        async with tools.visit(run, account) as visit:
            await batch.read(visit, due)
    finally:
        with trio.move_on_after(STORE_PATIENCE_S, shield=True):
            await batch.store()


class _Batch:
    """What one visit saw; stored also when the visit ends early."""

    def __init__(self, run: Run, tools: Tools) -> None:
        self._run = run
        self._tools = tools
        self.seen: list[tuple[int, PostMetrics]] = []
        self.gone: list[int] = []

    async def read(self, visit: Visit, due: list[DuePost]) -> None:
        for post in due:
            if visit.lease.is_called_back:
                self._run.log.info("gave_slot_back", read=len(self.seen), left=len(due) - len(self.seen))
                return
            try:
                self.seen.append((post.id, await visit.site.read_metrics(post.reference)))
            except PostMissingError:
                self._run.log.warning("post_gone", post=post.id, reference=post.reference)
                self.gone.append(post.id)
            except PageUnexpectedError as error:
                self._run.log.warning("page_unexpected", post=post.id, error=str(error))

    async def store(self) -> None:
        if self.seen or self.gone:
            fence, now = self._tools.fence.number, self._tools.clock.now()
            await self._tools.database.run(measurements.record, self.seen, self.gone, fence, now)
