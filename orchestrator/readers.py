"""Jobs that make contexts scarce in the demo, so that the allocator can be watched: `demo --load N`.

Each reads the pages of published posts, slowly, and keeps its context until it has read them all or the
context is called back.
"""

import trio

from orchestrator.actors.job import Run
from orchestrator.db import post_figures
from orchestrator.jobs import Outcome, OwnJob, Tools, done, job, nothing_to_do

PAGES = 20
PAUSE_S = 1.5
"""Between two pages; also how long a call-back may go unheard."""
EVERY_S = 60.0
"""In real seconds; a run takes about half of it."""
PRIORITIES = (4, 6, 8)


def readers(count: int, speed: float) -> tuple[OwnJob, ...]:
    """So many jobs for a clock of this speed: `reader_1` and so on."""
    return tuple(_reader(number, speed) for number in range(1, count + 1))


def _reader(number: int, speed: float) -> OwnJob:
    async def read(run: Run, tools: Tools) -> Outcome:
        """Read pages until there are no more, or somebody with more right needs the context."""
        account = list(tools.accounts.values())[number % len(tools.accounts)]
        recent = await tools.database.run(post_figures.recent, PAGES)
        references = [post.reference for post, _ in recent if post.account == account.name and post.reference]
        if not references:
            return nothing_to_do("nothing is published yet")
        async with tools.visit(run, account) as visit:
            for page in range(PAGES):
                if visit.lease.is_called_back:
                    return done("gave its context back", pages=page)
                run.beat(f"{page} of {PAGES} pages read")
                await visit.site.read_metrics(references[page % len(references)])
                await trio.sleep(PAUSE_S)
        return done(f"{PAGES} pages read", pages=PAGES)

    read.__name__ = f"reader_{number}"
    priority = PRIORITIES[(number - 1) % len(PRIORITIES)]
    return job(every_s=EVERY_S * speed, priority=priority, uses_browser=True)(read)
