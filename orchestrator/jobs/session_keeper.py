"""Job `session_keeper`: keeps sign-ins fresh, and closes contexts that nobody uses."""

from datetime import timedelta

from orchestrator.actors.job import Job, Run
from orchestrator.db import accounts
from orchestrator.jobs.apart import Apart
from orchestrator.jobs.tools import Tools
from orchestrator.model import Outcome, done, nothing_to_do

NAME = "session_keeper"
BATCH = 10
"""Sign-ins that one run looks at."""


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        return await keep(run, tools)

    return Job(NAME, work, priority=3, every_s=600, uses_browser=True)


async def keep(run: Run, tools: Tools) -> Outcome:
    """Close idle contexts, then look at the sign-ins unused for longest; a lost one is made anew."""
    tools.refusals.heed(run)
    closed = await tools.sweep_contexts()
    since = tools.clock.now() - timedelta(hours=tools.settings.upkeep.check_after_h)
    names = [name for name in tools.accounts if not tools.refusals.is_refused(name)]
    checked, apart = 0, Apart(run)
    for name in await tools.database.run(accounts.unused, names, since, BATCH):
        run.beat(f"{checked} sign-ins looked at; now {name}")
        with apart.account(name):
            async with tools.visit(run, tools.accounts[name]) as visit:
                await visit.site.stay_signed_in()
            await tools.standing.is_signed_in(name)
            checked += 1
    if not closed and not checked:
        return apart.end(nothing_to_do("every context and sign-in is in use"))
    return apart.end(
        done(f"{checked} sign-ins looked at, {closed} contexts closed", checked=checked, closed=closed)
    )
