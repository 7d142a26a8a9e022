"""From a failure to what follows: which kind it is, and how long to wait before the next try."""

from dataclasses import dataclass
from random import Random

from orchestrator.errors import Failure, OrchestratorError


@dataclass(frozen=True, slots=True)
class RetryRule:
    """At most `retries` further tries, the n-th after up to `base_s * 2**n` seconds (full jitter).

    Full jitter draws the delay evenly between 0 and the bound, so that many who failed together do
    not come back together (Brooker, "Exponential Backoff and Jitter", AWS, 2015).
    """

    retries: int
    base_s: float
    cap_s: float = 300.0

    def bound_s(self, tried: int) -> float:
        """The longest delay after `tried` failed tries (1, 2, …)."""
        return float(min(self.cap_s, self.base_s * 2.0 ** (tried - 1)))

    def delay_s(self, tried: int, rng: Random) -> float:
        return rng.uniform(0.0, self.bound_s(tried))


def failure_of(error: BaseException) -> Failure | None:
    """The kind of a failure; None for an error that nobody foresaw: a bug."""
    return error.failure if isinstance(error, OrchestratorError) else None


def root_of(error: BaseException) -> BaseException:
    """The one error inside nested groups that hold nothing else; the group when there are several."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
