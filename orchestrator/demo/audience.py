"""The simulated audience: a hidden taste, and how many see, like and answer a post as it grows older.

Everything is a pure function of the seed, the post and its age, so nothing is stored, a restart changes
nothing, and no count ever goes down. The people of the audience come by one after the other; whether
the n-th of them likes or answers the post is drawn once, from a generator seeded by the post's reference.
"""

import math
import random
from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from orchestrator.demo.reading import FORMATS, TOPICS, format_of, topic_of
from orchestrator.demo.records import Post

HOUR_S = 3600.0
COMPLETE_AFTER_S = 48 * HOUR_S
"""From this age on a post's counts are final."""
LIKES_PER_FOLLOWER = 10

_STEPS = (1.8, 1.25, 0.95, 0.7, 0.45)
"""Factors that the seed deals out to topics and to formats: the best is four times as liked as the worst."""
_OFF_TOPIC = 0.45
_PEAK_HOURS = (7, 8, 12, 17, 18, 19, 20, 21)
_BASE_LIKE_RATE = 0.04
_MAX_LIKE_RATE = 0.5
_REPLY_SHARE = {"question": 0.4}
_USUAL_REPLY_SHARE = 0.12
_HALF_LIFE_S = 2.5 * HOUR_S
_KEPT_RECEPTIONS = 4096


@dataclass(frozen=True, slots=True)
class Taste:
    """What this audience likes, as factors on the share of viewers who like a post."""

    topics: Mapping[str, float]
    formats: Mapping[str, float]
    hours: Sequence[float]
    """One factor for each hour of the day, UTC."""

    def appeal(self, topic: str | None, form: str, hour: int) -> float:
        """The share of viewers who like such a post, 0–1."""
        factor = self.topics.get(topic or "", _OFF_TOPIC) * self.formats[form] * self.hours[hour]
        return min(_MAX_LIKE_RATE, _BASE_LIKE_RATE * factor)


def taste_from(seed: int) -> Taste:
    """The taste that belongs to this seed."""
    rng = random.Random(f"taste/{seed}")
    topics = dict(zip(TOPICS, rng.sample(_STEPS, len(_STEPS)), strict=True))
    formats = dict(zip(FORMATS, rng.sample(_STEPS, len(_STEPS)), strict=True))
    best_hour = rng.choice(_PEAK_HOURS)
    second_hour = rng.choice([hour for hour in _PEAK_HOURS if abs(hour - best_hour) >= 5])
    return Taste(topics, formats, tuple(_hour_factor(h, best_hour, second_hour) for h in range(24)))


def _hour_factor(hour: int, best: int, second: int) -> float:
    wave = max(_bump(hour - best), 0.5 * _bump(hour - second))
    return round(_STEPS[-1] + (_STEPS[0] - _STEPS[-1]) * wave, 3)


def _bump(distance_h: int) -> float:
    around_the_clock = min(distance_h % 24, -distance_h % 24)
    return math.exp(-((around_the_clock / 2.5) ** 2))


@dataclass(frozen=True, slots=True)
class Counts:
    """What a post's page shows at one moment."""

    likes: int
    replies: int
    views: int


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer to a post."""

    name: str
    text: str
    at: float
    """When it was written, seconds since 1970 UTC."""


@dataclass(frozen=True, slots=True)
class _Reception:
    """A post's whole future: who of its viewers, by their number in the row, likes it and who answers."""

    reach: int
    half_life_s: float
    likes: "array[int]"
    replies: "array[int]"

    def views_at(self, age_s: float) -> int:
        if age_s >= COMPLETE_AFTER_S:
            return self.reach
        return int(self.reach * (1 - 2 ** (-max(0.0, age_s) / self.half_life_s)))

    def age_when_seen_by(self, viewer: int) -> float:
        """The age in seconds at which viewer number `viewer` (from 0) comes by."""
        left = 1 - (viewer + 1) / self.reach
        return min(COMPLETE_AFTER_S, -self.half_life_s * math.log2(left)) if left > 0 else COMPLETE_AFTER_S


@dataclass(frozen=True, slots=True)
class Chorus:
    """Who answers, and in what words: general ones, and some for each topic."""

    names: Sequence[str]
    general: Sequence[str]
    by_topic: Mapping[str, Sequence[str]]


class Audience:
    """The people who read the site."""

    def __init__(self, seed: int, chorus: Chorus) -> None:
        self.seed = seed
        self.taste = taste_from(seed)
        self._chorus = chorus
        self._reception = lru_cache(maxsize=_KEPT_RECEPTIONS)(self._imagine)

    def counts(self, post: Post, now: float) -> Counts:
        reception = self._of(post)
        views = reception.views_at(now - post.accepted_at)
        likes, replies = (bisect_left(numbers, views) for numbers in (reception.likes, reception.replies))
        return Counts(likes, replies, views)

    def replies(self, post: Post, now: float, limit: int) -> list[Reply]:
        """The newest `limit` replies, oldest of them first."""
        reception = self._of(post)
        count = self.counts(post, now).replies
        return [self._reply(post, reception, n) for n in range(max(0, count - limit), count)]

    def new_followers(self, post: Post, now: float) -> int:
        """How many people follow the author because of this post."""
        return self.counts(post, now).likes // LIKES_PER_FOLLOWER

    def _of(self, post: Post) -> _Reception:
        hour = int(post.accepted_at // HOUR_S) % 24
        return self._reception(post.reference, post.text, hour, post.followers)

    def _imagine(self, reference: str, text: str, hour: int, followers: int) -> _Reception:
        rng = random.Random(f"{self.seed}/{reference}")
        form = format_of(text)
        like_rate = self.taste.appeal(topic_of(text), form, hour) * rng.lognormvariate(0.0, 0.15)
        reply_rate = like_rate * _REPLY_SHARE.get(form, _USUAL_REPLY_SHARE)
        awake = 0.7 + 0.3 * self.taste.hours[hour]
        reach = min(60_000, int((300 + 0.3 * followers) * awake * rng.lognormvariate(0.0, 0.15)))
        draws = [rng.random() for _ in range(reach)]
        likes = array("H", (n for n, draw in enumerate(draws) if draw < like_rate))
        replies = array("H", (n for n, draw in enumerate(draws) if draw > 1 - reply_rate))
        return _Reception(reach, _HALF_LIFE_S * rng.uniform(0.85, 1.15), likes, replies)

    def _reply(self, post: Post, reception: _Reception, number: int) -> Reply:
        rng = random.Random(f"{self.seed}/{post.reference}/{number}")
        names = [name for name in self._chorus.names if name != post.display_name]
        phrases = [*self._chorus.general, *self._chorus.by_topic.get(topic_of(post.text) or "", ())]
        start = random.Random(f"{self.seed}/{post.reference}").randrange(len(phrases))
        # Stepping through the phrases from a start of the post's own keeps neighbours from saying the same.
        at = post.accepted_at + reception.age_when_seen_by(reception.replies[number])
        return Reply(rng.choice(names), phrases[(start + number * 7) % len(phrases)], at)
