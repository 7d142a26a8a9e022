"""What the allocator shows people: who holds which slot, who waits, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NAMED = 3
"""So many of those who go first are named."""


@dataclass(frozen=True, slots=True)
class LeaseView:
    """A lease as people see it."""

    id: int
    holder: str
    lane: str
    priority: int
    held_s: float
    left_s: float
    """Seconds until the lease ends at the latest."""
    max_hold_s: float
    is_borrowed: bool
    is_called_back: bool
    is_late: bool
    """Whether the holder should have ended, so that its slot has to be rebuilt."""
    called_back_for: str | None
    """Who has more right to the slot and waits for it."""
    is_leaving: bool
    """Whether the slot is being withdrawn."""
    is_broken: bool
    """Whether the slot has to be rebuilt when the lease ends."""

    @property
    def can_be_called_back(self) -> bool:
        """Whether critical work may take the slot at the end of its patience, and finds it whole."""
        return self.lane != "critical" and not (self.is_leaving or self.is_broken or self.is_late)

    def __str__(self) -> str:
        state = f"{self.lane}, borrowed" if self.is_borrowed else self.lane
        called_back = ", called back" if self.is_called_back else ""
        return f"{self.holder} ({state}{called_back})"


@dataclass(frozen=True, slots=True)
class SlotView:
    """A slot as people see it."""

    slot: int
    state: str
    """free, leased or broken"""
    reserved_for: str | None
    lease: LeaseView | None


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that a request waits for, with the seconds that go with it."""

    said: str
    held_s: float | None = None
    """How long that has been so."""
    left_s: float | None = None
    """How long it goes on at most."""
    in_s: float | None = None
    """How long until it is so; not above 0: now."""
    then: str = ""
    """What else there is to say, behind the times."""

    def __str__(self) -> str:
        when = "" if self.in_s is None else "now " if self.in_s <= 0 else f"in {self.in_s:.0f} s "
        held = "" if self.held_s is None else f" for {self.held_s:.0f} s"
        left = "" if self.left_s is None else f", {self.left_s:.0f} s at most to go"
        return f"{when}{self.said}{held}{left}{self.then and f', {self.then}'}"


@dataclass(frozen=True, slots=True)
class WaiterView:
    """A waiting request as people see it."""

    holder: str
    lane: str
    priority: int
    waited_s: float
    ahead: int
    """Waiters that go before this one if nothing else changes."""
    is_urgent: bool
    why: str
    """The reasons as one text."""
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The allocator at one moment."""

    slots: tuple[SlotView, ...]
    queue: tuple[WaiterView, ...]
    """In the order in which they will be served if slots come free one by one."""

    def explain(self, holder: str) -> list[str]:
        """What `holder` waits for and what it has, and why: a sentence each; none if neither."""
        lines = [
            f"Has waited {waiter.waited_s:.1f} s for a slot in lane {waiter.lane}: {waiter.why}."
            for waiter in self.queue
            if waiter.holder == holder
        ]
        for slot in self.slots:
            lease = slot.lease
            if lease is None or lease.holder != holder:
                continue
            must = f"must give it back in {lease.left_s:.0f} s" if lease.left_s > 0 else _ending(lease)
            lines.append(f"It has held slot {slot.slot} for {lease.held_s:.1f} s and {must}.")
            if lease.is_leaving:
                lines.append(f"Slot {slot.slot} was called back: it is being withdrawn.")
            elif lease.called_back_for is not None:
                who = f"{lease.called_back_for} has more right to it and waits"
                lines.append(f"Slot {slot.slot} was called back: {who}.")
        return lines


def _then(lease: LeaseView) -> str:
    """What comes of a lease and of its slot, as far as that is known; may be empty."""
    ending = _ending(lease) if lease.left_s <= 0 else ""
    slot = "withdrawn" if lease.is_leaving else "rebuilt" if lease.is_broken else ""
    return ", ".join(filter(None, [ending, slot and f"then the slot is {slot}"]))


def _ending(lease: LeaseView) -> str:
    """What becomes of a lease whose time is over."""
    if lease.is_late:
        return "does not end although its time is over: its slot will have to be rebuilt"
    return "is being cancelled"


def why_waiting(
    lane: str, ahead: int, first: Sequence[str], slots: Sequence[SlotView], urgent_in_s: float | None
) -> tuple[Reason, ...]:
    """Why a request waits, behind so many others, the `first` of which are named.

    `urgent_in_s` is what a critical one still has of patience.
    """
    found: list[Reason] = []
    kept: list[Reason] = []
    free = sum(slot.state == "free" for slot in slots)
    if free and lane != "critical":
        found.append(Reason(f"{free} free {'slot is' if free == 1 else 'slots are'} kept for critical work"))
    if ahead:
        names = ", ".join(first) + (" …" if ahead > len(first) else "")
        found.append(Reason(f"{ahead} in the queue {'goes' if ahead == 1 else 'go'} first ({names})"))
    held = [(slot.slot, slot.lease) for slot in slots if slot.lease is not None]
    for number, lease in sorted(held, key=lambda pair: pair[1].left_s):
        if lane != "critical" and lease.lane == "critical" and not lease.is_borrowed:
            kept.append(Reason(f"{lease.holder} holds slot {number}, which is kept for critical work"))
        else:
            left_s = lease.left_s if lease.left_s > 0 else None
            found.append(Reason(f"{lease} holds slot {number}", lease.held_s, left_s, then=_then(lease)))
    found += kept
    broken = [slot.slot for slot in slots if slot.state == "broken"]
    found += [Reason(f"slot {slot} is broken and being rebuilt") for slot in broken]
    if held and all(lease.lane == "critical" for _, lease in held):
        found.append(Reason("critical work is never interrupted"))
    elif urgent_in_s is not None and any(lease.can_be_called_back for _, lease in held):
        found.append(Reason("it takes a slot from the lowest lane", in_s=urgent_in_s))
    elif urgent_in_s is not None:
        found.append(Reason("there is no other slot to be had"))
    return tuple(found)
