from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import (
    ContextBrokenError,
    DatabaseUnavailableError,
    Failure,
    OrchestratorError,
    PostRefusedError,
    SiteRateLimitedError,
    SiteUnavailableError,
)
from orchestrator.retry import FREE_TRIES, VERY_LOW, RetryRule, Tries, failure_of, preset, root_of
from tests.fakes import Highest, Lowest

PASSING, FINAL, BUG = SiteUnavailableError("no answer"), PostRefusedError("no"), ZeroDivisionError("bug")
BROKEN = ContextBrokenError("the browser died")


class SpentError(OrchestratorError):
    failure = Failure.BUDGET


@pytest.mark.parametrize(
    ("rule", "bounds_s"),
    [
        (RetryRule(3, 2.0), [2, 4, 8]),  # A2.4: plan
        (RetryRule(3, 1.0), [1, 2, 4]),  # A2.4: posting
        (RetryRule(9, 1.0, cap_s=5.0), [1, 2, 4, 5, 5]),
    ],
)
def test_the_bound_of_the_delay_doubles_up_to_the_cap(rule: RetryRule, bounds_s: list[float]) -> None:
    assert [rule.bound_s(tried) for tried in range(1, len(bounds_s) + 1)] == bounds_s


def test_whoever_tries_for_ever_waits_the_cap() -> None:
    assert RetryRule(0, 0.001, cap_s=10.0).bound_s(100_000) == 10.0


@given(st.integers(1, 50), st.randoms(use_true_random=False))
def test_a_delay_lies_between_nothing_and_its_bound(tried: int, rng: Random) -> None:
    rule = RetryRule(3, 2.0)
    assert 0 <= rule.delay_s(tried, rng) <= rule.bound_s(tried)


def test_delays_are_spread_over_the_whole_range() -> None:
    rng, rule = Random(3), RetryRule(3, 10.0)
    delays_s = [rule.delay_s(1, rng) for _ in range(1000)]
    for begin in range(0, 10, 2):
        assert 140 <= sum(begin <= delay_s < begin + 2 for delay_s in delays_s) <= 260


@pytest.mark.parametrize(
    ("priorities", "attempts", "base_s"),
    [([0], 3, 2), ([1], 5, 5), (range(2, 7), 5, 10), ([7, 8], 10, 15), ([9, 10], 15, 30)],
)
def test_each_priority_has_its_preset(priorities: Iterable[int], attempts: int, base_s: float) -> None:
    """E3, which counts attempts: the first try is one of them."""
    for priority in priorities:
        rule, tries = preset(priority), Tries(preset(priority))
        assert [tries.fail(PASSING) for _ in range(attempts)] == [True] * (attempts - 1) + [False]
        assert (rule.bound_s(1), rule.bound_s(2)) == (base_s, 2 * base_s)


def test_a_preset_has_full_jitter_and_a_cap() -> None:
    rng = Highest()
    assert VERY_LOW.delay_s(1, rng) == 30
    assert rng.draws == [(0, 30)]
    assert VERY_LOW.bound_s(15) == 300


# ── tries ───────────────────────────────────────────────────────────────────────────────────────


def test_a_rule_of_three_retries_has_four_tries() -> None:
    tries = Tries(RetryRule(3, 2.0))
    assert [(tries.attempt, tries.fail(PASSING)) for _ in range(4)] == [
        (1, True),
        (2, True),
        (3, True),
        (4, False),
    ]


def test_each_failed_try_waits_longer() -> None:
    tries, delays_s = Tries(RetryRule(3, 2.0)), []
    while tries.fail(PASSING):
        delays_s.append(tries.delay_s(Highest()))
    assert delays_s == [2, 4, 8]


def test_a_failure_without_blame_costs_nothing_until_there_are_too_many() -> None:
    tries = Tries(RetryRule(0, 1.0))
    assert [tries.fail(BROKEN) for _ in range(FREE_TRIES + 1)] == [True] * FREE_TRIES + [False]
    assert tries.attempt == 2


def test_the_other_side_is_given_the_patience_that_it_asks_for() -> None:
    tries = Tries(RetryRule(3, 2.0, cap_s=60.0))
    assert not tries.is_too_long(SiteRateLimitedError("slower", retry_in_s=60))
    assert tries.is_too_long(SiteRateLimitedError("slower", retry_in_s=61))
    tries.fail(SiteRateLimitedError("slower", retry_in_s=45))
    assert tries.delay_s(Lowest()) == 45
    tries.fail(SiteRateLimitedError("slower"))
    assert tries.delay_s(Lowest()) == 0


def test_those_who_were_asked_for_the_same_patience_come_back_one_by_one_and_none_too_early() -> None:
    rng, delays_s = Random(5), []
    for _ in range(100):
        tries = Tries(RetryRule(3, 10.0))
        tries.fail(SiteRateLimitedError("slower", retry_in_s=60))
        delays_s.append(tries.delay_s(rng))
    assert 60 <= min(delays_s) < 61
    assert 69 < max(delays_s) <= 70


# ── kinds ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (PASSING, Failure.TRANSIENT),
        (DatabaseUnavailableError("away"), Failure.TRANSIENT),
        (FINAL, Failure.PERMANENT),
        (SpentError("spent"), Failure.BUDGET),
        (BUG, None),
        (TimeoutError(), None),
    ],
)
def test_an_error_says_its_kind_and_one_that_nobody_foresaw_is_a_bug(
    error: Exception, kind: Failure | None
) -> None:
    assert failure_of(error) is kind


@pytest.mark.parametrize(
    ("errors", "root"),
    [
        ([PASSING], PASSING),
        ([PASSING, BROKEN], PASSING),
        ([PASSING, FINAL], FINAL),
        ([PASSING, ExceptionGroup("inner", [FINAL, ExceptionGroup("more", [BUG])])], BUG),
        ([ExceptionGroup("inner", [ExceptionGroup("more", [PASSING])])], PASSING),
    ],
)
def test_a_group_stands_for_its_gravest_error(errors: list[Exception], root: Exception) -> None:
    assert root_of(ExceptionGroup("group", errors)) is root


def test_an_error_alone_stands_for_itself() -> None:
    assert root_of(BUG) is BUG


def test_a_spent_budget_is_graver_than_what_may_pass() -> None:
    spent = SpentError("spent")
    assert root_of(ExceptionGroup("group", [PASSING, spent])) is spent
    assert root_of(ExceptionGroup("group", [spent, FINAL])) is FINAL
