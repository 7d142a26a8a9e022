"""One look at all actors now and then, so that none of them has to wake for it: clock, overdue jobs."""

from collections.abc import Collection

import structlog
import trio

from orchestrator.actors.actor import Actor
from orchestrator.actors.mailbox import Kind, Wake
from orchestrator.clock import Clock

LOOK_EVERY_S = 10.0
"""So late, in real seconds, is noticed that the clock was set or the machine slept."""
JUMP_S = 1.0
"""By so much the wall clock and trio's may drift apart before the actors look at the clock again."""

log = structlog.get_logger("watch")


class Watch:
    """Pokes the actors when the wall clock jumps, and logs when a job becomes overdue, and when it ends."""

    def __init__(self, actors: Collection[Actor], clock: Clock) -> None:
        self._actors = actors
        self._clock = clock
        self._overdue: set[str] = set()

    async def run(self) -> None:
        """Look, for ever."""
        drift_s = self._drift_s()
        while True:
            await trio.sleep(LOOK_EVERY_S)
            jump_s = self._drift_s() - drift_s
            if abs(jump_s) > JUMP_S:
                drift_s += jump_s
                log.warning("clock_jumped", by_s=round(jump_s, 1))
                for actor in self._actors:
                    actor.mailbox.put(Wake(Kind.POKE))
            self._look_for_overdue()

    def _drift_s(self) -> float:
        """How far the wall clock is ahead of trio's, which stands still while the machine sleeps."""
        return self._clock.real_seconds(self._clock.timestamp()) - trio.current_time()

    def _look_for_overdue(self) -> None:
        for actor in self._actors:
            name, overdue_s = actor.job.name, actor.overdue_s
            if overdue_s > 0 and name not in self._overdue:
                self._overdue.add(name)
                log.warning(
                    "job_overdue", job=name, overdue_s=round(overdue_s), remedy=f"orchestrator ctl why {name}"
                )
            elif overdue_s == 0 and name in self._overdue:
                self._overdue.remove(name)
                log.info("job_overdue_no_more", job=name)
