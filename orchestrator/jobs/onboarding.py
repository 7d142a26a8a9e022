"""Job `onboarding`: signs in accounts that the site has never let in, a few at a time.

What it has done stands in the database, account by account, so a run that was killed is gone on with by
the next one.
"""

import trio

from orchestrator.actors.job import Job, Run
from orchestrator.db import accounts
from orchestrator.jobs.apart import Apart
from orchestrator.jobs.tools import Tools
from orchestrator.model import Outcome, done, nothing_to_do

NAME = "onboarding"
AT_ONCE = 3
"""Contexts at most; the allocator decides how many there are for it at a time."""
PAUSE_S = 30.0
"""Between two batches, in real seconds: the site is not to be stormed."""
LONGEST_S = 1200.0
"""A run begins no batch after so long; another one goes on."""


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        return await onboard(run, tools)

    return Job(NAME, work, priority=6, every_s=600, uses_browser=True, contexts=AT_ONCE, max_run_s=1800)


async def onboard(run: Run, tools: Tools) -> Outcome:
    """Sign in whoever is new, batch by batch. One that fails holds up no other and is new again later."""
    tools.refusals.heed(run)
    ends_at = trio.current_time() + LONGEST_S
    batches = _Batches(run, tools)
    while batch := await batches.next():
        if trio.current_time() > ends_at:
            tools.wake(NAME, "more accounts are new")
            break
        await batches.sign_in(batch)
    if not batches.tried:
        return nothing_to_do("no account is new")
    return batches.apart.end(done(f"{batches.signed_in} signed in", signed_in=batches.signed_in))


class _Batches:
    """The new accounts of one run."""

    def __init__(self, run: Run, tools: Tools) -> None:
        self._run = run
        self._tools = tools
        self.apart = Apart(run)
        self.tried: set[str] = set()
        self.signed_in = 0

    async def next(self) -> list[str]:
        """The next accounts, after the pause that the batch before it wants; none when all had their turn."""
        tools = self._tools
        new = await tools.database.run(accounts.never_signed_in, list(tools.accounts))
        left = [name for name in new if name not in self.tried and not tools.refusals.is_refused(name)]
        if left and self.tried:
            self._run.beat(f"{self.signed_in} signed in, {len(left)} to go; waits {PAUSE_S:g} s")
            await trio.sleep(PAUSE_S)
        return left[:AT_ONCE]

    async def sign_in(self, names: list[str]) -> None:
        self.tried.update(names)
        self._run.beat(f"{self.signed_in} signed in; now {', '.join(names)}")
        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(self._sign_in, name)

    async def _sign_in(self, name: str) -> None:
        with self.apart.account(name):
            async with self._tools.visit(self._run, self._tools.accounts[name]) as visit:
                await visit.site.stay_signed_in()
            await self._tools.standing.is_signed_in(name)
            self.signed_in += 1
