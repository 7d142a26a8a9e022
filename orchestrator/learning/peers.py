"""How peers do: what works for them, and how their posts stand to ours."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

from orchestrator.learning.findings import CONFIDENCE, Tally

MIN_OF_AN_AUTHOR = 5
"""Posts of one author, for a rank among them to mean something."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How often one of our posts beats one of theirs, less one half, with its interval."""

    effect: float
    low: float
    high: float

    @property
    def is_sure(self) -> bool:
        return self.low > 0 or self.high < 0


def ranks(figures: Sequence[float]) -> list[float]:
    """The mid-rank of each figure among all of them, from 0 to 1."""
    ordered = sorted(figures)
    return [_share_below(figure, ordered) for figure in figures]


def tallied(posts: Iterable[tuple[Mapping[str, str], float]]) -> dict[tuple[str, str], Tally]:
    """The scores of posts, by each kind and value that they have."""
    found: dict[tuple[str, str], Tally] = {}
    for made_of, score in posts:
        for key in made_of.items():
            found[key] = found.get(key, Tally()) + Tally(1, score, score * score)
    return found


def standing(ours: Sequence[float], theirs: Sequence[float]) -> Standing:
    """The probability of superiority, less one half, with DeLong's interval; two figures a side or more."""
    our_order, their_order = sorted(ours), sorted(theirs)
    of_ours = [_share_below(figure, their_order) for figure in ours]
    of_theirs = [_share_below(figure, our_order) for figure in theirs]
    effect = sum(of_ours) / len(of_ours) - 0.5
    error = sqrt(Tally.of(of_ours).variance / len(of_ours) + Tally.of(of_theirs).variance / len(of_theirs))
    half = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2) * error
    return Standing(effect, effect - half, effect + half)


def _share_below(figure: float, ordered: Sequence[float]) -> float:
    """The share of `ordered` that lies below `figure`; what is equal counts half."""
    return (bisect_left(ordered, figure) + bisect_right(ordered, figure)) / 2 / len(ordered)
