"""The load of this daemon: its jobs as declared, with run lengths from its own record where there is one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.actors.job import Job
from orchestrator.clock import Clock
from orchestrator.db.pool import Database
from orchestrator.db.run_lengths import PastRuns, past_runs
from orchestrator.model import Ending
from orchestrator.simulate.lengths import Empirical, Length, LogNormal
from orchestrator.simulate.load import Load, SimulatedJob

WITH_CONTEXT = LogNormal(10, 30)
WITHOUT_CONTEXT = LogNormal(0.5, 2)
"""What is assumed of a job that never ran."""
ASSUMED = (
    f"median {WITH_CONTEXT.median_s:g} s and p95 {WITH_CONTEXT.p95_s:g} s with a context, "
    f"{WITHOUT_CONTEXT.median_s:g} s and {WITHOUT_CONTEXT.p95_s:g} s without; each run finds something to do"
)
FAILED = (Ending.RETRY, Ending.GIVEN_UP)


@dataclass(frozen=True, slots=True)
class Past:
    """What the record says of one job."""

    seen_s: Sequence[float]
    """Real seconds that its latest runs took which were done."""
    idle_share: float
    """Of all runs, those that found nothing to do."""
    failure_rate: float


async def read_past(database: Database, clock: Clock, since: datetime | None = None) -> dict[str, Past]:
    """The record of each job that has been done at least once, from `since` on, by the daemon's `clock`.

    Raises DatabaseError.
    """
    record = await database.run(past_runs, since, read_only=True)
    return {job: _past(runs, clock) for job, runs in record.items() if runs.done_s}


def _past(runs: PastRuns, clock: Clock) -> Past:
    total = runs.endings.total()
    return Past(
        [clock.real_seconds(length_s) for length_s in runs.done_s],
        runs.endings[Ending.NOTHING_TO_DO] / total,
        sum(runs.endings[ending] for ending in FAILED) / total,
    )


def declared_load(jobs: Sequence[Job], past: Mapping[str, Past], why_no_past: str = "") -> Load:
    """`jobs` with the lengths that `past` has, or assumed ones; `why_no_past` says why there is none."""
    known = [job.name for job in jobs if job.name in past]
    unknown = [job.name for job in jobs if job.name not in past]
    about = []
    if known:
        about.append(
            f"Run lengths from the record of runs, waits for a context included: {', '.join(known)}."
        )
    if unknown:
        about.append(f"Run lengths assumed ({ASSUMED}): {', '.join(unknown)}.")
    if why_no_past:
        about.append(f"The record was not read: {why_no_past.rstrip('.')}.")
    return Load("this daemon", " ".join(about), tuple(_simulated(job, past.get(job.name)) for job in jobs))


def _simulated(job: Job, past: Past | None) -> SimulatedJob:
    if past is None:
        length: Length = WITH_CONTEXT if job.uses_browser else WITHOUT_CONTEXT
        return SimulatedJob(job, length)
    return SimulatedJob(job, Empirical(past.seen_s), past.failure_rate, past.idle_share)
