"""The other people on the site: who they are, and what they post when.

What a voice posts on a day is a pure function of the seed, the voice and the day, so the same stretch of
time always gives the same posts, and a site that was off for a while fills the gap.
"""

import hashlib
import random
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from orchestrator.demo.audience import Chorus
from orchestrator.demo.reading import FORMATS
from orchestrator.demo.records import Author, NewPost

DAY_S = 86_400.0
_KEPT_DAYS = 64
_REFERENCE_LENGTH = 10


@dataclass(frozen=True, slots=True)
class Voice:
    """One of the population. A topic named twice comes up twice as often."""

    name: str
    display_name: str
    bio: str
    topics: tuple[str, ...]
    posts_per_day: int
    followers: int
    following: int
    awake: Sequence[float] = (6, 24)
    """From and to which hour of the day, UTC; beyond 24 it is the next morning."""

    def author(self) -> Author:
        return Author(self.name, self.display_name, self.bio, self.followers, self.following, 0, 0, 0)


class Population:
    """What the voices post, for any stretch of time."""

    def __init__(self, voices: Sequence[Voice], words: Mapping[str, Any], seed: int) -> None:
        self.voices = voices
        self._phrases: Mapping[str, Mapping[str, Sequence[str]]] = words["phrases"]
        self._days: Sequence[str] = words["days"]
        self._seed = seed
        self._day = lru_cache(maxsize=_KEPT_DAYS)(self._write_day)

    def posts_between(self, since: float, until: float) -> list[NewPost]:
        """What is posted after `since` and up to `until`, in that order."""
        return [post for post in self._from_day_of(since, until) if since < post.accepted_at <= until]

    def next_moment(self, after: float) -> float:
        """When the next post after that moment is due; at the latest a day later."""
        horizon = after + DAY_S
        return next(
            (p.accepted_at for p in self._from_day_of(after, horizon) if p.accepted_at > after), horizon
        )

    def _from_day_of(self, since: float, until: float) -> Iterator[NewPost]:
        # Late posts of a day fall on the next morning, so the walk starts a day early and sorts across days.
        days = range(int(since // DAY_S) - 1, int(until // DAY_S) + 1)
        yield from sorted(
            (post for day in days for post in self._day(day)), key=lambda post: post.accepted_at
        )

    def _write_day(self, day: int) -> list[NewPost]:
        return [post for voice in self.voices for post in self._posts_of(voice, day)]

    def _posts_of(self, voice: Voice, day: int) -> Iterator[NewPost]:
        rng = random.Random(f"{self._seed}/{voice.name}/{day}")
        first_hour, last_hour = voice.awake
        for serial in range(voice.posts_per_day):
            at = day * DAY_S + rng.uniform(first_hour, last_hour) * 3600
            text = self._compose(voice, day * voice.posts_per_day + serial, rng)
            yield NewPost(_reference(f"{self._seed}/{voice.name}/{at}"), voice.name, text, at)

    def _compose(self, voice: Voice, number: int, rng: random.Random) -> str:
        topic, form = rng.choice(voice.topics), rng.choice(FORMATS)
        phrases = self._phrases[topic][form]
        # Counting through the phrases, from a place of the voice's own, comes before chance: people repeat
        # themselves less than dice do.
        phrase = phrases[(number + len(voice.name) * 5) % len(phrases)]
        day = rng.choice(self._days)
        text = phrase.format(
            day=day, day_lower=day[0].lower() + day[1:], few=rng.randint(2, 9), many=rng.randint(12, 90)
        )
        return f"{text}\n\n#{topic}" if rng.random() < 0.7 else text


def load_population(seed: int, *, without: frozenset[str] = frozenset()) -> tuple[Population, Chorus]:
    """The population, less those whose names (lower case) are taken, and the words of those who answer."""
    words = tomllib.loads((Path(__file__).parent / "population.toml").read_text(encoding="utf-8"))
    voices = [
        Voice(**{**voice, "topics": tuple(voice["topics"])})
        for voice in words["voice"]
        if voice["name"] not in without
    ]
    replies = dict(words["replies"])
    names = [*(voice.display_name for voice in voices), *words["readers"]]
    chorus = Chorus(names, replies.pop("general"), replies)
    return Population(voices, words, seed), chorus


def _reference(key: str) -> str:
    digest = hashlib.sha256(key.encode()).digest()
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    return "".join(alphabet[byte % len(alphabet)] for byte in digest[:_REFERENCE_LENGTH])
