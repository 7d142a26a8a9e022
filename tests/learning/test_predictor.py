"""The predictor: what it learns of posts, and when it is too early to."""

from random import Random
from statistics import fmean

import pytest

from orchestrator.learning.predictor import Case, as_json, from_json, missing, predict, train
from orchestrator.model import Arms

TOPICS, FORMATS = ("bread", "stars", "bees"), ("tip", "question")
STRENGTH_OF = {"bread": 0.25, "stars": 0.0, "bees": -0.2}


def posts(count: int, seed: int = 1) -> list[Case]:
    """People like bread, questions and the evening."""
    rng, found = Random(seed), []
    for _ in range(count):
        arms = Arms(rng.choice(TOPICS), rng.choice(FORMATS), rng.randrange(24))
        text = "Who knows this?" if arms.format == "question" else "It is so."
        reward = 0.45 + STRENGTH_OF[arms.topic] + (0.15 if arms.format == "question" else 0.0)
        reward += (0.1 if 18 <= arms.hour <= 22 else 0.0) + rng.gauss(0, 0.08)
        found.append(Case(text, arms, min(1.0, max(0.0, reward))))
    return found


def test_what_people_like_is_predicted() -> None:
    trained = train(posts(300))
    liked = predict(trained.linear, "Who knows this?", Arms("bread", "question", 20))
    disliked = predict(trained.linear, "It is so.", Arms("bees", "tip", 4))
    assert liked == pytest.approx(0.95, abs=0.08)
    assert disliked == pytest.approx(0.25, abs=0.08)


def test_the_error_is_that_on_posts_which_were_not_seen_and_less_than_the_means() -> None:
    trained = train(posts(300))
    fresh = posts(300, seed=2)
    error = fmean((predict(trained.linear, one.text, one.arms) - one.reward) ** 2 for one in fresh)
    assert trained.error == pytest.approx(error, rel=0.5)
    assert trained.error < trained.mean_error / 2


def test_of_chance_it_claims_no_knowledge() -> None:
    rng = Random(3)
    chance = [Case(one.text, one.arms, rng.random()) for one in posts(300)]
    trained = train(chance)
    assert trained.error > trained.mean_error * 0.9


def test_a_prediction_is_a_rank() -> None:
    trained = train([Case(one.text, one.arms, float(one.reward > 0.5)) for one in posts(200)])
    for case in posts(50, seed=4):
        assert 0.0 <= predict(trained.linear, case.text, case.arms) <= 1.0


def test_parameters_come_back_from_the_table_as_they_were() -> None:
    linear = train(posts(100)).linear
    assert from_json(as_json(linear)) == linear


@pytest.mark.parametrize(
    ("cases", "says"),
    [
        (posts(59), "59 of 60 settled posts"),
        ([Case("x", Arms("bread", "tip", n % 24), n / 80) for n in range(80)], "no two topics or formats"),
        ([Case(one.text, one.arms, 0.5) for one in posts(80)], "all posts did alike"),
        (posts(80), None),
    ],
)
def test_it_says_what_is_missing(cases: list[Case], says: str | None) -> None:
    lacking = missing(cases, 60)
    assert lacking is None if says is None else lacking is not None and lacking.startswith(says)
