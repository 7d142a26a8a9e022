"""How well a post suits a reply: the formula, piece by piece."""

from datetime import timedelta

import pytest

from orchestrator.content.gates import words
from orchestrator.learning.relevance import NONE, Traits, lexicon, relevance

TEXTS = {
    "cooking": ["the dough has to rest", "knead the dough", "a pan of soup", "soup for the evening"],
    "cycling": ["the chain is dry", "oil the chain", "a hill in the evening", "a long hill"],
}
KNOWN = lexicon(
    {topic: [topic] for topic in TEXTS}, {t: [words(one) for one in of] for t, of in TEXTS.items()}
)


def score(text: str, hours: float = 0, likes: int = 0, replies: int = 0, **favour: float) -> float:
    post = Traits(words(text), timedelta(hours=hours), likes, replies)
    return relevance(post, KNOWN, favour).score


def test_what_speaks_of_a_topic_is_what_several_of_its_texts_say_and_no_other_topic() -> None:
    assert KNOWN.words == {"cooking": {"dough", "soup"}, "cycling": {"chain", "hill"}}


def test_what_most_texts_say_speaks_of_nothing_also_where_there_is_one_topic() -> None:
    texts = [words(f"the {word} and the {word}") for word in ("dough", "dough", "soup", "soup", "pan", "pan")]
    texts += [words(f"the {number}") for number in range(6)]
    assert lexicon({"cooking": ["cooking"]}, {"cooking": texts}).words["cooking"] == {"dough", "soup", "pan"}


def test_the_formula_is_the_stated_one() -> None:
    assert score("Cooking!") == pytest.approx((1 - 2.718281828**-1.5) * 0.8)
    assert score("dough and soup") == pytest.approx((1 - 2.718281828**-0.8) * 0.8)
    assert score("dough and soup", hours=8) == pytest.approx((1 - 2.718281828**-0.8) * 0.65)
    assert score("Cooking!", likes=60, replies=20) == pytest.approx((1 - 2.718281828**-1.5) * 1.0)


def test_each_part_moves_it_the_right_way() -> None:
    assert score("dough") < score("dough, soup") < score("cooking: dough, soup")
    assert score("cooking", hours=20) < score("cooking", hours=1)
    assert score("cooking", likes=1) < score("cooking", replies=1) < score("cooking", replies=9)
    assert score("cooking", cooking=0.2, cycling=0.8) < score("cycling", cooking=0.2, cycling=0.8)


@pytest.mark.parametrize("hours", [24, 30])
def test_a_post_that_is_a_day_old_has_none(hours: float) -> None:
    assert score("cooking dough soup", hours=hours, likes=1000) == 0


def test_what_is_on_none_of_our_topics_has_none_however_much_it_is_liked() -> None:
    assert relevance(Traits(words("the evening"), timedelta(), 10**6), KNOWN) == NONE


def test_it_is_at_most_1_also_for_a_post_from_ahead_of_our_clock() -> None:
    everything = " ".join(word for of in TEXTS.values() for text in of for word in text.split())
    assert 0.89 < score(f"cooking {everything}", hours=-5, likes=10**9) <= 1


def test_no_language_is_known_here() -> None:
    texts = {"料理": ["生地をこねる", "生地を休ませる"], "сад": ["розы цветут весной", "обрезать розы"]}
    known = lexicon(
        {topic: words(topic) for topic in texts}, {t: [words(one) for one in of] for t, of in texts.items()}
    )
    assert relevance(Traits(words("Мои розы!"), timedelta()), known).topic == "сад"
    assert relevance(Traits(words("今日の料理"), timedelta()), known).topic == "料理"
