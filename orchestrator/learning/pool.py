"""How full the pool of opportunities of a site is, when it is to be filled, and what people are told."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

HOUR = timedelta(hours=1)
MANY, FEW, HARDLY_ANY = HOUR, timedelta(minutes=20), timedelta(minutes=10)
"""Between two harvests while so many are open."""
SLACK = 0.9
"""Runs are up to a twentieth of their interval early."""
LONG = timedelta(hours=2)
"""For so long there may be hardly any before people are told."""
DROP = 0.5
"""The share of the pool within an hour whose loss people are told of."""
MOST_KEPT = 60

KEEPER = "harvester"
"""The job among whose notes the levels are kept."""
_PREFIX = "pool/"


def key_of(site: str) -> str:
    """The site's note."""
    return f"{_PREFIX}{site}"


@dataclass(frozen=True, slots=True)
class Level:
    """What is known of a site's pool. `history` has the counts of the last hour, oldest first."""

    target: int = 0
    """So many are wanted."""
    history: tuple[tuple[datetime, int], ...] = ()
    low_since: datetime | None = None
    harvested_at: datetime | None = None

    @classmethod
    def of(cls, kept: Any) -> Self:
        """From a note; None is that of no pool."""
        if kept is None:
            return cls()
        return cls(
            kept["target"],
            tuple((datetime.fromisoformat(at), count) for at, count in kept["history"]),
            _moment(kept["low_since"]),
            _moment(kept["harvested_at"]),
        )

    def note(self) -> dict[str, Any]:
        """As JSON can say it."""
        return {
            "target": self.target,
            "history": [(at.isoformat(), count) for at, count in self.history],
            "low_since": self.low_since and self.low_since.isoformat(),
            "harvested_at": self.harvested_at and self.harvested_at.isoformat(),
        }

    @property
    def low(self) -> int:
        """With fewer there are few."""
        return self.target * 2 // 5

    @property
    def least(self) -> int:
        """With fewer there are hardly any."""
        return self.target // 5

    @property
    def count(self) -> int:
        """As last seen."""
        return self.history[-1][1] if self.history else 0

    def seen(self, now: datetime, count: int, target: int) -> Self:
        """With one more look. Moments ahead of `now` were noted by a clock that was ahead."""
        kept = [(at, of) for at, of in self.history if now - HOUR <= at <= now]
        since = self.low_since if self.low_since is not None and self.low_since <= now else now
        level = replace(self, target=target, history=(*kept[1 - MOST_KEPT :], (now, count)))
        return replace(level, low_since=since if count < level.least else None)

    @property
    def every(self) -> timedelta:
        """How often the pool is to be filled."""
        if self.count >= self.low:
            return MANY
        return FEW if self.count >= self.least else HARDLY_ANY

    def is_due(self, now: datetime) -> bool:
        """Whether the pool, with as many in it as last seen, is to be filled now."""
        if self.count >= self.target:
            return False
        if self.harvested_at is None or self.harvested_at > now:
            return True
        return now - self.harvested_at >= self.every * SLACK

    def is_known(self, now: datetime) -> bool:
        """Whether somebody has looked within the last hour."""
        return bool(self.history) and self.history[-1][0] > now - HOUR

    def is_low_for_long(self, now: datetime) -> bool:
        return self.is_known(now) and self.low_since is not None and now - self.low_since >= LONG

    def has_dropped(self, now: datetime) -> bool:
        """More than half of it within an hour; of a pool that was hardly filled nothing is said."""
        if not self.is_known(now):
            return False
        most = max(count for at, count in self.history if at > now - HOUR)
        return most >= self.least and self.count < most * DROP


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
