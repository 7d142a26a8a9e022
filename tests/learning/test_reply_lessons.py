"""What settled replies teach: factors of topic, age and reactions, and the limit of drafts."""

from datetime import timedelta

import pytest

from orchestrator.db.settled_replies import SettledReply
from orchestrator.learning.relevance import NONE, Relevance
from orchestrator.learning.reply_lessons import LEAST_REPLIES, Lessons, learn
from orchestrator.model import PostMetrics

LIKED, IGNORED = PostMetrics(30, 5, 200), PostMetrics(0, 0, 200)
FOUND = Relevance(0.4, "cooking", "cooking 85%")


def reply(topic: str, metrics: PostMetrics, hours: float = 1, reactions: int = 0) -> SettledReply:
    return SettledReply("ada", topic, timedelta(hours=hours), reactions, metrics)


def lessons(count: int = 12) -> Lessons:
    """Of so many liked replies on cooking, and as many ignored ones on cycling, to older, livelier posts."""
    liked = [reply("cooking", LIKED)] * count
    return learn(liked + [reply("cycling", IGNORED, hours=9, reactions=50)] * count)


def test_what_has_earned_more_scores_higher_and_the_score_says_so() -> None:
    known = lessons()
    better = known.weigh(FOUND, timedelta(hours=1), 0)
    worse = known.weigh(Relevance(0.4, "cycling"), timedelta(hours=9), 50)
    assert worse.score < 0.4 < better.score <= 1.0
    assert "earned ×" in better.why
    assert set(known.factors) == {"topic", "age", "reactions"}
    assert known.factors["topic"]["cooking"].replies == 12


def test_of_what_nothing_is_known_the_score_stays() -> None:
    assert lessons().weigh(Relevance(0.4, "baking"), timedelta(hours=5), 9) == Relevance(0.4, "baking")
    assert lessons().weigh(NONE, timedelta(hours=1), 0) == NONE


def test_a_score_is_one_at_most() -> None:
    assert lessons().weigh(Relevance(0.95, "cooking"), timedelta(hours=1), 0).score == 1.0


def test_too_few_replies_teach_nothing() -> None:
    known = learn([reply("cooking", LIKED)] * (LEAST_REPLIES - 1))
    assert (known.replies, known.factors) == (LEAST_REPLIES - 1, {})
    assert known.weigh(FOUND, timedelta(hours=1), 0) == FOUND


def test_a_value_with_few_replies_is_not_spoken_of() -> None:
    known = learn([reply("cooking", LIKED)] * 20 + [reply("cycling", IGNORED)] * 4)
    assert set(known.factors["topic"]) == {"cooking"}


def test_one_accounts_replies_are_ranked_among_its_own() -> None:
    """A small account's best is worth as much as a large one's."""
    small = [SettledReply("grace", "baking", timedelta(hours=1), 0, PostMetrics(n, 0, 20)) for n in range(12)]
    large = [reply("cooking", PostMetrics(100 * n, 0, 2000)) for n in range(12)]
    factors = learn(small + large).factors["topic"]
    assert factors["baking"].factor == factors["cooking"].factor == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("replies", "reacted", "most", "limit"),
    [(19, 0, 8, 8), (40, 10, 8, 8), (40, 5, 8, 4), (40, 0, 8, 1), (40, 0, 0, 0), (40, 40, 8, 8)],
)
def test_fewer_drafts_wait_where_replies_get_no_reaction(
    replies: int, reacted: int, most: int, limit: int
) -> None:
    assert Lessons(replies, reacted).limit(most) == limit


def test_lessons_outlive_a_note() -> None:
    assert Lessons.of(lessons().note()) == lessons()
    assert Lessons.of(None) == Lessons()
