"""The bandit's parts, one by one."""

from collections import Counter
from datetime import timedelta
from random import Random
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.learning.bandit import Arm, choose, fade, is_meaningful, learn, reward, update
from orchestrator.model import Arms, PostMetrics
from orchestrator.settings import LearningSettings

HOURS = range(24)
SETTINGS = LearningSettings.model_validate({"settle_h": 6, "min_views": 10})

counts = st.integers(0, 1000)
post_metrics = st.builds(PostMetrics, likes=counts, replies=counts, views=counts)


def metrics(likes: int, replies: int = 0, views: int = 100) -> PostMetrics:
    return PostMetrics(likes=likes, replies=replies, views=views)


# ── choosing ────────────────────────────────────────────────────────────────────────────────────


def test_with_nothing_tried_every_candidate_is_chosen_about_equally_often() -> None:
    rng = Random(1)
    chosen = [
        choose([], topics=["a", "b", "c"], formats=["x", "y"], hours=HOURS, rng=rng) for _ in range(4800)
    ]
    for values, size in (("topic", 3), ("format", 2), ("hour", 24)):
        seen = Counter(getattr(arms, values) for arms in chosen)
        assert len(seen) == size
        expected = 4800 / size
        assert all(0.7 * expected < times < 1.3 * expected for times in seen.values()), seen


def test_an_arm_that_was_never_tried_still_gets_its_turn_beside_a_middling_one() -> None:
    rng = Random(2)
    arms = [Arm("topic", "known", 26, 26)]
    chosen = Counter(
        choose(arms, topics=["known", "new"], formats=["x"], hours=[0], rng=rng).topic for _ in range(400)
    )
    assert chosen["new"] > 100


def test_a_clearly_better_arm_is_chosen_nearly_always() -> None:
    rng = Random(3)
    arms = [Arm("topic", "good", 80, 20), Arm("topic", "bad", 20, 80)]
    chosen = Counter(
        choose(arms, topics=["bad", "good"], formats=["x"], hours=[0], rng=rng).topic for _ in range(300)
    )
    assert chosen["good"] == 300


def test_only_candidates_are_chosen_however_good_another_arm_is() -> None:
    arms = [Arm("topic", "gone", 1000, 1), Arm("hour", "3", 1000, 1)]
    chosen = choose(arms, topics=["here"], formats=["x"], hours=[15], rng=Random(4))
    assert chosen == Arms("here", "x", 15)


@pytest.mark.parametrize("neighbour", [23, 1])
def test_an_hours_evidence_counts_for_its_neighbours_across_midnight(neighbour: int) -> None:
    rng = Random(5)
    arms = [Arm("hour", "0", 60, 5)]
    chosen = Counter(
        choose(arms, topics=["a"], formats=["x"], hours=[12, neighbour], rng=rng).hour for _ in range(400)
    )
    # Hour 12 is as good as unknown: a coin toss without the neighbour's help, 1 in 2.
    assert chosen[neighbour] > 320


def test_an_hours_evidence_does_not_reach_the_other_side_of_the_day() -> None:
    rng = Random(6)
    arms = [Arm("hour", "0", 60, 5)]
    chosen = Counter(
        choose(arms, topics=["a"], formats=["x"], hours=[12, 18], rng=rng).hour for _ in range(1000)
    )
    assert 420 < chosen[12] < 580


@pytest.mark.parametrize(
    ("topics", "formats", "hours", "named"),
    [
        ([], ["x"], [1], "topic"),
        (["a"], [], [1], "format"),
        (["a"], ["x"], [], "hour"),
        (["a"], ["x"], [24], "24"),
    ],
)
def test_a_dimension_without_candidates_or_with_a_wrong_hour_is_named(
    topics: list[str], formats: list[str], hours: list[int], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        choose([], topics=topics, formats=formats, hours=hours, rng=Random(7))


# ── learning ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("age_h", "views", "is_so"),
    [(5.9, 1000, False), (6, 10, True), (6, 9, False), (23.9, 9, False), (24, 9, True), (24, 0, True)],
)
def test_an_outcome_is_meaningful_once_settled_and_seen_or_after_long_patience(
    age_h: float, views: int, is_so: bool
) -> None:
    assert is_meaningful(timedelta(hours=age_h), views, SETTINGS) is is_so


