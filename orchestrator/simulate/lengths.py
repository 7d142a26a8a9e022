"""How long a run takes: distributions to draw from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

P95 = 1.6448536269514722
"""The 95th percentile of the standard normal distribution."""


class Length(Protocol):
    """A distribution of seconds."""

    def draw(self, rng: Random) -> float: ...

    @property
    def mean_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Constant:
    """Every run takes `seconds`."""

    seconds: float

    def draw(self, rng: Random) -> float:
        return self.seconds

    @property
    def mean_s(self) -> float:
        return self.seconds


@dataclass(frozen=True, slots=True)
class Uniform:
    """Any length between two bounds is as likely as any other."""

    low_s: float
    high_s: float

    def draw(self, rng: Random) -> float:
        return rng.uniform(self.low_s, self.high_s)

    @property
    def mean_s(self) -> float:
        return (self.low_s + self.high_s) / 2


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Half of the runs are shorter than `median_s`, one in twenty is longer than `p95_s`."""

    median_s: float
    p95_s: float

    @property
    def _sigma(self) -> float:
        return math.log(self.p95_s / self.median_s) / P95

    def draw(self, rng: Random) -> float:
        return self.median_s * math.exp(self._sigma * rng.gauss(0, 1))

    @property
    def mean_s(self) -> float:
        return self.median_s * math.exp(self._sigma**2 / 2)


@dataclass(frozen=True, slots=True)
class Empirical:
    """One of the lengths that were seen."""

    seen_s: Sequence[float]

    def draw(self, rng: Random) -> float:
        return rng.choice(self.seen_s)

    @property
    def mean_s(self) -> float:
        return sum(self.seen_s) / len(self.seen_s)
