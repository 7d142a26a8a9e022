"""Job `scrape_background`: searches for each of our topics with each format, some a run."""

from orchestrator.actors.job import Job, Run
from orchestrator.db import peers
from orchestrator.jobs.reading import Reading, Wanted, inventory, topic_of
from orchestrator.jobs.tools import Tools
from orchestrator.model import Listing, ListKind, Outcome, SeenPost

NAME = "scrape_background"
SEARCHES, POSTS = 6, 10
"""In a run, and posts of each."""
PLACE = "place"
"""The note that says where the next run goes on."""


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        return await scrape(run, tools)

    return Job(NAME, work, priority=8, every_s=10_800, uses_browser=True, not_in_window=True)


async def scrape(run: Run, tools: Tools) -> Outcome:
    """Go on through topics and formats where the last run ended; keep what is on a topic."""
    reading, kept = Reading(run, tools), 0
    topics, formats = await inventory(tools)
    queries = [f"{topic} {form}" for form in formats for topic in topics]
    place = int(await tools.recall(run, PLACE) or 0)
    wanted = [
        Wanted(Listing(ListKind.SEARCH, queries[(place + step) % len(queries)]), POSTS)
        for step in range(min(SEARCHES, len(queries)))
    ]
    for account in reading.accounts():
        site = account.settings.site

        async def take(_listing: Listing, posts: list[SeenPost], site: str = site) -> None:
            nonlocal kept
            ours = [post for post in posts if topic_of(post.text, topics) is not None]
            await tools.database.run(peers.keep_posts, site, ours, tools.stamp())
            kept += len(ours)

        with reading.apart.account(account.name):
            await reading.read(account, wanted, take)
    if queries:
        await tools.remember(run, PLACE, (place + len(wanted)) % len(queries))
    return reading.end(f"{kept} kept", kept=kept)
