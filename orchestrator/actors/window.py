"""Posting windows: while a post is due, jobs that read the site by the hundred are not started."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

AHEAD = timedelta(minutes=2)
BEHIND = timedelta(minutes=10)
"""A window is open from so long before a due post until the post is out, and never longer than this after
its due time; both in time of the wall clock."""


@dataclass(frozen=True, slots=True)
class PostingWindow:
    """An open window."""

    due_at: datetime
    """When its post is due."""

    @property
    def until(self) -> datetime:
        """It is closed by then, whatever becomes of the post."""
        return self.due_at + BEHIND


class PostingWindows:
    """What is known of the posts to come. Written by the jobs that queue and publish; read by the actors."""

    def __init__(self) -> None:
        self._due: tuple[datetime, ...] = ()

    def expect(self, due: Iterable[datetime]) -> None:
        """Posts that are not out yet are due at these moments; what was expected before is forgotten."""
        self._due = tuple(sorted(due))

    def open_at(self, now: datetime) -> PostingWindow | None:
        """The window that is open, of several the one that closes last."""
        for due_at in reversed(self._due):
            if due_at - AHEAD <= now < due_at + BEHIND:
                return PostingWindow(due_at)
        return None
