"""What shows that the database is too slow or its pool too small, for as long as people should hear of it."""

from dataclasses import dataclass

MEMORY_S = 600.0
"""For so long after the last of them it is still told."""


@dataclass(frozen=True, slots=True)
class Excess:
    """Works that have taken longer than they should, each within `MEMORY_S` of the one before."""

    work: str
    """The first of them."""
    first_at: float
    last_at: float


class Excesses:
    """Notes what takes longer than `limit_s`. Written on one thread; another may read."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._latest: Excess | None = None

    def note(self, work: str, took_s: float, now: float) -> None:
        if took_s > self.limit_s:
            before = self.current(now)
            self._latest = (
                Excess(work, now, now) if before is None else Excess(before.work, before.first_at, now)
            )

    def current(self, now: float) -> Excess | None:
        """Those of now; None when the last is long ago."""
        latest = self._latest
        return latest if latest is not None and now - latest.last_at < MEMORY_S else None


class Crowd:
    """For how long all but a few connections have been in use without a break."""

    def __init__(self, limit: int) -> None:
        """`limit`: so many may be in use."""
        self._limit = limit
        self._since: float | None = None

    def note(self, in_use: int, now: float) -> None:
        if in_use <= self._limit:
            self._since = None
        elif self._since is None:
            self._since = now

    def lasts_s(self, now: float) -> float:
        since = self._since
        return 0.0 if since is None else now - since
