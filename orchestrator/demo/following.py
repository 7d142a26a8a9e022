"""How many people follow an author: those of the start, and those that posts have won."""

from orchestrator.clock import Clock
from orchestrator.demo.audience import COMPLETE_AFTER_S, Audience
from orchestrator.demo.people import People
from orchestrator.demo.posts import Posts
from orchestrator.demo.records import Author


class Following:
    """Posts with final counts are settled into the author's row, so that a look costs only the newest."""

    def __init__(self, people: People, posts: Posts, audience: Audience, clock: Clock) -> None:
        self._people = people
        self._posts = posts
        self._audience = audience
        self._clock = clock

    def followers(self, author: Author) -> int:
        now = self._clock.timestamp()
        recent = self._posts.after(author.name, author.settled_post)
        won = sum(self._audience.new_followers(post, now) for post in recent)
        return author.base_followers + author.gained_followers + won

    async def settle(self, author: Author) -> None:
        """Write down what the author's oldest posts have won, up to the first that may still win more."""
        now = self._clock.timestamp()
        won, through = 0, author.settled_post
        for post in self._posts.after(author.name, author.settled_post):
            if post.accepted_at > now - COMPLETE_AFTER_S:
                break
            won, through = won + self._audience.new_followers(post, now), post.id
        if through > author.settled_post:
            await self._people.settle(author.name, won, through)
