"""Job `account_discovery`: finds people who write on our topics and whom others react to."""

import math
from collections.abc import Sequence

from orchestrator.actors.job import Job, Run
from orchestrator.db import peers
from orchestrator.db.peers import FoundPeer
from orchestrator.jobs.reading import Reading, Wanted, inventory, reactions, topic_of
from orchestrator.jobs.tools import Account, Tools
from orchestrator.model import Listing, ListKind, Outcome, SeenPost

NAME = "account_discovery"
MAX_TOPICS = 6
"""Searched for in one run, at random."""
POSTS = 20
"""Of each list."""


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        return await discover(run, tools)

    return Job(NAME, work, priority=5, every_s=21_600, uses_browser=True, not_in_window=True)


async def discover(run: Run, tools: Tools) -> Outcome:
    """Look at the home list, and search for our topics."""
    reading, new = Reading(run, tools), 0
    topics, _ = await inventory(tools)
    for account in reading.accounts():
        with reading.apart.account(account.name):
            new += await _discover_on(reading, tools, account, topics)
    return reading.end(f"{new} new people", new=new)


async def _discover_on(reading: Reading, tools: Tools, account: Account, topics: Sequence[str]) -> int:
    seen: dict[str, SeenPost] = {}

    async def take(_listing: Listing, posts: list[SeenPost]) -> None:
        seen.update((post.reference, post) for post in posts)

    searched = tools.rng.sample(topics, min(MAX_TOPICS, len(topics)))
    listings = [Listing(ListKind.HOME), *(Listing(ListKind.SEARCH, topic) for topic in searched)]
    await reading.read(account, [Wanted(listing, POSTS) for listing in listings], take)
    found = people(list(seen.values()), topics)
    return await tools.database.run(peers.keep_found, account.settings.site, found, tools.stamp())


def people(posts: Sequence[SeenPost], topics: Sequence[str]) -> list[FoundPeer]:
    """The authors of those of `posts` that are on a topic, with their scores, in alphabetical order."""
    by_author: dict[str, list[tuple[str, int]]] = {}
    for post in posts:
        topic = topic_of(post.text, topics)
        if topic is not None:
            by_author.setdefault(post.author, []).append((topic, reactions(post)))
    return [_found(author, hits) for author, hits in sorted(by_author.items())]


def _found(author: str, hits: list[tuple[str, int]]) -> FoundPeer:
    names = [topic for topic, _ in hits]
    topic = max(sorted(set(names)), key=names.count)
    return FoundPeer(author, topic, score([count for _, count in hits]))


def score(counts: Sequence[int]) -> float:
    """What reading somebody is worth whose n posts on our topics had these reactions.

    n / (n + 1) × (1 + ln(1 + mean reactions)): one good post may be chance, and ten times the reactions
    don't make ten times the worth.
    """
    n = len(counts)
    return n / (n + 1) * (1 + math.log1p(sum(counts) / n))
