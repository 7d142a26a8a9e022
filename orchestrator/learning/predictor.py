"""The predictor: what rank a post will reach, by what is known of it before it goes out."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any

from orchestrator.learning.features import length, opening
from orchestrator.learning.ridge import Linear, Row, fit
from orchestrator.model import Arms

KIND = "ridge"
STRENGTH = 5.0
"""Of the ridge: a value that was seen five times has half of the weight that it would have without."""
HOLDOUT = 0.2
"""The latest posts are kept apart, this share of all, to see how far off the predictions are."""
MIN_EACH, MIN_VALUES = 5, 2
"""Enough variety: two topics or two formats, each with so many posts."""
MIN_SPREAD = 0.05
"""Standard deviation of the outcomes; where all are alike there is nothing to learn."""
_WAVES = (1, 2, 3)
"""A day as waves of 24, 12 and 8 hours: neighbouring hours are alike, 23 and 0 too."""


@dataclass(frozen=True, slots=True)
class Case:
    """A post and the reward that it got, 0 to 1."""

    text: str
    arms: Arms
    reward: float


@dataclass(frozen=True, slots=True)
class Trained:
    """A predictor, and how far off it was on posts that it had not seen (mean squared errors)."""

    linear: Linear
    error: float
    mean_error: float
    """Of always saying the mean."""


def features(text: str, arms: Arms) -> Row:
    """What is known of a post before it goes out."""
    row = {
        f"topic:{arms.topic}": 1.0,
        f"format:{arms.format}": 1.0,
        f"opening:{opening(text)}": 1.0,
        f"length:{length(text)}": 1.0,
    }
    for wave in _WAVES:
        angle = 2 * math.pi * wave * arms.hour / 24
        row[f"hour:cos{wave}"], row[f"hour:sin{wave}"] = math.cos(angle), math.sin(angle)
    return row


def predict(linear: Linear, text: str, arms: Arms) -> float:
    """The reward that the post will get, 0 to 1."""
    return min(1.0, max(0.0, linear.predict(features(text, arms))))


def missing(cases: Sequence[Case], least: int) -> str | None:
    """Why nothing can be learned of these posts yet (A10.1); None when it can."""
    if len(cases) < least:
        return f"{len(cases)} of {least} settled posts"
    kinds = [Counter(case.arms.topic for case in cases), Counter(case.arms.format for case in cases)]
    if all(sum(count >= MIN_EACH for count in kind.values()) < MIN_VALUES for kind in kinds):
        return f"no two topics or formats have {MIN_EACH} posts each"
    if pstdev(case.reward for case in cases) < MIN_SPREAD:
        return "all posts did alike"
    return None


def train(cases: Sequence[Case]) -> Trained:
    """Learn of posts, oldest first: of the earlier ones to be tried on the latest, then of all.

    Takes up to a second: call it in a thread. Raises ValueError for fewer than two posts.
    """
    cut = min(len(cases) - 1, math.ceil(len(cases) * (1 - HOLDOUT)))
    earlier, latest = cases[:cut], cases[cut:]
    tried, mean = _fit(earlier), fmean(case.reward for case in earlier)
    error = fmean((predict(tried, case.text, case.arms) - case.reward) ** 2 for case in latest)
    return Trained(_fit(cases), error, fmean((mean - case.reward) ** 2 for case in latest))


def _fit(cases: Sequence[Case]) -> Linear:
    rows = [features(case.text, case.arms) for case in cases]
    return fit(rows, [case.reward for case in cases], STRENGTH)


def as_json(linear: Linear) -> dict[str, Any]:
    """Its parameters, for the table of versions."""
    return {"mean": linear.mean, "weights": dict(linear.weights), "centres": dict(linear.centres)}


def from_json(parameters: dict[str, Any]) -> Linear:
    """Raises KeyError for what are no parameters."""
    return Linear(parameters["mean"], parameters["weights"], parameters["centres"])
