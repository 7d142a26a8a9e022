"""What `harvester` and `opportunity_review` share: which sites have opportunities, and their score."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import trio

from orchestrator.content import replies
from orchestrator.content.gates import words
from orchestrator.content.writer import Stock
from orchestrator.db import notes
from orchestrator.jobs.tools import Account, Tools
from orchestrator.learning import cached, reply_lessons
from orchestrator.learning.relevance import Lexicon, Relevance, Traits, lexicon, relevance
from orchestrator.learning.reply_lessons import Lessons
from orchestrator.sites.profile import Profile

TOPIC = "topic"
"""The dimension of the bandit's arms."""


def has_opportunities(profile: Profile) -> bool:
    """Whether a site can be both read and replied on."""
    lists = profile.lists
    return profile.reply is not None and lists is not None and bool(lists.home or lists.search)


def by_site(tools: Tools) -> dict[str, list[Account]]:
    """The accounts of each site that has opportunities."""
    found: dict[str, list[Account]] = {}
    for account in tools.accounts.values():
        if has_opportunities(account.site.profile):
            found.setdefault(account.settings.site, []).append(account)
    return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class Judge:
    """Scores the posts of one site."""

    lexicon: Lexicon
    favour: dict[str, float]
    """What each topic has earned there."""
    ours: frozenset[str]
    """Our user names."""
    lessons: Lessons
    """What replies have earned there."""

    @property
    def topics(self) -> list[str]:
        """The best first."""
        return sorted(self.lexicon.names, key=lambda topic: (-self.favour.get(topic, 1.0), topic))

    def is_ours(self, author: str) -> bool:
        return _bare(author) in self.ours

    def score(
        self, text: str, posted_at: datetime, now: datetime, likes: int | None, replied: int | None
    ) -> Relevance:
        """Of a post of somebody else."""
        traits = Traits(words(text), now - posted_at, likes or 0, replied or 0)
        found = relevance(traits, self.lexicon, self.favour)
        return self.lessons.weigh(found, traits.age, traits.likes + 2 * traits.replies)


async def read_stock(tools: Tools) -> tuple[Stock, Lexicon]:
    """Our texts, and which words speak of which of their topics."""
    stock = await tools.writer.read()

    def learn() -> Lexicon:
        return lexicon(replies.names(stock), replies.texts(stock))

    return stock, await trio.to_thread.run_sync(learn)


async def judge_of(tools: Tools, site: str, accounts: Sequence[Account], known: Lexicon) -> Judge:
    """Raises DatabaseError."""
    arms = await cached.arms(tools.cache, tools.database, site)
    favour = {value: a / (a + b) for dimension, value, a, b in arms if dimension == TOPIC}
    ours = frozenset(_bare(account.site.username) for account in accounts)
    kept = await tools.database.run(notes.recall, reply_lessons.KEEPER, reply_lessons.key_of(site))
    return Judge(known, favour, ours, Lessons.of(kept))


def _bare(username: str) -> str:
    return username.removeprefix("@").casefold()
