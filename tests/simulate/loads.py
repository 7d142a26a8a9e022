"""Small loads whose figures can be reckoned by hand, and runs of them."""

from collections.abc import Mapping
from datetime import UTC, time
from typing import Any

from orchestrator.actors.job import Job
from orchestrator.settings import AllocatorSettings
from orchestrator.simulate.engine import Options, Policy, simulate
from orchestrator.simulate.figures import Figures, JobFigures, figures_of
from orchestrator.simulate.lengths import Constant
from orchestrator.simulate.load import Load, SimulatedJob, no_work
from orchestrator.simulate.trace import Request, Trace

HOUR = 1 / 24
"""In days."""
BARE = {"critical_guarantee": 0, "high_guarantee": 0, "background_guarantee": 0}


def a_job(
    name: str,
    length_s: float,
    *,
    at: str | None = None,
    every_s: float | None = None,
    priority: int = 5,
    after: tuple[str, ...] = (),
    context: bool = True,
    **work: Any,
) -> SimulatedJob:
    """A job whose runs take `length_s`, daily `at` HH:MM or every so many seconds."""
    daily_at = time.fromisoformat(at).replace(tzinfo=UTC) if at else None
    job = Job(
        name,
        no_work,
        priority,
        every_s=every_s,
        daily_at=daily_at,
        after=after,
        uses_browser=context,
        max_run_s=1800,
    )
    return SimulatedJob(job, Constant(length_s), **work)


def options(days: float = HOUR, policy: Policy = Policy.PRIORITY, seed: int = 1, **settings: Any) -> Options:
    """One context without guarantees, unless `settings` say more."""
    allocator: Mapping[str, Any] = {"capacity": 1, **BARE, **settings}
    return Options(days, AllocatorSettings(**allocator), policy, seed)


def run(*jobs: SimulatedJob, **changes: Any) -> Trace:
    return simulate(Load("test", "", jobs), options(**changes))


def figures(*jobs: SimulatedJob, **changes: Any) -> Figures:
    load, how = Load("test", "", jobs), options(**changes)
    return figures_of(load, how, simulate(load, how))


def waits(trace: Trace, job: str) -> list[float]:
    """How long each request of a job waited, to the millisecond."""
    return [round(request.waited_s, 3) for request in requests(trace, job)]


def requests(trace: Trace, job: str) -> list[Request]:
    return [request for request in trace.requests if request.job == job]


def of_job(all_figures: Figures, name: str) -> JobFigures:
    (found,) = [job for job in all_figures.jobs if job.job == name]
    return found
