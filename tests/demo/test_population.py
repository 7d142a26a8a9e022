from itertools import pairwise

import pytest

from orchestrator.demo.population import DAY_S, Population, load_population
from orchestrator.demo.reading import FORMATS, TOPICS, format_of, topic_of
from tests.demo.harness import HOUR, NOON


@pytest.fixture
def population() -> Population:
    return load_population(7)[0]


def test_a_dozen_voices_post_a_few_times_a_day_each(population: Population) -> None:
    posts = population.posts_between(NOON, NOON + 10 * DAY_S)
    assert len(population.voices) == 12
    assert {post.author for post in posts} == {voice.name for voice in population.voices}
    assert 300 < len(posts) < 600


def test_the_same_time_always_has_the_same_posts_however_it_is_cut(population: Population) -> None:
    whole = population.posts_between(NOON, NOON + 3 * DAY_S)
    cuts = [NOON + hours * HOUR for hours in range(0, 73, 3)]
    pieces = [post for a, b in pairwise(cuts) for post in load_population(7)[0].posts_between(a, b)]
    assert pieces == whole


def test_posts_come_in_the_order_of_their_time(population: Population) -> None:
    posts = population.posts_between(NOON, NOON + 5 * DAY_S)
    assert all(a.accepted_at <= b.accepted_at for a, b in pairwise(posts))


def test_references_are_unlike_each_other(population: Population) -> None:
    posts = population.posts_between(NOON, NOON + 30 * DAY_S)
    assert len({post.reference for post in posts}) == len(posts)


def test_texts_fit_the_site_and_are_filled_in(population: Population) -> None:
    for post in population.posts_between(NOON, NOON + 30 * DAY_S):
        assert 0 < len(post.text) <= 280
        assert "{" not in post.text


def test_every_topic_and_every_format_comes_up(population: Population) -> None:
    texts = [post.text for post in population.posts_between(NOON, NOON + 10 * DAY_S)]
    assert {topic_of(text) for text in texts} >= set(TOPICS)
    assert {format_of(text) for text in texts} == set(FORMATS)


def test_a_topic_can_be_read_from_nearly_every_text(population: Population) -> None:
    topics = [topic_of(post.text) for post in population.posts_between(NOON, NOON + 30 * DAY_S)]
    assert topics.count(None) < len(topics) / 8


def test_the_next_moment_is_that_of_the_next_post(population: Population) -> None:
    first = population.posts_between(NOON, NOON + DAY_S)[0]
    assert population.next_moment(NOON) == first.accepted_at
    assert population.next_moment(first.accepted_at) > first.accepted_at


def test_a_voice_whose_name_is_an_accounts_is_left_out() -> None:
    population, chorus = load_population(7, without=frozenset({"willow"}))
    assert "willow" not in {voice.name for voice in population.voices}
    assert "Willow Hart" not in chorus.names
