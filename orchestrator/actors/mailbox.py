"""An actor's mailbox: it holds one wake, since one run answers all that have come."""

import math
from dataclasses import dataclass
from enum import IntEnum

import trio


class Kind(IntEnum):
    """What a wake asks for, least first."""

    POKE = 0
    """No run: something changed, look again."""
    EVENT = 1
    """A run; while the job is paused it is made up for at resume."""
    ASKED = 2
    """A run that an operator wants now, even while the job is paused."""


@dataclass(frozen=True, slots=True)
class Wake:
    """A reason to look again; `reason` is for people and becomes the trigger of the run."""

    kind: Kind
    reason: str = ""


class Mailbox:
    """Wakes for one actor: any task may put, one task takes.

    It keeps the wake that asks for most, and of equal ones the first, so it is bounded and never full.

    Invariant: `_has_come` is set exactly while `_wake` is not None.
    """

    def __init__(self) -> None:
        self._wake: Wake | None = None
        self._has_come = trio.Event()

    def put(self, wake: Wake) -> None:
        if self._wake is None or wake.kind > self._wake.kind:
            self._wake = wake
        self._has_come.set()

    async def take(self, patience_s: float = math.inf) -> Wake | None:
        """Wait for a wake and empty the mailbox; None when none came within `patience_s` seconds."""
        with trio.move_on_after(patience_s):
            await self._has_come.wait()
        wake, self._wake = self._wake, None
        if wake is not None:
            self._has_come = trio.Event()
        return wake
