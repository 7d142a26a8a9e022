from dataclasses import replace
from itertools import pairwise

import pytest

from orchestrator.demo.audience import COMPLETE_AFTER_S, Audience, Chorus, taste_from
from orchestrator.demo.reading import FORMATS, TOPICS
from orchestrator.demo.records import Post
from tests.demo.harness import HOUR, NOON

CHORUS = Chorus(["Ines", "Tom", "Yuki"], ["Yes.", "No.", "Perhaps."], {"books": ["Which one?"]})
MIDNIGHT = NOON - 12 * HOUR
POST = Post(1, "ref0", "ada", "Ada", "What do you read? #books", NOON, followers=120)
BODIES = {
    "tip": "Tip: wait.",
    "question": "Shall we wait?",
    "list": "- wait\n- wait more",
    "story": "We waited.",
    "number": "3 hours of waiting.",
}


@pytest.fixture
def audience() -> Audience:
    return Audience(7, CHORUS)


def likes_of_many(audience: Audience, topic: str, form: str, hour: int) -> int:
    """Likes of 40 finished posts of one kind."""
    text = f"{BODIES[form]} #{topic}"
    posts = (
        replace(POST, reference=f"r{n}", text=text, accepted_at=MIDNIGHT + hour * HOUR) for n in range(40)
    )
    return sum(audience.counts(post, post.accepted_at + COMPLETE_AFTER_S).likes for post in posts)


def test_counts_start_at_nothing_and_never_go_down(audience: Audience) -> None:
    seen = [audience.counts(POST, NOON + minutes * 60) for minutes in range(-10, 60 * 60, 7)]
    assert (seen[0].views, seen[0].likes, seen[0].replies) == (0, 0, 0)
    assert all(
        a.views <= b.views and a.likes <= b.likes and a.replies <= b.replies for a, b in pairwise(seen)
    )
    assert seen[-1].views > seen[-1].likes > seen[-1].replies > 0


def test_half_of_the_views_come_in_the_first_two_to_three_hours(audience: Audience) -> None:
    final = audience.counts(POST, NOON + COMPLETE_AFTER_S).views
    assert (
        audience.counts(POST, NOON + 2 * HOUR).views
        < final / 2
        < audience.counts(POST, NOON + 3 * HOUR).views
    )


def test_counts_are_final_after_two_days(audience: Audience) -> None:
    assert audience.counts(POST, NOON + COMPLETE_AFTER_S) == audience.counts(
        POST, NOON + 1000 * COMPLETE_AFTER_S
    )


def test_another_process_with_the_same_seed_sees_the_same_counts(audience: Audience) -> None:
    twin = Audience(7, CHORUS)
    assert audience.counts(POST, NOON + 5 * HOUR) == twin.counts(POST, NOON + 5 * HOUR)
    assert audience.replies(POST, NOON + 5 * HOUR, 50) == twin.replies(POST, NOON + 5 * HOUR, 50)


def test_better_topics_get_clearly_more_likes(audience: Audience) -> None:
    ranked = sorted(TOPICS, key=audience.taste.topics.__getitem__)
    likes = [likes_of_many(audience, topic, "tip", 12) for topic in ranked]
    assert likes == sorted(likes)
    assert 2.5 * likes[0] < likes[-1] < 6 * likes[0]


def test_better_formats_get_clearly_more_likes(audience: Audience) -> None:
    ranked = sorted(FORMATS, key=audience.taste.formats.__getitem__)
    likes = [likes_of_many(audience, "cooking", form, 12) for form in ranked]
    assert likes == sorted(likes)
    assert 2.5 * likes[0] < likes[-1] < 6 * likes[0]


def test_the_best_hour_gets_clearly_more_likes_than_the_worst(audience: Audience) -> None:
    hours = sorted(range(24), key=audience.taste.hours.__getitem__)
    best = likes_of_many(audience, "cooking", "tip", hours[-1])
    worst = likes_of_many(audience, "cooking", "tip", hours[0])
    assert 3 * worst < best


@pytest.mark.parametrize("seed", range(20))
def test_every_seed_deals_out_the_same_strengths(seed: int) -> None:
    taste = taste_from(seed)
    assert max(taste.topics.values()) == 4 * min(taste.topics.values())
    assert max(taste.formats.values()) == 4 * min(taste.formats.values())
    assert len(taste.hours) == 24
    assert 3.5 < max(taste.hours) / min(taste.hours) <= 4


def test_seeds_differ_in_taste() -> None:
    assert len({tuple(taste_from(seed).topics.values()) for seed in range(20)}) > 10


def test_questions_are_answered_more_often_than_stories(audience: Audience) -> None:
    def replies_per_like(form: str) -> float:
        text = f"{BODIES[form]} #books"
        counts = [
            audience.counts(replace(POST, reference=f"r{n}", text=text), NOON + COMPLETE_AFTER_S)
            for n in range(80)
        ]
        return sum(c.replies for c in counts) / sum(c.likes for c in counts)

    assert replies_per_like("question") > 2 * replies_per_like("story")


def test_replies_are_as_many_as_counted_and_in_the_order_of_their_time(audience: Audience) -> None:
    now = NOON + 6 * HOUR
    replies = audience.replies(POST, now, 1000)
    assert len(replies) == audience.counts(POST, now).replies > 0
    assert all(NOON < a.at <= b.at <= now for a, b in pairwise(replies))


def test_old_replies_stay_as_they_are_when_new_ones_come(audience: Audience) -> None:
    early = audience.replies(POST, NOON + 3 * HOUR, 1000)
    assert audience.replies(POST, NOON + 30 * HOUR, 1000)[: len(early)] == early


def test_only_the_newest_replies_are_given_when_there_are_more_than_asked_for(audience: Audience) -> None:
    now = NOON + COMPLETE_AFTER_S
    assert audience.replies(POST, now, 2) == audience.replies(POST, now, 1000)[-2:]


def test_nobody_answers_their_own_post(audience: Audience) -> None:
    own = replace(POST, display_name="Ines")
    assert "Ines" not in {reply.name for reply in audience.replies(own, NOON + COMPLETE_AFTER_S, 1000)}


def test_a_post_about_nothing_known_still_finds_some_readers(audience: Audience) -> None:
    assert audience.counts(replace(POST, text="Hm."), NOON + COMPLETE_AFTER_S).views > 100
