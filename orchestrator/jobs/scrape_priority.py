"""Job `scrape_priority`: reads the best peers' newest posts, and strong posts on our topics."""

from collections.abc import Sequence
from statistics import median

from orchestrator.actors.job import Job, Run
from orchestrator.db import peers
from orchestrator.jobs.reading import Reading, Wanted, inventory, reactions, topic_of
from orchestrator.jobs.tools import Account, Tools
from orchestrator.model import Listing, ListKind, Outcome, SeenPost

NAME = "scrape_priority"
BEST, PEERS = 50, 5
"""Of so many peers with the highest scores, so many are read in a run: those read longest ago."""
POSTS = 7
"""Of each peer."""
SEARCHES, FOUND = 2, 10
"""Topics in a run, and posts of each."""


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        return await scrape(run, tools)

    return Job(NAME, work, priority=4, every_s=3600, uses_browser=True, not_in_window=True)


async def scrape(run: Run, tools: Tools) -> Outcome:
    """Read peers and searches, site by site, and keep their posts."""
    reading, kept = Reading(run, tools), 0
    topics, _ = await inventory(tools)

    for account in reading.accounts():
        site = account.settings.site

        async def take(listing: Listing, posts: list[SeenPost], site: str = site) -> None:
            nonlocal kept
            if listing.kind is ListKind.SEARCH:
                posts = strong(posts)
            else:
                stamp, is_useful = tools.stamp(), any(topic_of(post.text, topics) for post in posts)
                useful_at = stamp.now if is_useful else None
                await tools.database.run(peers.was_read, site, listing.what, stamp, useful_at)
            await tools.database.run(peers.keep_posts, site, posts, tools.stamp())
            kept += len(posts)

        with reading.apart.account(account.name):
            await reading.read(account, await _wanted(tools, account, topics), take)
    return reading.end(f"{kept} kept", kept=kept)


async def _wanted(tools: Tools, account: Account, topics: Sequence[str]) -> list[Wanted]:
    names = await tools.database.run(peers.best, account.settings.site, BEST, PEERS)
    searched = tools.rng.sample(topics, min(SEARCHES, len(topics)))
    return [
        *(Wanted(Listing(ListKind.PERSON, name), POSTS) for name in names),
        *(Wanted(Listing(ListKind.SEARCH, topic), FOUND) for topic in searched),
    ]


def strong(posts: list[SeenPost]) -> list[SeenPost]:
    """Those with at least as many reactions as the median."""
    least = median(map(reactions, posts)) if posts else 0
    return [post for post in posts if reactions(post) >= least]
