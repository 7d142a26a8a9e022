"""Short replies without a language model: an entry of the topic's lists that shares words with the post."""

from collections.abc import Iterator
from random import Random

from orchestrator.content.gates import words
from orchestrator.content.templates import Templates
from orchestrator.content.writer import Stock

SHAPES = {
    "fact": ("facts", "This goes with it: {}"),
    "tip": ("tips", "A tip that goes with it: {}"),
    "question": ("questions", "{}"),
}
"""Each style of a reply: the list that it takes from, and how it says it."""
CANDIDATES = 20
SOURCE = "template"


def names(stock: Stock) -> dict[str, frozenset[str]]:
    """The names of each topic: its own words, and its hashtag."""
    found = {topic: set(words(topic)) for topic in stock.inventory.topics}
    for topic in stock.templates.topics:
        found[topic] |= set(words(stock.templates.hashtag(topic)))
    return {topic: frozenset(of) for topic, of in found.items()}


def texts(stock: Stock) -> dict[str, list[frozenset[str]]]:
    """The words of all texts that there are, by topic."""
    found: dict[str, list[frozenset[str]]] = {topic: [] for topic in stock.inventory.topics}
    for snippet in stock.snippets:
        found[snippet.topic].append(frozenset(words(snippet.text)))
    for topic in stock.templates.topics:
        found[topic] += [frozenset(words(text)) for text in stock.templates.entries(topic)]
    return found


def candidates(templates: Templates, topic: str, post: str, rng: Random) -> Iterator[tuple[str, str]]:
    """Replies to a post about the topic, each with its style; first those that share most words with it."""
    said = set(words(post))
    found = [
        (len(said & set(words(entry))), rng.random(), style, shape.format(entry))
        for style, (name, shape) in SHAPES.items()
        for entry in templates.entries(topic, name)
    ]
    for _, _, style, text in sorted(found, reverse=True)[:CANDIDATES]:
        yield style, text
