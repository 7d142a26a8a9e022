"""The bandit against a simulated audience with a hidden taste."""

from dataclasses import dataclass, field
from random import Random
from statistics import mean

from orchestrator.learning.bandit import Arm, choose, learn, reward
from orchestrator.model import Arms, PostMetrics

TOPICS = ("astronomy", "books", "cooking", "cycling", "gardening")
FORMATS = ("list", "number", "question", "story", "tip")
HOURS = tuple(range(24))
POSTS = 300
HISTORY = 50
SEEDS = range(8)


@dataclass
class Audience:
    """Likes come from topic and format, views from the hour: best to worst is 4 to 1 in each."""

    rng: Random
    topics: dict[str, float] = field(default_factory=dict)
    formats: dict[str, float] = field(default_factory=dict)
    peak: int = 0

    def __post_init__(self) -> None:
        strengths = [0.5, 0.7, 1.0, 1.4, 2.0]
        self.topics = dict(zip(TOPICS, self.rng.sample(strengths, 5), strict=True))
        self.formats = dict(zip(FORMATS, self.rng.sample(strengths, 5), strict=True))
        self.peak = self.rng.randrange(24)

    def turn_topics_over(self) -> None:
        self.topics = {topic: 1.0 / strength for topic, strength in self.topics.items()}

    def best_topic(self) -> str:
        return max(TOPICS, key=self.topics.__getitem__)

    def best_format(self) -> str:
        return max(FORMATS, key=self.formats.__getitem__)

    def hours_from_peak(self, hour: int) -> int:
        distance = abs(hour - self.peak)
        return min(distance, 24 - distance)

    def look(self, arms: Arms) -> PostMetrics:
        share_awake = max(0.25, 1.0 - self.hours_from_peak(arms.hour) / 8)
        views = max(1, round(self.rng.gauss(200, 40) * share_awake))
        chance = 0.05 * self.topics[arms.topic] * self.formats[arms.format]
        likes = sum(self.rng.random() < chance for _ in range(views))
        replies = sum(self.rng.random() < chance / 5 for _ in range(views))
        return PostMetrics(likes=likes, replies=replies, views=views)


@dataclass
class Result:
    chosen: list[Arms]
    likes: list[int]
    audience: Audience


def run_bandit(seed: int, *, taste_changes: bool = False) -> Result:
    """POSTS posts; with `taste_changes` as many again after the best topic has become the worst."""
    rng = Random(seed)
    audience = Audience(Random(1000 + seed))
    arms: list[Arm] = []
    history: list[PostMetrics] = []
    result = Result([], [], audience)
    for number in range(2 * POSTS if taste_changes else POSTS):
        if number == POSTS:
            audience.turn_topics_over()
        # Only the next 12 hours can be planned, as the planner does it.
        start = rng.randrange(24)
        hours = [(start + ahead) % 24 for ahead in range(12)]
        used = choose(arms, topics=TOPICS, formats=FORMATS, hours=hours, rng=rng)
        seen = audience.look(used)
        arms = learn(arms, used, reward(seen, history[-HISTORY:]))
        history.append(seen)
        result.chosen.append(used)
        result.likes.append(seen.likes)
    return result


def run_uniform(seed: int) -> list[int]:
    rng = Random(seed)
    audience = Audience(Random(1000 + seed))
    return [
        audience.look(Arms(rng.choice(TOPICS), rng.choice(FORMATS), rng.choice(HOURS))).likes
        for _ in range(POSTS)
    ]


def test_the_best_topic_and_format_are_chosen_far_more_often_than_by_chance() -> None:
    topic_shares, format_shares = [], []
    for seed in SEEDS:
        result = run_bandit(seed)
        late = result.chosen[-150:]
        topic_shares.append(mean(arms.topic == result.audience.best_topic() for arms in late))
        format_shares.append(mean(arms.format == result.audience.best_format() for arms in late))
    # Chance is 0.2.
    assert mean(topic_shares) > 0.5, topic_shares
    assert mean(format_shares) > 0.5, format_shares
    assert min(topic_shares + format_shares) > 0.3, (topic_shares, format_shares)


def test_a_change_of_taste_is_followed() -> None:
    shares = []
    for seed in SEEDS:
        result = run_bandit(seed, taste_changes=True)
        shares.append(mean(arms.topic == result.audience.best_topic() for arms in result.chosen[-150:]))
    assert mean(shares) > 0.4, shares


def test_posts_come_at_hours_nearer_to_the_audiences_peak_than_by_chance() -> None:
    distances = []
    for seed in SEEDS:
        result = run_bandit(seed)
        distances += [result.audience.hours_from_peak(arms.hour) for arms in result.chosen[-150:]]
    # By chance the mean distance is 6 hours.
    assert mean(distances) < 4.5, mean(distances)


def test_posts_are_liked_more_than_posts_chosen_at_random() -> None:
    ratios = [mean(run_bandit(seed).likes) / mean(run_uniform(seed)) for seed in SEEDS]
    assert mean(ratios) > 2, ratios
    assert min(ratios) > 1.5, ratios


def test_the_same_seed_gives_the_same_choices() -> None:
    assert run_bandit(3).chosen == run_bandit(3).chosen
