"""Findings: what is told apart from chance, and what is not."""

from random import Random

import pytest

from orchestrator.learning.bandit import Arm
from orchestrator.learning.findings import (
    MIN_POSTS,
    Difference,
    Tally,
    differences,
    in_bands,
    nudged,
    statement,
)

FORMATS = ("tip", "question", "list", "story", "number")


def ranks(count: int, rng: Random, lift: float = 0.0) -> list[float]:
    """Scores as posts have them: between 0 and 1, anywhere."""
    return [min(1.0, max(0.0, rng.random() + lift)) for _ in range(count)]


def planted(lift: float, count: int, seed: int = 7) -> dict[tuple[str, str], Tally]:
    """`count` posts of each format, tips better by `lift`."""
    rng = Random(seed)
    return {("format", name): Tally.of(ranks(count, rng, lift if name == "tip" else 0.0)) for name in FORMATS}


def test_what_people_clearly_like_is_found_with_its_size() -> None:
    [found, *_] = differences(planted(0.4, count=40))
    assert (found.kind, found.subject) == ("format", "tip")
    assert found.low < found.effect < found.high
    assert found.low > 0
    assert found.effect == pytest.approx(0.3, abs=0.1)  # what is above 1 is cut off
    assert (found.posts, found.others) == (40, 160)


def test_chance_alone_is_hardly_ever_taken_for_a_finding() -> None:
    """Nothing matters here, and whoever says otherwise is wrong: in 1 of 20 looks at most."""
    rng = Random(11)
    wrong = 0
    for _ in range(300):
        tallies = {
            (kind, str(value)): Tally.of(ranks(20, rng))
            for kind, count in (("format", 5), ("hour", 24), ("length", 4))
            for value in range(count)
        }
        wrong += bool(differences(tallies))
    assert wrong <= 0.05 * 300 * 1.5


def test_few_posts_say_nothing_however_clear_they_look() -> None:
    liked, ignored = Tally.of([1.0] * (MIN_POSTS - 1)), Tally.of([0.0] * 100)
    assert differences({("format", "tip"): liked, ("format", "list"): ignored}) == []
    assert differences({("format", "tip"): Tally.of([1.0] * 100)}) == []


def test_posts_that_are_all_alike_differ_in_nothing() -> None:
    alike = Tally.of([0.5] * 50)
    assert differences({("format", "tip"): alike, ("format", "list"): alike}) == []


def test_hours_of_a_band_are_judged_together() -> None:
    tallies = {("hour", str(hour)): Tally(1, 0.5, 0.25) for hour in range(24)}
    assert in_bands(tallies)["hour", "06–09"] == Tally(3, 1.5, 0.75)


@pytest.mark.parametrize(
    ("kind", "subject", "words"),
    [
        ("format", "tip", "Posts of the format tip rank 12 points of 100 higher than the others"),
        ("hour", "06–09", "Posts from 6:00 to 9:00 rank"),
        ("opening", "question", "Posts that open with a question rank"),
        ("length", "under 80", "Posts of under 80 characters rank"),
        ("topic", "bread", "Posts about bread rank"),
    ],
)
def test_a_finding_is_a_sentence_with_its_interval_and_its_posts(kind: str, subject: str, words: str) -> None:
    said = statement(Difference(kind, subject, 0.12, 0.03, 0.21, 48, 252))
    assert said.startswith(words)
    assert said.endswith("(3 to 21 at 95 %; 48 posts against 252).")


def test_a_disadvantage_is_told_as_one() -> None:
    said = statement(Difference("topic", "bread", -0.12, -0.21, -0.03, 48, 252), whose="peers’ ")
    assert said.startswith("Peers’ posts about bread rank 12 points of 100 lower than the others (3 to 21")


def test_a_finding_counts_for_the_bandit_like_so_many_outcomes() -> None:
    [tip] = nudged([Arm("format", "tip", 3.0, 2.0)], {("format", "tip"): 0.3}, strength=5)
    assert (tip.alpha, tip.beta) == pytest.approx((7.0, 3.0))
    [new] = nudged([], {("topic", "bread"): -0.5}, strength=4)
    assert (new.alpha, new.beta) == pytest.approx((1.0, 5.0))


def test_the_hours_of_a_band_share_what_was_found_of_it() -> None:
    arms = nudged([], {("hour", "06–09"): 0.1}, strength=6)
    assert [arm.value for arm in arms] == ["6", "7", "8"]
    assert sum(arm.pulls for arm in arms) == pytest.approx(6)


def test_nothing_is_nudged_when_it_is_switched_off_or_the_bandit_has_no_such_choice() -> None:
    before = [Arm("format", "tip", 3.0, 2.0)]
    assert nudged(before, {("format", "tip"): 0.3}, strength=0) == before
    assert nudged(before, {("opening", "question"): 0.3}, strength=5) == before
