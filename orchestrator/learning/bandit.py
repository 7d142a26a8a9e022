"""The bandit that chooses topic, format and hour: factored Thompson sampling over Beta arms.

Each dimension has its own arms and they are chosen independently, so 5 topics, 5 formats and 24
hours are 34 things to learn instead of 600. All functions are pure; randomness is handed in.

Sources: Thompson sampling with rewards between 0 and 1 follows Agrawal and Goyal (2012), with the
fractional update in place of their coin toss; fading follows Raj and Kalyani (2017).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random

from orchestrator.model import Arms, PostMetrics
from orchestrator.settings import LearningSettings

TOPIC = "topic"
FORMAT = "format"
HOUR = "hour"
DIMENSIONS = (TOPIC, FORMAT, HOUR)

# An arm that is fed for ever remembers about 1 / (1 - 0.99) = 100 outcomes.
DISCOUNT = 0.99

# How much the evidence of an hour h ± 0, 1, 2, 3 counts for h: people who read at 8 mostly read at 9.
_NEIGHBOUR_WEIGHTS = (1.0, 0.75, 0.5, 0.25)

_HOURS = 24

# A reply takes more than a like.
_REPLY_WEIGHT = 2

# A post that few have seen is waited for, up to so many times the settle age.
_PATIENCE = 4


@dataclass(frozen=True, slots=True)
class Arm:
    """What is known of one value of one dimension: a Beta distribution of its reward.

    Invariants: alpha ≥ 1 and beta ≥ 1; (1, 1) is an arm that was never tried.
    """

    dimension: str
    value: str
    """A topic's or format's name, or an hour of day written as "0" to "23"."""
    alpha: float = 1.0
    beta: float = 1.0

    @property
    def pulls(self) -> float:
        """How many outcomes it remembers; a fraction, since the past fades."""
        return self.alpha + self.beta - 2.0

    @property
    def mean(self) -> float:
        """The expected reward, 0 to 1; 0.5 for an arm that was never tried."""
        return self.alpha / (self.alpha + self.beta)


# ── choosing ────────────────────────────────────────────────────────────────────────────────────


def choose(
    arms: Iterable[Arm],
    *,
    topics: Sequence[str],
    formats: Sequence[str],
    hours: Sequence[int],
    rng: Random,
) -> Arms:
    """Draw a reward for each candidate from its arm and take the highest, dimension by dimension.

    `hours` are the hours of day, 0–23, at which a post may be due. Candidates without an arm count
    as never tried; arms that are no candidate are ignored. Raises ValueError when a dimension has
    no candidate, or an hour is no hour.
    """
    known = {(arm.dimension, arm.value): arm for arm in arms}
    by_hour = _smooth_hours(known)
    return Arms(
        topic=_best([_arm(known, TOPIC, topic) for topic in topics], TOPIC, rng),
        format=_best([_arm(known, FORMAT, name) for name in formats], FORMAT, rng),
        hour=int(_best([by_hour[_checked_hour(hour)] for hour in hours], HOUR, rng)),
    )


def _arm(known: Mapping[tuple[str, str], Arm], dimension: str, value: str) -> Arm:
    return known.get((dimension, value)) or Arm(dimension, value)


def _best(candidates: Sequence[Arm], dimension: str, rng: Random) -> str:
    if not candidates:
        raise ValueError(f"there is no {dimension} to choose from")
    return max(candidates, key=lambda arm: rng.betavariate(arm.alpha, arm.beta)).value


def _checked_hour(hour: int) -> int:
    if not 0 <= hour < _HOURS:
        raise ValueError(f"{hour} is no hour of day")
    return hour


def _smooth_hours(known: Mapping[tuple[str, str], Arm]) -> list[Arm]:
    """The 24 hours, each with a share of its neighbours' evidence; 23 and 0 are neighbours."""
    raw = [_arm(known, HOUR, str(hour)) for hour in range(_HOURS)]
    return [
        replace(
            raw[hour],
            alpha=1.0 + _weighted_around([arm.alpha - 1.0 for arm in raw], hour),
            beta=1.0 + _weighted_around([arm.beta - 1.0 for arm in raw], hour),
        )
        for hour in range(_HOURS)
    ]


def _weighted_around(evidence: Sequence[float], hour: int) -> float:
    own, *neighbours = _NEIGHBOUR_WEIGHTS
    total = own * evidence[hour]
    for distance, weight in enumerate(neighbours, start=1):
        before, after = (hour - distance) % _HOURS, (hour + distance) % _HOURS
        total += weight * (evidence[before] + evidence[after])
    return total


# ── learning ────────────────────────────────────────────────────────────────────────────────────


def is_meaningful(age: timedelta, views: int, settings: LearningSettings) -> bool:
    """Whether what a post had reached at `age` may be learned from: it had settled, and enough had seen it.

    A post that few have seen is waited for, but not for ever: at four times the settle age that
    nobody came is itself the outcome. Otherwise a bad hour would never be known as bad.
    """
    settle = timedelta(hours=settings.settle_h)
    return age >= settle and (views >= settings.min_views or age >= _PATIENCE * settle)


def reward(metrics: PostMetrics, history: Sequence[PostMetrics]) -> float:
    """How a post ranks among the account's earlier settled posts, from 0 to 1.

    Half of it is the rank of the reactions (likes + 2 · replies), half the rank of the reactions a
    view: the first knows of hours when people are there, the second of texts that they like. Ranks
    don't care about scale, so accounts of any size learn alike. The post counts among its peers, so
    0.5 with no history, and one earlier post can't make it 0 or 1.
    """
    reactions = _rank(_reactions(metrics), [_reactions(other) for other in history])
    rate = _rank(_rate(metrics), [_rate(other) for other in history])
    return (reactions + rate) / 2


def _reactions(metrics: PostMetrics) -> int:
    return metrics.likes + _REPLY_WEIGHT * metrics.replies


def _rate(metrics: PostMetrics) -> float:
    return _reactions(metrics) / max(metrics.views, 1)


def _rank(value: float, others: Sequence[float]) -> float:
    below = sum(other < value for other in others)
    equal = 1 + sum(other == value for other in others)
    return (below + equal / 2) / (len(others) + 1)


def update(arm: Arm, reward: float, *, discount: float = DISCOUNT) -> Arm:
    """The arm after one more outcome; what it knew before fades by `discount` (1 keeps all).

    Raises ValueError when `reward` is not between 0 and 1.
    """
    if not 0.0 <= reward <= 1.0:
        raise ValueError(f"a reward lies between 0 and 1, not {reward}")
    faded = fade(arm, discount)
    return replace(faded, alpha=faded.alpha + reward, beta=faded.beta + 1.0 - reward)


def fade(arm: Arm, discount: float = DISCOUNT) -> Arm:
    """The arm with its evidence shrunk towards the prior."""
    return replace(
        arm,
        alpha=1.0 + discount * (arm.alpha - 1.0),
        beta=1.0 + discount * (arm.beta - 1.0),
    )


def learn(arms: Iterable[Arm], used: Arms, reward: float, *, discount: float = DISCOUNT) -> list[Arm]:
    """All arms after one outcome of a post made with `used`; arms that are new are added.

    The three arms that were used are updated, the others stay as they are: an arm forgets by what
    it meets, so that old evidence against a value lasts until the value is tried again.
    """
    known = {(arm.dimension, arm.value): arm for arm in arms}
    for key in ((TOPIC, used.topic), (FORMAT, used.format), (HOUR, str(used.hour))):
        known[key] = update(_arm(known, *key), reward, discount=discount)
    return list(known.values())
