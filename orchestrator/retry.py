"""From a failure to what follows: which kind it is, how many tries are left, how long to wait."""

from dataclasses import dataclass
from random import Random

from orchestrator.errors import Failure, OrchestratorError

FREE_TRIES = 5
"""Tries of one run that may fail through no fault of its own before they count all the same."""
_MAX_DOUBLINGS = 64
"""Enough for any cap; a float can't hold the doublings of a caller that tries for ever."""


@dataclass(frozen=True, slots=True)
class RetryRule:
    """At most `retries` further tries, the n-th after up to `base_s * 2**(n - 1)` seconds (full jitter).

    Full jitter draws the delay evenly between 0 and the bound, so that many who failed together do
    not come back together (Brooker, "Exponential Backoff and Jitter", AWS, 2015).
    """

    retries: int
    base_s: float
    cap_s: float = 300.0

    def bound_s(self, tried: int) -> float:
        """The longest delay after `tried` failed tries (1, 2, …)."""
        return float(min(self.cap_s, self.base_s * 2.0 ** min(tried - 1, _MAX_DOUBLINGS)))

    def delay_s(self, tried: int, rng: Random) -> float:
        return rng.uniform(0.0, self.bound_s(tried))


CRITICAL = RetryRule(2, 2.0)
HIGH = RetryRule(4, 5.0)
NORMAL = RetryRule(4, 10.0)
LOW = RetryRule(9, 15.0)
VERY_LOW = RetryRule(14, 30.0)


def preset(priority: int) -> RetryRule:
    """The rule of a job that has none of its own (E3): 3, 5, 5, 10 or 15 tries, the first one included.

    Priority 0 is critical, 1 high, 2–6 normal, 7 and 8 low, the rest very low.
    """
    for last, rule in ((0, CRITICAL), (1, HIGH), (6, NORMAL), (8, LOW)):
        if priority <= last:
            return rule
    return VERY_LOW


class Tries:
    """The tries of one run under one rule."""

    def __init__(self, rule: RetryRule) -> None:
        self._rule = rule
        self._failed = 0
        self._free = 0
        self._wish_s = 0.0

    @property
    def attempt(self) -> int:
        """The number of the present try (1, 2, …); a try that cost no attempt has the next one's number."""
        return 1 + self._failed - self._free

    def fail(self, error: OrchestratorError | None = None) -> bool:
        """The present try failed in a way that may pass; whether another one is left."""
        self._failed += 1
        self._wish_s = (error and error.retry_in_s) or 0.0
        if error is not None and not error.costs_attempt and self._free < FREE_TRIES:
            self._free += 1
        return self.attempt <= self._rule.retries + 1

    def is_too_long(self, error: OrchestratorError) -> bool:
        """Whether the other side asks for more patience than the rule has: a retry would come too early."""
        return (error.retry_in_s or 0.0) > self._rule.cap_s

    def delay_s(self, rng: Random) -> float:
        """How long to wait after a failed try: what the other side asked for, and then the rule's delay.

        So those whom it told the same time do not come back together.
        """
        return self._wish_s + self._rule.delay_s(self._failed, rng)


def failure_of(error: BaseException) -> Failure | None:
    """The kind of a failure; None for an error that nobody foresaw: a bug."""
    return error.failure if isinstance(error, OrchestratorError) else None


def root_of(error: Exception) -> Exception:
    """The error itself, or the gravest one in a group: a bug before a permanent failure before the rest."""
    if not isinstance(error, ExceptionGroup):
        return error
    return min((root_of(one) for one in error.exceptions), key=lambda one: _GRAVITY.index(failure_of(one)))


_GRAVITY = (None, Failure.PERMANENT, Failure.BUDGET, Failure.TRANSIENT)
