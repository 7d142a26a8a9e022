import pytest

from orchestrator.demo.reading import format_of, topic_of


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("A quiet evening. #astronomy", "astronomy"),
        ("My tomatoes and my compost #Cooking", "cooking"),
        ("The chain fell off and the saddle squeaks", "cycling"),
        ("Prune the roses before you read a novel about roses", "gardening"),
        ("#monday #books", "books"),
        ("Nothing in particular", None),
        ("", None),
    ],
)
def test_a_reader_sees_the_topic_in_hashtags_first_then_in_words(text: str, topic: str | None) -> None:
    assert topic_of(text) == topic


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Tip: ask yourself why?\n- a\n- b", "tip"),
        ("tip: in small letters", "tip"),
        ("What now? #books #reading", "question"),
        ("What now?\nI don't know.", "story"),
        ("Three things:\n- one\n- two\n\n#cooking", "list"),
        ("1. one\n2. two", "list"),
        ("Only one:\n- one", "story"),
        ("42% of it is weather", "number"),
        ("$3 for a pot", "number"),
        ("About 3 pots", "story"),
        ("#books", "story"),
        ("", "story"),
    ],
)
def test_a_reader_sees_the_format_in_the_shape_of_the_text(text: str, form: str) -> None:
    assert format_of(text) == form
