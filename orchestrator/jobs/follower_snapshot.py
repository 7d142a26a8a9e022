"""Job `follower_snapshot`: reads what each account's own page says of it."""

from datetime import timedelta

from orchestrator.actors.job import Job, Run
from orchestrator.db import accounts
from orchestrator.db.accounts import FiguresRead
from orchestrator.jobs.apart import Apart
from orchestrator.jobs.tools import Tools
from orchestrator.model import Outcome, done, nothing_to_do

NAME = "follower_snapshot"
EVERY = timedelta(hours=6)
FRESH = timedelta(hours=5)
"""An account whose figures are younger is not looked at again: less than the interval, which varies."""
BATCH = 100
"""Accounts that one run reads; the next one goes on at once."""


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        return await snapshot(run, tools)

    return Job(
        NAME,
        work,
        priority=4,
        every_s=EVERY.total_seconds(),
        uses_browser=True,
        not_in_window=True,
        max_run_s=1800,
    )


async def snapshot(run: Run, tools: Tools) -> Outcome:
    """Read the figures of accounts, those first that were read longest ago; all, when somebody asks."""
    tools.refusals.heed(run)
    now = tools.clock.now()
    # An account whose site has no such page, or that is refused, would come first for ever.
    names = [
        name
        for name, account in tools.accounts.items()
        if account.site.profile.profile is not None and not tools.refusals.is_refused(name)
    ]
    since = now if run.is_asked else now - FRESH
    due = await tools.database.run(accounts.unread, names, since, BATCH)
    read, apart = 0, Apart(run)
    for name in due:
        run.beat(f"{read} of {len(due)} read")
        with apart.account(name):
            async with tools.visit(run, tools.accounts[name]) as visit:
                seen = await visit.site.read_account()
            found = FiguresRead(tools.clock.now(), seen.followers, seen.following, seen.posts)
            await tools.database.run(accounts.record_figures, name, found, tools.fence.number)
            read += 1
    if read == BATCH:
        tools.wake(NAME, "more accounts are to be read")
    return apart.end(done(f"{read} read", read=read) if read else nothing_to_do("no figures are due"))
