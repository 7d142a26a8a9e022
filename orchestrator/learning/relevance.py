"""How well a post of somebody else suits a reply of ours, from 0 to 1.

    relevance = topic × favour × (0.5 + 0.3 × freshness + 0.2 × engagement)

*Topic* is 1 - exp(-s), where s adds 1.5 for each name of a topic that the post says and 0.4 for each other
word that speaks of that topic; the topic with the highest counts. *Favour* is 1 for the topic that has earned
most for us, down to 0.75 for one that has earned nothing. *Freshness* halves every 8 h. *Engagement* is
log(1 + likes + 2 × replies) / log(101), 1 at most. A post that is a day old has 0; posts of ours, and those
that we have answered, are not even scored.

Which words speak of a topic follows from our own texts alone, so no language is known here.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import exp, log1p

MAX_AGE = timedelta(hours=24)
LEAST = 0.2
"""What is less relevant is no opportunity."""
HALVES_EVERY = timedelta(hours=8)
ENGAGED = 100
"""Reactions from which on more of them count no more."""
OF_NAME, OF_WORD = 1.5, 0.4
MIN_TEXTS = 2
"""So many texts of a topic have to say a word before it speaks of that topic."""
MOST_TEXTS = 0.2
"""What is said in a larger share of all texts speaks of nothing."""
LEAST_FAVOUR = 0.75


@dataclass(frozen=True, slots=True)
class Lexicon:
    """What speaks of each topic: its names, and the words that only its texts say."""

    names: Mapping[str, frozenset[str]]
    words: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Traits:
    """What of a post counts."""

    words: Collection[str]
    age: timedelta
    likes: int = 0
    replies: int = 0


@dataclass(frozen=True, slots=True)
class Relevance:
    """A score, and the topic that it rests on; empty: none."""

    score: float
    topic: str = ""
    why: str = ""


NONE = Relevance(0.0)


def lexicon(names: Mapping[str, Iterable[str]], texts: Mapping[str, Sequence[Collection[str]]]) -> Lexicon:
    """Learn from our texts, each given as its words, by topic."""
    counts = {topic: Counter(word for text in of for word in set(text)) for topic, of in texts.items()}
    lengths = {topic: len(of) for topic, of in texts.items()}
    in_all = Counter[str]()
    topics = Counter[str]()
    for found in counts.values():
        in_all.update(found)
        topics.update(found.keys())
    most = max(MIN_TEXTS, MOST_TEXTS * sum(lengths.values()))
    words = {
        topic: frozenset(
            word
            for word, count in found.items()
            if count >= MIN_TEXTS and topics[word] == 1 and in_all[word] <= most
        )
        for topic, found in counts.items()
    }
    return Lexicon({topic: frozenset(of) for topic, of in names.items()}, words)


def relevance(post: Traits, known: Lexicon, favour: Mapping[str, float] | None = None) -> Relevance:
    """`favour` has what each topic has earned; one that is not there counts as the best."""
    if post.age >= MAX_AGE:
        return NONE
    said = frozenset(post.words)
    matches = {topic: _match(said, topic, known) for topic in known.names}
    topic = max(sorted(matches), key=matches.__getitem__, default="")
    if not topic or not matches[topic]:
        return NONE
    fresh = 0.5 ** (max(timedelta(), post.age) / HALVES_EVERY)
    engaged = min(1.0, log1p(post.likes + 2 * post.replies) / log1p(ENGAGED))
    score = matches[topic] * _favour(topic, favour or {}) * (0.5 + 0.3 * fresh + 0.2 * engaged)
    return Relevance(
        score,
        topic,
        f"{topic} {matches[topic]:.0%}, fresh {fresh:.0%}, engaged {engaged:.0%}",
    )


def _match(said: frozenset[str], topic: str, known: Lexicon) -> float:
    names = said & known.names[topic]
    others = (said & known.words.get(topic, frozenset())) - names
    return 1.0 - exp(-(OF_NAME * len(names) + OF_WORD * len(others)))


def _favour(topic: str, earned: Mapping[str, float]) -> float:
    best = max(earned.values(), default=0.0)
    share = earned.get(topic, best) / best if best > 0 else 1.0
    return LEAST_FAVOUR + (1.0 - LEAST_FAVOUR) * share
