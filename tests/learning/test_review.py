"""Which model is the better one: rulings on what models said of posts whose outcome is known."""

from dataclasses import replace
from random import Random

import pytest

from orchestrator.learning.predictor import predict, train
from orchestrator.learning.review import Ruling, Said, error_ratio, of_candidate, of_serving
from orchestrator.learning.ridge import Linear
from tests.learning.test_predictor import posts

GOOD = train(posts(300)).linear
SPOILED = replace(GOOD, weights={name: -weight for name, weight in GOOD.weights.items()})
MEAN = Linear(GOOD.mean, {}, {})


def said(linear: Linear, count: int, seed: int = 7) -> list[Said]:
    rng = Random(seed)
    return [
        Said(one.text, one.arms, predict(linear, one.text, one.arms), one.reward, rng.random() < 0.5)
        for one in posts(count, seed)
    ]


def test_a_candidate_that_knows_something_is_promoted_where_none_serves() -> None:
    verdict = of_candidate(said(GOOD, 60), GOOD, None, 30)
    assert verdict.ruling is Ruling.PROMOTE
    assert "the mean has" in verdict.why
    assert verdict.ratio is not None
    assert verdict.ratio < 0.5


def test_a_candidate_is_held_against_the_model_that_serves() -> None:
    assert of_candidate(said(GOOD, 60), GOOD, SPOILED, 30).ruling is Ruling.PROMOTE
    assert of_candidate(said(SPOILED, 60), SPOILED, GOOD, 30).ruling is Ruling.END


def test_a_candidate_that_is_no_better_is_retired_after_a_while() -> None:
    assert of_candidate(said(GOOD, 119), GOOD, GOOD, 30).ruling is Ruling.STAY
    verdict = of_candidate(said(GOOD, 120), GOOD, GOOD, 30)
    assert (verdict.ruling, verdict.why.startswith("no better")) == (Ruling.END, True)


def test_a_candidate_whose_choices_do_worse_is_retired_however_well_it_predicts() -> None:
    lower = [replace(one, chose=one.reward < 0.5) for one in said(GOOD, 60)]
    verdict = of_candidate(lower, GOOD, None, 30)
    assert (verdict.ruling, verdict.why.startswith("posts that it chose got")) == (Ruling.END, True)


def test_a_spoiled_model_is_rolled_back() -> None:
    verdict = of_serving(said(SPOILED, 30), SPOILED, None, 30)
    assert (verdict.ruling, "the mean has" in verdict.why) == (Ruling.END, True)


def test_a_model_that_does_worse_than_the_one_before_it_is_rolled_back() -> None:
    weak = replace(GOOD, weights={name: weight * 0.2 for name, weight in GOOD.weights.items()})
    assert of_serving(said(weak, 100), weak, None, 30).ruling is Ruling.STAY
    verdict = of_serving(said(weak, 100), weak, GOOD, 30)
    assert (verdict.ruling, "the model before it has" in verdict.why) == (Ruling.END, True)


@pytest.mark.parametrize("before", [None, SPOILED, GOOD])
def test_a_good_model_goes_on_to_serve(before: Linear | None) -> None:
    assert of_serving(said(GOOD, 200), GOOD, before, 30).ruling is Ruling.STAY


def test_of_few_posts_nothing_is_ruled() -> None:
    assert of_serving(said(SPOILED, 29), SPOILED, None, 30).ruling is Ruling.STAY
    verdict = of_candidate(said(GOOD, 29), GOOD, None, 30)
    assert (verdict.ruling, verdict.why) == (Ruling.STAY, "29 of 30 posts")


def test_chance_alone_seldom_rolls_back() -> None:
    """A model that always says the mean is never worse than it."""
    assert of_serving(said(MEAN, 60), MEAN, None, 30).ruling is Ruling.STAY
    assert error_ratio(said(MEAN, 60), MEAN.mean) == pytest.approx(1.0)
    assert error_ratio([], 0.5) is None
