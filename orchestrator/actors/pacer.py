"""Starts of runs, paced: whatever falls due at one moment begins one after the other.

After a restart, a long sleep of the machine or a `resume` of all, hundreds of jobs are due at once.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

RATE_PER_S = 10.0
"""Starts a real second, in the long run: 500 overdue jobs have begun within a minute."""
BURST = 5
"""Starts at once after a while without any, so that on a usual day nobody waits."""


@dataclass(order=True, slots=True)
class Turn:
    """A place in the line; `is_granted` when its holder may start.

    Written by the pacer: `is_granted`. Written by the holder: `is_gone`.
    """

    priority: int
    number: int
    tell: Callable[[], None] = field(compare=False)
    is_granted: bool = field(default=False, compare=False)
    is_gone: bool = field(default=False, compare=False)


class Pacer:
    """A token bucket with a line before it: least priority number first, then whoever came first.

    Invariants: 1. `_has_line` is set exactly while `_line` is not empty. 2. `_full_at` is the moment, of
    trio's clock, when the bucket is full again (the “theoretical arrival time” of the generic cell rate
    algorithm, ITU-T I.371).
    """

    def __init__(self, rate_per_s: float = RATE_PER_S, burst: int = BURST) -> None:
        self._step_s = 1 / rate_per_s
        self._burst_s = (burst - 1) * self._step_s
        self._line: list[Turn] = []
        self._numbers = itertools.count()
        self._full_at = 0.0
        self._has_line = trio.Event()

    def join(self, priority: int, tell: Callable[[], None]) -> Turn:
        """A turn, granted at once when nobody waits and starts are left; else `tell` is called by `run`."""
        turn = Turn(priority, next(self._numbers), tell)
        if not self._line and self._delay_s() <= 0:
            self._grant(turn)
        else:
            heapq.heappush(self._line, turn)
            self._has_line.set()
        return turn

    def leave(self, turn: Turn) -> None:
        """Give up a place; a turn that was granted already is spent."""
        turn.is_gone = True

    async def run(self) -> None:
        """Grant the turns, for ever."""
        while True:
            await self._has_line.wait()
            while self._line:
                if self._line[0].is_gone:
                    heapq.heappop(self._line)
                    continue
                await trio.sleep(self._delay_s())
                self._grant_next()
            self._has_line = trio.Event()

    def _grant_next(self) -> None:
        while self._line:
            turn = heapq.heappop(self._line)
            if not turn.is_gone:
                self._grant(turn)
                turn.tell()
                return

    def _grant(self, turn: Turn) -> None:
        self._full_at = max(trio.current_time(), self._full_at) + self._step_s
        turn.is_granted = True

    def _delay_s(self) -> float:
        """Until the next start is allowed, in real seconds."""
        return max(0.0, self._full_at - self._burst_s - trio.current_time())
