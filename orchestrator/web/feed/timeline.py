"""The latest past of the slots: who had which one, from when to when, and how that ended."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.allocator import Lease, LeaseEnd
from orchestrator.web.feed.patch import Document

SHOWN_S = 900.0
"""How far back people see, in real seconds."""
KEPT = 300
"""Leases of the past, at most."""


@dataclass(frozen=True, slots=True)
class Span:
    """A lease that has ended. Times are real ones, in seconds since 1970."""

    number: int
    slot: int
    holder: str
    lane: str
    asked_at: float
    since: float
    until: float
    called_back_at: float | None
    end: str


class Timeline:
    """Notes each lease as it ends."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._spans: deque[Span] = deque(maxlen=KEPT)

    def note(self, lease: Lease, end: LeaseEnd, trio_now: float) -> None:
        """The lease has ended; `trio_now` is now by the clock that the lease is measured by."""
        offset = self._now() - trio_now
        called_back_at = lease.called_back_at
        self._spans.append(
            Span(
                number=lease.id,
                slot=lease.slot,
                holder=lease.holder,
                lane=lease.lane.label,
                asked_at=round(lease.granted_at - lease.waited_s + offset, 1),
                since=round(lease.granted_at + offset, 1),
                until=round(trio_now + offset, 1),
                called_back_at=None if called_back_at is None else round(called_back_at + offset, 1),
                end=end.value,
            )
        )

    def rows(self) -> Document:
        """By their numbers, those that ended within SHOWN_S."""
        first = self._now() - SHOWN_S
        return {
            str(span.number): {
                "slot": span.slot,
                "holder": span.holder,
                "lane": span.lane,
                "asked_at": span.asked_at,
                "since": span.since,
                "until": span.until,
                "called_back_at": span.called_back_at,
                "end": span.end,
            }
            for span in self._spans
            if span.until >= first
        }
