"""One try of a job's work: its row in the record, its time limit, and what its end means."""

from dataclasses import replace
from datetime import datetime
from typing import Protocol

import trio

from orchestrator.actors.job import Job, Run
from orchestrator.clock import Clock
from orchestrator.errors import BreakerOpenError, DatabaseError, Failure, OrchestratorError
from orchestrator.model import Ending, Outcome, skipped
from orchestrator.retry import Tries, root_of

RECORD_PATIENCE_S = 3.0
"""How long the record of a run's end may take, while the daemon ends too."""


class RunLog(Protocol):
    """Where runs are recorded; raises DatabaseError when it can't be done. The tests have a fake one."""

    async def begin(self, run: Run, started_at: datetime) -> int: ...
    async def finish(self, run_id: int, outcome: Outcome, finished_at: datetime) -> None: ...


class Record:
    """The row of one run. A database that is down costs the row, not the run."""

    def __init__(self, run_log: RunLog, clock: Clock) -> None:
        self._run_log = run_log
        self._clock = clock
        self._run_id: int | None = None

    @property
    def ids(self) -> dict[str, int]:
        """What tells the run apart in the log; empty when it is not on record."""
        return {} if self._run_id is None else {"run": self._run_id}

    async def begin(self, run: Run, started_at: datetime) -> Run:
        """Open the row; the run, whose log lines carry the row's id from now on."""
        try:
            self._run_id = await self._run_log.begin(run, started_at)
        except DatabaseError as error:
            run.log.warning("run_not_recorded", error=str(error))
            return run
        return replace(run, log=run.log.bind(run=self._run_id))

    async def finish(self, run: Run, outcome: Outcome) -> None:
        """Close the row, also while the daemon is being cancelled."""
        with trio.move_on_after(RECORD_PATIENCE_S, shield=True) as patience:
            await self._finish(run, outcome)
        if patience.cancelled_caught:
            run.log.warning("run_end_not_recorded", error=f"no answer within {RECORD_PATIENCE_S:g} s")

    async def _finish(self, run: Run, outcome: Outcome) -> None:
        run.log.info("run_ended", ending=outcome.ending, detail=outcome.detail, **outcome.figures)
        if self._run_id is None:
            return
        try:
            await self._run_log.finish(self._run_id, outcome, self._clock.now())
        except DatabaseError as error:
            run.log.warning("run_end_not_recorded", error=str(error))


async def work(job: Job, run: Run, tries: Tries) -> tuple[Outcome, Exception | None]:
    """How the work ended, by its own word or by what its error means; and the error if it is a bug."""
    ended: tuple[Outcome, Exception | None] | None = None
    with trio.move_on_after(job.max_run_s) as limit:
        try:
            ended = _bounded(await _call(job, run), tries), None
        except* Exception as group:  # noqa: BLE001 - the edge of a job: `_ending_of` logs it
            # A cancellation that comes with the error goes on: `except*` leaves it alone.
            ended = _ending_of(root_of(group), run, tries)
    if ended is None or limit.cancelled_caught:
        return Outcome(Ending.GIVEN_UP, f"stopped after {job.max_run_s:g} s"), None
    return ended


async def _call(job: Job, run: Run) -> Outcome:
    """The work itself; a `sys.exit` in it is a bug like any other, and no end of the daemon."""
    try:
        return await job.work(run)
    except* SystemExit as group:
        raise RuntimeError("the work called sys.exit") from group


def _bounded(outcome: Outcome, tries: Tries) -> Outcome:
    """The work's own word, except that it can't ask for more tries than there are."""
    if outcome.ending is Ending.RETRY and not tries.fail():
        return replace(outcome, ending=Ending.GIVEN_UP)
    return outcome


def _ending_of(error: Exception, run: Run, tries: Tries) -> tuple[Outcome, Exception | None]:
    """What an error of the work means, and the error itself if nobody foresaw it."""
    if not isinstance(error, OrchestratorError):
        run.log.error("job_crashed", exc_info=error)
        return Outcome(Ending.GIVEN_UP, f"bug: {type(error).__name__}: {error}"), error
    if isinstance(error, BreakerOpenError):
        return skipped(error.line()), None  # it is woken when the other side may be asked again
    run.log.warning("run_failed", kind=error.failure, error=error.line(), attempt=run.attempt)
    if error.failure is Failure.BUDGET or tries.is_too_long(error):
        return Outcome(Ending.OVER_BUDGET, error.line()), None
    if error.failure is Failure.TRANSIENT and tries.fail(error):
        return Outcome(Ending.RETRY, error.line()), None
    return Outcome(Ending.GIVEN_UP, error.line()), None
