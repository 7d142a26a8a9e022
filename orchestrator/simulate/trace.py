"""What happened in a simulation, moment by moment; all times are seconds since its start."""

from collections import Counter
from dataclasses import dataclass, field

from orchestrator.allocator import Lane, LeaseEnd
from orchestrator.model import Ending


@dataclass(slots=True)
class Request:
    """One wish for a context, from asking to the end of the lease."""

    job: str
    lane: Lane
    asked_s: float
    granted_s: float | None = None
    """None when it was never granted."""
    ended_s: float = 0.0
    end: LeaseEnd = LeaseEnd.RELEASED
    is_called_back: bool = False

    @property
    def waited_s(self) -> float:
        """Until the grant, or for as long as it was waited in vain."""
        return (self.ended_s if self.granted_s is None else self.granted_s) - self.asked_s

    @property
    def held_s(self) -> float:
        return 0.0 if self.granted_s is None else self.ended_s - self.granted_s


@dataclass(slots=True)
class Start:
    """The first try of one run."""

    job: str
    due_s: float
    """When it should have begun: its due time, or when another job woke it."""
    started_s: float | None = None
    """When its work began, with a context if it needs one; None when it never did."""
    ended_s: float = 0.0

    @property
    def late_s(self) -> float:
        return max(0.0, (self.ended_s if self.started_s is None else self.started_s) - self.due_s)


@dataclass(slots=True)
class Trace:
    """Everything that the figures are made from."""

    horizon_s: float
    capacity: int
    requests: list[Request] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    endings: dict[str, Counter[Ending]] = field(default_factory=dict)
    """By job."""
