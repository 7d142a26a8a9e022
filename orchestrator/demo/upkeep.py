"""What goes on by itself on the site: the population posts, old posts are settled and forgotten."""

import logging
import sqlite3

import trio

from orchestrator.clock import Clock
from orchestrator.demo.audience import HOUR_S
from orchestrator.demo.following import Following
from orchestrator.demo.people import People
from orchestrator.demo.population import DAY_S, Population
from orchestrator.demo.posts import Posts

log = logging.getLogger("murmur.upkeep")

HISTORY_S = 3 * DAY_S
"""How far back the population has posted when the site starts for the first time."""
KEEP_S = 60 * DAY_S
_LONGEST_GAP_S = 7 * DAY_S
_TIDY_EVERY_S = 6 * HOUR_S
_SHORTEST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 60.0


class Upkeep:
    """Moves the site along with its clock."""

    def __init__(
        self, posts: Posts, people: People, population: Population, following: Following, clock: Clock
    ) -> None:
        self._posts = posts
        self._people = people
        self._population = population
        self._following = following
        self._clock = clock
        self._tidied_at = clock.timestamp()

    async def run(self) -> None:
        """Keep the site going until cancelled. A database error is logged; the next round tries again."""
        while True:
            await trio.sleep(self._pause_s())
            try:
                await self.catch_up()
                if self._clock.timestamp() >= self._tidied_at + _TIDY_EVERY_S:
                    await self.tidy()
            except sqlite3.Error as error:
                log.error("upkeep failed: %s", error)

    def _pause_s(self) -> float:
        now = self._clock.timestamp()
        wait_s = self._clock.real_seconds(self._population.next_moment(now) - now)
        return min(_LONGEST_PAUSE_S, max(_SHORTEST_PAUSE_S, wait_s))

    async def catch_up(self) -> None:
        """Put in whatever the population has posted since the last time."""
        now = self._clock.timestamp()
        known = self._posts.population_until()
        since = now - HISTORY_S if known is None else max(known, now - _LONGEST_GAP_S)
        if since >= now:
            return
        posts = self._population.posts_between(since, now)
        authors = {author.name: author for author in self._people.everybody()}
        names = {post.author for post in posts}
        followers = {name: self._following.followers(authors[name]) for name in names}
        await self._posts.add_population(posts, followers, until=now)

    async def tidy(self) -> None:
        """Settle followers, forget the population's oldest posts, end sessions that are over."""
        self._tidied_at = now = self._clock.timestamp()
        for author in self._people.everybody():
            await self._following.settle(author)
        for author in self._people.everybody():
            await self._posts.drop_settled(author, before=now - KEEP_S)
        await self._people.end_sessions(expired_at=now)
