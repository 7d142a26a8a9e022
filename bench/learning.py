"""What learning earns: the bandit and the models against random choices, on the bundled site's audience.

In simulated time and without a browser: a post each hour, counted by the audience itself. What the daemon
does in `plan`, `learn` and `model_review` is done here with the same functions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import accumulate
from pathlib import Path
from random import Random
from statistics import median

import trio

from bench import learning_picture
from bench.figure import Aim, Figure, Report
from orchestrator.content.writer import Stock, Writer
from orchestrator.demo.audience import COMPLETE_AFTER_S, HOUR_S, Audience, Chorus
from orchestrator.demo.records import Post
from orchestrator.jobs.choice import Chooser, write_several
from orchestrator.learning import bandit
from orchestrator.learning.bandit import Arm
from orchestrator.learning.predictor import Case, missing, predict, train
from orchestrator.learning.review import Ruling, Said, of_candidate, of_serving
from orchestrator.learning.ridge import Linear
from orchestrator.model import Arms, PostMetrics, fingerprint
from orchestrator.settings import ContentSettings, LearningSettings
from orchestrator.settings.predictor import PredictorSettings

EARNED_AIM, CAUGHT_AIM = Aim(1.5, is_floor=True), Aim(100, "posts")
POSTS, SEEDS = 500, range(6)
BEGIN_S = 1_780_000_000 // 86_400 * 86_400.0
REVIEW_EACH = 6
"""Posts, one an hour."""
RECENT = 100
"""Texts that a new one is compared with."""
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "learning.svg"


@dataclass
class _Out:
    """A post that is out, and what each model said of it."""

    post: Post
    arms: Arms
    said: dict[int, float]
    by: int | None
    reward: float | None = None


@dataclass
class Way:
    """One account's posts before one audience; `learns` or chooses at random."""

    seed: int
    stock: Stock
    learns: bool
    now: float = BEGIN_S
    out: list[_Out] = field(default_factory=list)
    arms: list[Arm] = field(default_factory=list)
    history: list[PostMetrics] = field(default_factory=list)
    models: dict[int, Linear] = field(default_factory=dict)
    serving: int | None = None
    before: int | None = None
    candidate: int | None = None
    trained_with: int = 0
    serves_since: int = 0
    rolled_back: int = 0

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        self.audience = Audience(self.seed, Chorus((), (), {}))
        self.settings = PredictorSettings()
        self.used: set[str] = set()

    # ── what plan does ──────────────────────────────────────────────────────────────────────────

    def post(self) -> None:
        """One more post; an hour passes."""
        start, horizon = int(self.now // HOUR_S), ContentSettings().horizon_h
        there = self.stock.inventory
        hours = [(start + ahead) % 24 for ahead in range(horizon)]
        known = self.arms if self.learns else ()
        wish = bandit.choose(known, topics=there.topics, formats=there.formats, hours=hours, rng=self.rng)
        in_use = {number: self.models[number] for number in (self.candidate, self.serving) if number}
        chooser = Chooser(self.settings, in_use, self.candidate, self.serving)
        recent = [one.post.text for one in self.out[-RECENT:]]
        written, refused = write_several(
            self.stock, wish, self.rng, count=chooser.texts, recent_texts=recent, used=self.used,
            site_max_chars=None,
        )  # fmt: skip
        if not written:
            raise RuntimeError(f"the bundled texts are used up after {len(self.out)} posts: {refused[0]}")
        best, by = chooser.choose(written, wish.hour, self.rng)
        arms = Arms(best.topic, best.format, wish.hour)
        said = {number: predict(linear, best.text, arms) for number, linear in in_use.items()}
        at = (start + (wish.hour - start) % 24) * HOUR_S
        number = len(self.out)
        post = Post(number, f"p{number}", "ada", "Ada", best.text, at, 200)
        self.used.add(fingerprint(best.text))
        self.out.append(_Out(post, arms, said, by))
        self.now += HOUR_S

    # ── what learn and model_review do ──────────────────────────────────────────────────────────

    def learn(self) -> None:
        settle_s = timedelta(hours=LearningSettings().settle_h).total_seconds()
        for one in self.out:
            if one.reward is None and one.post.accepted_at + settle_s <= self.now:
                counts = self.audience.counts(one.post, one.post.accepted_at + settle_s)
                seen = PostMetrics(counts.likes, counts.replies, counts.views)
                one.reward = bandit.reward(seen, self.history[-LearningSettings().history :])
                self.history.append(seen)
                self.arms = bandit.learn(self.arms, one.arms, one.reward)

    def train(self) -> None:
        cases = [Case(one.post.text, one.arms, one.reward) for one in self.out if one.reward is not None]
        is_due = not self.models or len(cases) - self.trained_with >= self.settings.retrain_posts
        if self.candidate is None and is_due and missing(cases, self.settings.min_posts) is None:
            self.candidate, self.trained_with = len(self.models) + 1, len(cases)
            self.models[self.candidate] = train(cases).linear

    def review(self) -> None:
        least = self.settings.review_posts
        if self.serving is not None:
            before = self.models[self.before] if self.before else None
            linear = self.models[self.serving]
            verdict = of_serving(self._said(self.serving), linear, before, least)
            if verdict.ruling is Ruling.END:
                self.serving, self.before = self.before, None
                self.rolled_back += 1
        if self.candidate is not None:
            serving = self.models[self.serving] if self.serving else None
            said = self._said(self.candidate)
            verdict = of_candidate(said, self.models[self.candidate], serving, least)
            if verdict.ruling is Ruling.PROMOTE:
                self.before, self.serving = self.serving, self.candidate
            if verdict.ruling is not Ruling.STAY:
                self.candidate = None

    def _said(self, number: int) -> list[Said]:
        return [
            Said(one.post.text, one.arms, one.said[number], one.reward, one.by == number)
            for one in self.out[-200:]
            if one.reward is not None and number in one.said
        ]

    def spoil(self) -> None:
        """A model that expects the opposite of what was learned takes the place of the one that serves."""
        number = self.serving or len(self.models)
        good = self.models[number]
        spoiled = replace(good, weights={name: -weight for name, weight in good.weights.items()})
        self.models[len(self.models) + 1] = spoiled
        self.before, self.serving, self.candidate = number, len(self.models), None

    def go(self, count: int) -> None:
        for _ in range(count):
            self.post()
            if self.learns:
                self.learn()
                self.train()
                if len(self.out) % REVIEW_EACH == 0:
                    self.review()

    def earned(self) -> list[float]:
        """Likes and twice the replies of each post, when all have seen it."""
        counts = [self.audience.counts(one.post, one.post.accepted_at + COMPLETE_AFTER_S) for one in self.out]
        return [one.likes + 2.0 * one.replies for one in counts]


def measure() -> Report:
    """The reward of 500 posts with learning and without, and how soon a spoiled model is rolled back."""
    stock = trio.run(Writer(ContentSettings()).read)
    learned, chance, caught, served = [], [], [], 0
    for seed in SEEDS:
        learning, random = Way(seed, stock, learns=True), Way(seed, stock, learns=False)
        learning.go(POSTS)
        random.go(POSTS)
        learned.append(learning.earned())
        chance.append(random.earned())
        served += learning.serving is not None
        caught.append(posts_until_rolled_back(learning))
    PICTURE.write_text(learning_picture.draw(_paths(learned), _paths(chance)))
    ratios = [sum(one) / sum(other) for one, other in zip(learned, chance, strict=True)]
    each = f"{median(map(sum, learned)) / POSTS:.1f} likes and replies a post"
    beside = f"{median(map(sum, chance)) / POSTS:.1f}"
    figures = [
        Figure("learning: reward of 500 posts, next to random", median(ratios), each, beside, EARNED_AIM),
        Figure("learning: the same for the least of the seeds", min(ratios), "", "", EARNED_AIM),
        Figure(
            "learning: posts until a spoiled model is rolled back, the longest of the seeds", max(caught),
            ", ".join(f"{count:.0f}" for count in caught), "", CAUGHT_AIM, "posts", 0,
        ),
    ]  # fmt: skip
    note = f"learning: {len(SEEDS)} seeds of the bundled audience; after 500 posts a model served in {served}"
    return Report(figures, [note])


def posts_until_rolled_back(run: Way) -> float:
    """Infinite when it is not within so many posts as were made before."""
    run.spoil()
    spoiled = run.serving
    for count in range(1, POSTS + 1):
        run.go(1)
        if run.serving != spoiled:
            return count
    return float("inf")


def _paths(earned: Sequence[Sequence[float]]) -> list[list[float]]:
    """What was earned up to each post."""
    return [list(accumulate(one)) for one in earned]
