"""The allocator's words as types: lanes, what is asked for, leases and those who wait for one."""

from __future__ import annotations

from enum import IntEnum, StrEnum

import trio


class Lane(IntEnum):
    """Kinds of work, highest first."""

    CRITICAL = 0
    HIGH = 1
    BACKGROUND = 2

    @classmethod
    def of(cls, priority: int) -> Lane:
        if priority < 0:
            raise ValueError(f"a priority is 0 or more, not {priority}")
        return LANES[min(priority, 2)]

    @property
    def label(self) -> str:
        return self.name.lower()


LANES = tuple(Lane)  # going through the class itself is several times as slow


class LeaseEnd(StrEnum):
    """How a lease ended."""

    RELEASED = "released"
    EXPIRED = "expired"
    REVOKED = "revoked"
    CANCELLED = "cancelled"
    BROKEN = "broken"


class Request:
    """What a holder asks for; `holder` is a name for people."""

    __slots__ = ("holder", "lane", "max_hold_s", "max_wait_s", "priority")

    def __init__(self, holder: str, priority: int, max_hold_s: float, max_wait_s: float) -> None:
        self.holder = holder
        self.priority = priority
        self.lane = Lane.of(priority)
        self.max_hold_s = max_hold_s
        self.max_wait_s = max_wait_s


class Lease:
    """The right to use `slot`; valid inside the `async with` that gave it."""

    __slots__ = (
        "_called_back_event",
        "_cleanup_s",
        "called_back_at",
        "expires_at",
        "granted_at",
        "holder",
        "id",
        "is_broken",
        "is_leaving",
        "lane",
        "priority",
        "scope",
        "slot",
        "waited_s",
    )

    def __init__(
        self, number: int, slot: int, request: Request, *, now: float, waited_s: float, cleanup_s: float
    ) -> None:
        self.id = number
        self.slot = slot
        self.holder = request.holder
        self.priority = request.priority
        self.lane = request.lane
        self.granted_at = now
        self.waited_s = waited_s
        self.expires_at = now + request.max_hold_s
        self.scope = trio.CancelScope(deadline=self.expires_at)
        self.called_back_at: float | None = None
        self.is_broken = False
        self.is_leaving = False
        self._cleanup_s = cleanup_s
        self._called_back_event: trio.Event | None = None

    @property
    def deadline(self) -> float:
        """When the holder is cancelled."""
        return self.scope.deadline

    @property
    def late_at(self) -> float:
        """When the holder should have ended at the latest; who was asked for the slot may clean up first."""
        is_asked = self.is_called_back and not self.is_leaving
        return self.deadline + (self._cleanup_s if is_asked else 0.0)

    @property
    def is_late(self) -> bool:
        """Whether the holder has overstayed."""
        return trio.current_time() >= self.late_at

    @property
    def comes_back(self) -> bool:
        """Whether the slot is free when the lease ends: neither leaving nor broken nor held too long."""
        return not (self.is_leaving or self.is_broken or self.is_late)

    @property
    def is_called_back(self) -> bool:
        """Whether somebody needs the slot: finish by `deadline`, or lose it. May become false again."""
        return self.called_back_at is not None

    async def wait_called_back(self) -> None:
        """Return when somebody needs the slot."""
        if self._called_back_event is None:
            self._called_back_event = trio.Event()
            if self.is_called_back:
                self._called_back_event.set()
        await self._called_back_event.wait()

    def mark_broken(self) -> None:
        """The slot is unusable: when the lease ends it stays out of use until `Allocator.mend`."""
        self.is_broken = True

    def call_back(self, now: float, deadline: float) -> None:
        """Somebody needs the slot; the holder is cancelled at `deadline`."""
        self.called_back_at = now
        self.scope.deadline = min(self.expires_at, deadline)
        if self._called_back_event is not None:
            self._called_back_event.set()

    def call_off(self) -> None:
        """Nobody needs the slot any more."""
        self.called_back_at = self._called_back_event = None
        self.scope.deadline = self.expires_at


class Waiter:
    """A request in the queue. It leaves it once, with a lease or without: then `is_gone`."""

    __slots__ = (
        "enqueued_at",
        "is_gone",
        "is_parked",
        "is_urgent",
        "key",
        "lane",
        "lease",
        "request",
        "task",
    )

    def __init__(self, request: Request, now: float, key: tuple[float, int]) -> None:
        self.request = request
        self.lane = request.lane
        self.enqueued_at = now
        self.key = key
        self.task = trio.lowlevel.current_task()
        self.lease: Lease | None = None
        self.is_gone = False
        self.is_urgent = False
        self.is_parked = False

    def __lt__(self, other: Waiter) -> bool:
        return self.key < other.key

    async def park(self) -> None:
        """Sleep until `take`; return at once when it has been called."""

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            self.is_parked = False
            return trio.lowlevel.Abort.SUCCEEDED

        if self.lease is None:
            self.is_parked = True
            await trio.lowlevel.wait_task_rescheduled(abort)
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()

    def take(self, lease: Lease) -> None:
        """The wait is over."""
        self.lease = lease
        if self.is_parked:
            self.is_parked = False
            trio.lowlevel.reschedule(self.task)
