"""How accounts fare: a score from 0 to 100 that troubles lower and time mends.

Each trouble costs points by its kind, and points wear off by half every `HALF_LIFE`:

    score = 100 - Σ points × ½ ^ (age / HALF_LIFE), at least 0

A site that does not answer anybody is no trouble of an account: its breaker knows.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from orchestrator.db.accounts import TroubleMark
from orchestrator.errors import (
    PageUnexpectedError,
    PostNotPressedError,
    PostUnclearError,
    SignedOutError,
    SignInRefusedError,
    SiteRateLimitedError,
)
from orchestrator.model import Trouble

BEST = 100
HALF_LIFE = timedelta(hours=6)
COSTS = {Trouble.REFUSED: 70, Trouble.AMBIGUOUS: 25, Trouble.RATE_LIMITED: 20, Trouble.FAILED: 10}


class Health:
    """The scores of all accounts."""

    def __init__(self) -> None:
        self._marks: defaultdict[str, dict[Trouble, TroubleMark]] = defaultdict(dict)

    def recall(self, marks: Iterable[tuple[str, Trouble, TroubleMark]]) -> None:
        """Take over what was kept."""
        for name, kind, mark in marks:
            self._marks[name][kind] = mark

    def note(self, name: str, kind: Trouble, said: str, now: datetime) -> TroubleMark:
        """A trouble has come; what its kind has cost by now."""
        before = self._marks[name].get(kind)
        left = 0.0 if before is None else _left(before, now)
        mark = self._marks[name][kind] = TroubleMark(left + COSTS[kind], now, said)
        return mark

    def forget(self, name: str) -> None:
        self._marks.pop(name, None)

    def score(self, name: str, now: datetime) -> int:
        cost = sum(_left(mark, now) for mark in self._marks.get(name, {}).values())
        return max(0, round(BEST - cost))

    def worst(self, name: str, now: datetime) -> str:
        """What the trouble that costs most said; empty without any."""
        marks = self._marks.get(name, {}).values()
        return max(marks, key=lambda mark: _left(mark, now)).said if marks else ""


def _left(mark: TroubleMark, now: datetime) -> float:
    age = max(timedelta(), now - mark.at)
    return float(mark.points * 0.5 ** (age / HALF_LIFE))


def kind_of(error: Exception) -> Trouble | None:
    """Which trouble of its account an error of a visit is; None when it is none."""
    match error:
        case SignInRefusedError():
            return Trouble.REFUSED
        case SiteRateLimitedError():
            return Trouble.RATE_LIMITED
        case PostUnclearError():
            return Trouble.AMBIGUOUS
        case PostNotPressedError() if not error.costs_attempt:
            return None  # the browser died
        case PageUnexpectedError() | SignedOutError():
            return Trouble.FAILED
        case _:
            return None
