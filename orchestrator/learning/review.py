"""Which model is the better one: what both said of the same posts, beside the rewards that these got."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from math import inf, sqrt
from statistics import fmean, stdev

from orchestrator.learning.predictor import predict
from orchestrator.learning.ridge import Linear
from orchestrator.model import Arms

Z = 2.33
"""One-sided, at 99 %, of a Normal: a review each 6 h is a further chance to err."""
PATIENCE = 4
"""A candidate that is no better after so many times the least number of posts is retired."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a model said of a post before it went out, and what became of it."""

    text: str
    arms: Arms
    predicted: float
    reward: float
    chose: bool
    """By it the text was chosen among several."""


class Ruling(Enum):
    """What becomes of a model."""

    STAY = "stay"
    PROMOTE = "promote"
    END = "end"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A ruling, in words too."""

    ruling: Ruling
    why: str
    ratio: float | None
    """Squared error by that of the mean; None without a post."""


@dataclass(frozen=True, slots=True)
class _Duel:
    own: float
    other: float
    z: float
    """Above 0: the other one is further off."""


def of_candidate(said: Sequence[Said], linear: Linear, serving: Linear | None, least: int) -> Verdict:
    """Whether a candidate takes the place of the model that serves, or without one that of the mean."""
    ratio = error_ratio(said, linear.mean)
    if len(said) < least:
        return Verdict(Ruling.STAY, f"{len(said)} of {least} posts", ratio)
    name = "the model that serves" if serving is not None else "the mean"
    duel = _duel(said, serving or _mean_of(linear))
    words = _words(duel, len(said), name)
    chosen, others = [[one.reward for one in said if one.chose is chose] for chose in (True, False)]
    if _z_of_means(chosen, others) < -Z:
        low, high = fmean(chosen), fmean(others)
        return Verdict(Ruling.END, f"posts that it chose got {low:.2f}, the others {high:.2f}", ratio)
    if duel.z > Z:
        return Verdict(Ruling.PROMOTE, words, ratio)
    if duel.z < -Z:
        return Verdict(Ruling.END, words, ratio)
    if len(said) >= PATIENCE * least:
        return Verdict(Ruling.END, f"no better: {words}", ratio)
    return Verdict(Ruling.STAY, words, ratio)


def of_serving(said: Sequence[Said], linear: Linear, before: Linear | None, least: int) -> Verdict:
    """Whether the model that serves is to be rolled back: worse than the mean, or than the one before it."""
    ratio = error_ratio(said, linear.mean)
    if len(said) < least:
        return Verdict(Ruling.STAY, f"{len(said)} of {least} posts", ratio)
    against = [("the mean", _mean_of(linear))]
    against += [("the model before it", before)] if before is not None else []
    for name, other in against:
        duel = _duel(said, other)
        if duel.z < -Z:
            return Verdict(Ruling.END, _words(duel, len(said), name), ratio)
    return Verdict(Ruling.STAY, _words(_duel(said, against[0][1]), len(said), "the mean"), ratio)


def is_fit(said: Sequence[Said], linear: Linear) -> bool:
    """Whether a model would have done at least as well on these posts as the mean."""
    return _error(said, linear) <= _error(said, _mean_of(linear))


def error_ratio(said: Sequence[Said], mean: float) -> float | None:
    """Squared error by that of always saying `mean`: below 1 the model knows something; None for no post."""
    of_mean = sum((mean - one.reward) ** 2 for one in said)
    return sum((one.predicted - one.reward) ** 2 for one in said) / of_mean if of_mean else None


def _mean_of(linear: Linear) -> Linear:
    return Linear(linear.mean, {}, {})


def _error(said: Sequence[Said], linear: Linear) -> float:
    return fmean((predict(linear, one.text, one.arms) - one.reward) ** 2 for one in said)


def _duel(said: Sequence[Said], other: Linear) -> _Duel:
    own = [(one.predicted - one.reward) ** 2 for one in said]
    others = [(predict(other, one.text, one.arms) - one.reward) ** 2 for one in said]
    return _Duel(fmean(own), fmean(others), _z([b - a for a, b in zip(own, others, strict=True)]))


def _z(values: Sequence[float]) -> float:
    error = stdev(values) / sqrt(len(values))
    return _over(fmean(values), error)


def _z_of_means(some: Sequence[float], others: Sequence[float]) -> float:
    if min(len(some), len(others)) < 2:
        return 0.0
    error = sqrt(stdev(some) ** 2 / len(some) + stdev(others) ** 2 / len(others))
    return _over(fmean(some) - fmean(others), error)


def _over(difference: float, error: float) -> float:
    if error:
        return difference / error
    return inf if difference > 0 else -inf if difference < 0 else 0.0


def _words(duel: _Duel, posts: int, name: str) -> str:
    return f"error {duel.own:.4f} on {posts} posts, {name} has {duel.other:.4f}"
