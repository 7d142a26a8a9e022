"""What stands for the work of a job: it holds a context and sleeps, and notes what happened to it."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import trio

from orchestrator.actors.actor import SCHEDULE
from orchestrator.actors.graph import downstream_of
from orchestrator.actors.job import Run
from orchestrator.allocator import Lane, Lease, LeaseEnd
from orchestrator.errors import SiteUnavailableError
from orchestrator.model import Ending, Outcome, done, nothing_to_do
from orchestrator.simulate.load import Load, SimulatedJob
from orchestrator.simulate.slots import Held, Slots
from orchestrator.simulate.trace import Request, Start, Trace


class Recorder:
    """Writes the trace.

    `_woken_s` has the jobs that another one has woken and that have not begun since, and when that was;
    `_retrying` those whose next run is a further try of the last one.
    """

    def __init__(self, load: Load, trace: Trace) -> None:
        self.trace = trace
        self._downstream = downstream_of(simulated.job for simulated in load.jobs)
        self._woken_s: dict[str, float] = {}
        self._retrying: set[str] = set()
        self._requests: dict[str, Request] = {}

    def run_began(self, run: Run, due_s: float) -> Start | None:
        """A run has begun, `due_s` being its due time by the schedule; None for a further try."""
        woken_s = self._woken_s.pop(run.job, None)
        if run.job in self._retrying:
            return None
        if run.trigger != SCHEDULE:
            due_s = trio.current_time() if woken_s is None else woken_s
        start = Start(run.job, due_s)
        self.trace.starts.append(start)
        return start

    def run_ended(self, job: str, outcome: Outcome) -> None:
        self.trace.endings.setdefault(job, Counter())[outcome.ending] += 1
        if outcome.ending is Ending.RETRY:
            self._retrying.add(job)
        else:
            self._retrying.discard(job)
        if outcome.ending is Ending.DONE:
            for follower in self._downstream[job]:
                self._woken_s.setdefault(follower, trio.current_time())

    def asked(self, simulated: SimulatedJob) -> Request:
        job = simulated.job
        request = Request(job.name, Lane.of(job.priority), trio.current_time())
        self.trace.requests.append(request)
        self._requests[job.name] = request
        return request

    def lease_ended(self, lease: Lease, how: LeaseEnd) -> None:
        """The allocator's own word on how a lease ended; a job has one at a time."""
        request = self._requests[lease.holder]
        request.end, request.is_called_back = how, lease.is_called_back


class SimulatedWork:
    """The work of one job."""

    def __init__(
        self,
        simulated: SimulatedJob,
        rng: Random,
        recorder: Recorder,
        slots: Slots,
        due_s: Callable[[], float],
    ) -> None:
        self._simulated = simulated
        self._rng = rng
        self._recorder = recorder
        self._slots = slots
        self._due_s = due_s
        self._left = 0
        """Items that a run which is to be tried again has not done yet."""

    async def __call__(self, run: Run) -> Outcome:
        """One try. Raises a transient error when it fails by chance, or when its lease ends under it."""
        simulated = self._simulated
        length_s = simulated.length.draw(self._rng)
        is_idle = self._rng.random() < simulated.idle_share
        fails = self._rng.random() < simulated.failure_rate
        start = self._recorder.run_began(run, self._due_s())
        if start is not None:
            self._left = 0
        try:
            if is_idle and start is not None:
                _note_begin(start)
                return nothing_to_do()
            await self._spend(length_s, start)
        finally:
            if start is not None:
                start.ended_s = trio.current_time()
        if fails:
            raise SiteUnavailableError("the site did not answer")
        return done()

    async def _spend(self, length_s: float, start: Start | None) -> None:
        simulated = self._simulated
        if not simulated.job.uses_browser:
            _note_begin(start)
            await trio.sleep(length_s)
            return
        self._left = self._left or simulated.items
        while self._left:
            async with self._context() as held:
                _note_begin(start)
                await self._do_items(length_s / simulated.items, held)

    async def _do_items(self, item_s: float, held: Held) -> None:
        """Item after item, until the batch is done or the context is called back."""
        for _ in range(min(self._left, self._simulated.batch or self._left)):
            await trio.sleep(item_s)
            self._left -= 1
            if held.is_called_back:
                return

    @asynccontextmanager
    async def _context(self) -> AsyncIterator[Held]:
        job = self._simulated.job
        request = self._recorder.asked(self._simulated)
        try:
            async with self._slots.lease(job.name, priority=job.priority) as held:
                request.granted_s = trio.current_time()
                yield held
        finally:
            request.ended_s = trio.current_time()


def _note_begin(start: Start | None) -> None:
    if start is not None and start.started_s is None:
        start.started_s = trio.current_time()
