"""Distributions of run lengths."""

from random import Random

import pytest

from orchestrator.simulate.figures import percentile
from orchestrator.simulate.lengths import Constant, Empirical, Length, LogNormal, Uniform

ALL: list[Length] = [Constant(7), Uniform(2, 6), LogNormal(10, 30), Empirical([1, 2, 9])]


@pytest.mark.parametrize("length", ALL, ids=lambda length: type(length).__name__)
def test_the_mean_is_that_of_what_is_drawn(length: Length) -> None:
    rng = Random(1)
    drawn = [length.draw(rng) for _ in range(20_000)]
    assert sum(drawn) / len(drawn) == pytest.approx(length.mean_s, rel=0.02)


def test_a_lognormal_has_its_median_and_its_95th_percentile() -> None:
    rng = Random(1)
    drawn = sorted(LogNormal(10, 30).draw(rng) for _ in range(20_000))
    assert percentile(drawn, 0.5) == pytest.approx(10, rel=0.02)
    assert percentile(drawn, 0.95) == pytest.approx(30, rel=0.05)


def test_what_was_seen_is_drawn_and_nothing_else() -> None:
    rng = Random(1)
    assert {Empirical([1, 2, 9]).draw(rng) for _ in range(100)} == {1, 2, 9}
