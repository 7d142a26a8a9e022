"""How our posts stand to those of peers."""

from random import Random

import pytest

from orchestrator.learning.peers import ranks, standing, tallied


def test_a_rank_is_the_share_of_posts_below_and_half_of_those_that_are_equal() -> None:
    assert ranks([5, 1, 5, 9]) == [0.5, 0.125, 0.5, 0.875]


def test_who_always_has_more_wins_every_pair() -> None:
    found = standing([9, 8, 7], [1, 2, 3])
    assert (found.effect, found.is_sure) == (0.5, True)


def test_who_is_like_the_others_wins_half_of_the_pairs_and_that_is_not_told_as_more() -> None:
    rng = Random(3)
    found = standing([rng.random() for _ in range(60)], [rng.random() for _ in range(60)])
    assert found.low < 0 < found.high
    assert not found.is_sure


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Ours are 1 higher, of standard deviation 1: ours win 76 of 100 pairs."""
    rng = Random(4)
    held = 0
    for _ in range(200):
        ours = [rng.gauss(1, 1) for _ in range(40)]
        found = standing(ours, [rng.gauss(0, 1) for _ in range(60)])
        held += found.low <= 0.76 - 0.5 <= found.high
    assert held >= 0.9 * 200


def test_scores_are_summed_up_by_all_that_a_post_is_made_of() -> None:
    found = tallied([({"opening": "question", "length": "under 80"}, 0.5), ({"opening": "question"}, 1.0)])
    assert found["opening", "question"].posts == 2
    assert found["opening", "question"].mean == pytest.approx(0.75)
    assert found["length", "under 80"].posts == 1
