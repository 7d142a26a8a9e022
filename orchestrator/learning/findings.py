"""What can be said of posts with some confidence: which choices are followed by better outcomes than others.

The method, which docs/learning.md explains to people: the mean score of the posts with a value is compared
with that of all other posts. The interval of the difference is a Normal one at 95 %, made wider for the
number of comparisons of the same look (Bonferroni), and its variance is that of all posts' scores, too large
rather than too small when a value does matter. A difference is a finding when its interval does not hold 0.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import sqrt
from statistics import NormalDist

from orchestrator.learning.bandit import DIMENSIONS, FORMAT, HOUR, TOPIC, Arm
from orchestrator.learning.features import band, hours_of

OPENING = "opening"
LENGTH = "length"
KINDS = (FORMAT, OPENING, LENGTH, HOUR, TOPIC)

CONFIDENCE = 0.95
MIN_POSTS = 12
"""Of a value, and of all others together: with fewer, the Normal distribution says little of a mean."""


@dataclass(frozen=True, slots=True)
class Tally:
    """The scores of some posts, as sums; a score lies between 0 and 1, and 0.5 is an average post."""

    posts: int = 0
    score: float = 0.0
    squares: float = 0.0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.posts + other.posts, self.score + other.score, self.squares + other.squares)

    def __sub__(self, other: "Tally") -> "Tally":
        return Tally(self.posts - other.posts, self.score - other.score, self.squares - other.squares)

    @property
    def mean(self) -> float:
        return self.score / self.posts

    @property
    def variance(self) -> float:
        """Of one score; of two posts or more."""
        return max(0.0, self.squares - self.score**2 / self.posts) / (self.posts - 1)

    @staticmethod
    def of(scores: Iterable[float]) -> "Tally":
        listed = list(scores)
        return Tally(len(listed), sum(listed), sum(score * score for score in listed))


Tallies = Mapping[tuple[str, str], Tally]
"""By kind and value; of each kind, every post is in one value."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Posts with `subject` do better (effect > 0) or worse than the others: `low` to `high` holds not 0."""

    kind: str
    subject: str
    effect: float
    """Difference of the mean scores."""
    low: float
    high: float
    posts: int
    """With the subject."""
    others: int


def in_bands(tallies: Tallies) -> dict[tuple[str, str], Tally]:
    """The same with hours of day put together into bands."""
    found: dict[tuple[str, str], Tally] = {}
    for (kind, value), tally in tallies.items():
        key = (kind, band(int(value))) if kind == HOUR else (kind, value)
        found[key] = found.get(key, Tally()) + tally
    return found


def differences(tallies: Tallies) -> list[Difference]:
    """What holds at the confidence of `CONFIDENCE` for all comparisons together, the largest effect first."""
    totals: dict[str, Tally] = {}
    for (kind, _), tally in tallies.items():
        totals[kind] = totals.get(kind, Tally()) + tally
    pairs = [
        (key, tally, totals[key[0]] - tally)
        for key, tally in sorted(tallies.items())
        if tally.posts >= MIN_POSTS and totals[key[0]].posts - tally.posts >= MIN_POSTS
    ]
    if not pairs:
        return []
    width = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / 2 / len(pairs))
    found = []
    for (kind, value), tally, rest in pairs:
        effect = tally.mean - rest.mean
        half = width * sqrt(totals[kind].variance * (1 / tally.posts + 1 / rest.posts))
        if abs(effect) > half:
            found.append(
                Difference(kind, value, effect, effect - half, effect + half, tally.posts, rest.posts)
            )
    return sorted(found, key=lambda one: -abs(one.effect))


# ── in words ────────────────────────────────────────────────────────────────────────────────────

_OPENINGS = {
    "question": "that open with a question",
    "number": "that open with a number",
    "label": "that open with a label such as “Tip:”",
    "exclamation": "that open with an exclamation",
    "first person": "that open in the first person",
    "address": "that open with “you” or “your”",
    "statement": "that open with a plain statement",
}


def statement(found: Difference, whose: str = "") -> str:
    """The finding as a sentence; `whose` is put before "posts", such as "peers’ "."""
    posts = f"{whose}posts {_which(found.kind, found.subject)}"
    direction = "higher" if found.effect > 0 else "lower"
    low, high = sorted((abs(found.low), abs(found.high)))
    return (
        f"{posts[0].upper()}{posts[1:]} rank {abs(found.effect) * 100:.0f} points of 100 {direction} than "
        f"the others ({low * 100:.0f} to {high * 100:.0f} at 95 %; "
        f"{found.posts} posts against {found.others})."
    )


def _which(kind: str, subject: str) -> str:
    if kind == TOPIC:
        return f"about {subject}"
    if kind == FORMAT:
        return f"of the format {subject}"
    if kind == HOUR:
        hours = hours_of(subject)
        return f"from {hours.start}:00 to {hours.stop}:00"
    return _OPENINGS[subject] if kind == OPENING else f"of {subject} characters"


# ── what follows for choices ────────────────────────────────────────────────────────────────────


def nudged(arms: Iterable[Arm], effects: Mapping[tuple[str, str], float], strength: float) -> list[Arm]:
    """The arms as if each value of `effects` had had `strength` more outcomes of the mean that was found.

    `effects` are those of findings, by kind and subject; kinds that the bandit does not choose are passed
    over. The hours of a band share the outcomes. 0 leaves the arms as they are.
    """
    known = {(arm.dimension, arm.value): arm for arm in arms}
    for (kind, subject), effect in effects.items():
        if kind not in DIMENSIONS:
            continue
        mean = min(1.0, max(0.0, 0.5 + effect))
        values = [str(hour) for hour in hours_of(subject)] if kind == HOUR else [subject]
        share = strength / len(values)
        for value in values:
            arm = known.get((kind, value), Arm(kind, value))
            known[kind, value] = replace(
                arm, alpha=arm.alpha + share * mean, beta=arm.beta + share * (1 - mean)
            )
    return list(known.values())