def test_the_first_post_is_rewarded_with_one_half() -> None:
    assert reward(metrics(50), []) == 0.5


def test_a_post_like_all_others_is_rewarded_with_one_half() -> None:
    assert reward(metrics(5), [metrics(5)] * 9) == 0.5


def test_a_better_post_is_rewarded_more_than_a_worse_one() -> None:
    history = [metrics(likes) for likes in range(0, 50, 5)]
    rewards = [reward(metrics(likes), history) for likes in (0, 12, 27, 60)]
    assert rewards == sorted(rewards)
    assert rewards[0] < 0.1
    assert rewards[-1] > 0.9


def test_replies_count_more_than_likes() -> None:
    history = [metrics(4)]
    assert reward(metrics(0, replies=3), history) > reward(metrics(3), history)


def test_reach_counts_so_that_a_good_hour_is_worth_more_at_the_same_rate() -> None:
    history = [metrics(10, views=100)] * 4
    assert reward(metrics(30, views=300), history) > reward(metrics(3, views=30), history)


def test_a_post_without_views_can_be_rewarded() -> None:
    assert 0 <= reward(metrics(0, views=0), [metrics(3), metrics(4)]) < 0.5


@given(post_metrics, st.lists(post_metrics, max_size=20), st.integers(2, 1000))
def test_a_reward_lies_between_0_and_1_and_larger_accounts_are_rewarded_alike(
    post: PostMetrics, history: list[PostMetrics], scale: int
) -> None:
    def scaled(one: PostMetrics) -> PostMetrics:
        return PostMetrics(one.likes * scale, one.replies * scale, max(one.views, 1))

    plain = reward(
        PostMetrics(post.likes, post.replies, max(post.views, 1)),
        [PostMetrics(one.likes, one.replies, max(one.views, 1)) for one in history],
    )
    assert 0 <= plain <= 1
    assert reward(scaled(post), [scaled(one) for one in history]) == plain


def test_the_rewards_of_a_set_of_posts_average_one_half() -> None:
    posts = [metrics(likes) for likes in (1, 4, 4, 9, 30)]
    rewards = [reward(post, posts[:at] + posts[at + 1 :]) for at, post in enumerate(posts)]
    assert mean(rewards) == pytest.approx(0.5)


def test_an_update_adds_the_reward_to_alpha_and_the_rest_to_beta() -> None:
    arm = update(Arm("topic", "a"), 0.75, discount=1.0)
    assert (arm.alpha, arm.beta, arm.pulls) == (1.75, 1.25, 1.0)
    assert arm.mean == pytest.approx(1.75 / 3)


@pytest.mark.parametrize("wrong", [-0.01, 1.01, float("nan")])
def test_a_reward_outside_0_to_1_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        update(Arm("topic", "a"), wrong)


def test_an_arm_that_is_fed_for_ever_remembers_about_100_outcomes() -> None:
    arm = Arm("topic", "a")
    for _ in range(2000):
        arm = update(arm, 1.0)
    assert arm.pulls == pytest.approx(100, rel=0.01)
    assert arm.beta >= 1.0


def test_fading_shrinks_the_evidence_and_keeps_the_prior() -> None:
    assert fade(Arm("topic", "a", 11, 5), 0.5) == Arm("topic", "a", 6, 3)
    assert fade(Arm("topic", "a"), 0.5) == Arm("topic", "a")


def test_learning_updates_the_three_arms_used_and_leaves_the_others() -> None:
    other = Arm("topic", "b", 3, 4)
    arms = learn([other, Arm("format", "x", 2, 1)], Arms("a", "x", 7), 1.0, discount=1.0)
    assert set(arms) == {other, Arm("topic", "a", 2, 1), Arm("format", "x", 3, 1), Arm("hour", "7", 2, 1)}
