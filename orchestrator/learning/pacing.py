"""How often an account posts, and when a post fits between the others (A4.2). All functions are pure."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from orchestrator.settings.pacing import PacingSettings

GOOD, BAD = 0.95, 0.90
"""Above the first share of successes it becomes faster, below the second slower."""
FASTER, SLOWER = 1.1, 0.8
"""Failures cost more than posts that come a little later: it slows down in larger steps."""
MIN_ENDINGS = 10
"""Posts that have to end between two judgements: of fewer, one failure would decide."""
PEAK = 1.5
"""At hours that were found to be better, posts may come so many times as often."""
HOUR = timedelta(hours=1)


def judged(per_hour: float, published: int, failed: int, settings: PacingSettings) -> float | None:
    """The rate after so many posts ended since the last judgement; None: too few to judge."""
    if published + failed < MIN_ENDINGS:
        return None
    share = published / (published + failed)
    factor = FASTER if share > GOOD else SLOWER if share < BAD else 1.0
    return min(settings.max_per_hour, max(settings.min_per_hour, per_hour * factor))


@dataclass(frozen=True, slots=True)
class Timetable:
    """When an account may post, beside its other posts."""

    zone: ZoneInfo
    per_hour: float
    peaks: Collection[int]
    """Hours of day that were found to be better."""
    per_day: int
    """Posts of one day, by the account's calendar, at most."""
    taken: Sequence[datetime]
    """When other posts are to go out or have gone out."""

    def gap(self, at: datetime) -> timedelta:
        """From a post at this moment to the nearest other one, at least."""
        is_peak = at.astimezone(self.zone).hour in self.peaks
        return HOUR / (self.per_hour * PEAK if is_peak else self.per_hour)

    def first_free(self, since: datetime) -> datetime:
        """The first moment from `since` on that is far enough from every other post."""
        moment = since
        for other in sorted(self.taken):
            if abs(moment - other) < self.gap(other):
                moment = other + self.gap(other)
        return moment

    def has_room(self, begin: datetime, end: datetime) -> bool:
        """Whether one more post fits in, and into its day."""
        days = Counter(other.astimezone(self.zone).date() for other in self.taken)
        moment = self.first_free(begin)
        return moment < end and days[moment.astimezone(self.zone).date()] < self.per_day

    def moment(self, begin: datetime, end: datetime, share: float) -> datetime:
        """A free moment, `share` (0 to 1) of the way from `begin` to `end` or after it, best before `end`."""
        wish = self.first_free(begin + (end - begin) * share)
        return wish if wish < end else self.first_free(begin)
