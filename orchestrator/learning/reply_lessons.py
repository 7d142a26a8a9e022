"""What our settled replies have earned, which moves the scores of opportunities and the limit of drafts.

A reply's *reward* is its rank among the account's settled replies, from 0 to 1, as `bandit.reward` has it.
A *factor* of a value (a topic, an age or the reactions of the post that was answered) is 0.5 + the mean
reward of the replies with that value, as if `PRIOR` more had earned the average: 0.5 to 1.5.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Self

from orchestrator.db.settled_replies import SettledReply
from orchestrator.learning import bandit
from orchestrator.learning.relevance import Relevance

LEAST_REPLIES = 20
"""With fewer settled replies nothing is learned."""
LEAST_OF_VALUE = 5
"""With fewer replies of a value nothing is said of it."""
PRIOR = 5
GOOD_SHARE = 0.25
"""When so many of the replies get a reaction, the limit of drafts is left as it is."""

KEEPER = "reply_learning"
"""The job among whose notes the lessons are kept."""

AGES = ((timedelta(hours=2), "under 2 h"), (timedelta(hours=8), "2 to 8 h"))
OLDER = "over 8 h"
REACTIONS = ((3, "under 3 reactions"), (20, "3 to 19 reactions"))
MORE = "20 reactions and more"


def key_of(site: str) -> str:
    """The site's note."""
    return f"lessons/{site}"


@dataclass(frozen=True, slots=True)
class Factor:
    """What a value is worth, and from how many replies that is known."""

    factor: float
    replies: int


@dataclass(frozen=True, slots=True)
class Lessons:
    """What is known of the replies on one site."""

    replies: int = 0
    reacted: int = 0
    """How many of them got a like or an answer."""
    factors: Mapping[str, Mapping[str, Factor]] = field(default_factory=dict)
    """By dimension (topic, age, reactions) and value; those alone of which something is known."""

    @classmethod
    def of(cls, kept: Any) -> Self:
        """From a note; None: nothing is known."""
        if kept is None:
            return cls()
        factors = {
            dimension: {value: Factor(*known) for value, known in of.items()}
            for dimension, of in kept["factors"].items()
        }
        return cls(kept["replies"], kept["reacted"], factors)

    def note(self) -> dict[str, Any]:
        """As JSON can say it."""
        factors = {
            dimension: {value: [known.factor, known.replies] for value, known in of.items()}
            for dimension, of in self.factors.items()
        }
        return {"replies": self.replies, "reacted": self.reacted, "factors": factors}

    def weigh(self, found: Relevance, age: timedelta, reactions: int) -> Relevance:
        """The score with what replies to such posts have earned; 1 at most."""
        earned = 1.0
        for dimension, value in _values(found.topic, age, reactions).items():
            known = self.factors.get(dimension, {}).get(value)
            earned *= known.factor if known is not None else 1.0
        if earned == 1.0 or not found.score:
            return found
        return replace(found, score=min(1.0, found.score * earned), why=f"{found.why}, earned ×{earned:.2f}")

    def limit(self, most: int) -> int:
        """How many drafts of an account may wait: fewer where replies get no reaction, one at least."""
        if self.replies < LEAST_REPLIES or not most:
            return most
        return max(1, round(most * min(1.0, self.reacted / self.replies / GOOD_SHARE)))


def learn(settled: Sequence[SettledReply]) -> Lessons:
    """From the settled replies of one site; only their number when there are too few."""
    reacted = sum(one.metrics.likes + one.metrics.replies > 0 for one in settled)
    if len(settled) < LEAST_REPLIES:
        return Lessons(len(settled), reacted)
    rewards: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for number, one in enumerate(settled):
        others = [x.metrics for i, x in enumerate(settled) if i != number and x.account == one.account]
        reward = bandit.reward(one.metrics, others)
        for key in _values(one.topic, one.age, one.reactions).items():
            rewards[key].append(reward)
    factors: defaultdict[str, dict[str, Factor]] = defaultdict(dict)
    for (dimension, value), of in sorted(rewards.items()):
        if len(of) >= LEAST_OF_VALUE:
            mean = (sum(of) + 0.5 * PRIOR) / (len(of) + PRIOR)
            factors[dimension][value] = Factor(round(0.5 + mean, 3), len(of))
    return Lessons(len(settled), reacted, dict(factors))


def _values(topic: str, age: timedelta, reactions: int) -> dict[str, str]:
    return {
        "topic": topic,
        "age": next((name for below, name in AGES if age < below), OLDER),
        "reactions": next((name for below, name in REACTIONS if reactions < below), MORE),
    }
