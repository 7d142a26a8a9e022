"""The jobs' dependencies: checked at start, walked downstream."""

from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter

from orchestrator.actors.job import Job
from orchestrator.errors import GraphError


def downstream_of(jobs: Iterable[Job]) -> dict[str, tuple[str, ...]]:
    """For each job, the jobs that its success wakes.

    Raises GraphError for a name that is not there, a name that comes twice, or a cycle.
    """
    listed = list(jobs)
    names = [job.name for job in listed]
    for job in listed:
        if names.count(job.name) > 1:
            raise GraphError(f"two jobs are named {job.name}", remedy="Rename one of them.")
        for upstream in job.after:
            if upstream not in names:
                raise GraphError(f"job {job.name} comes after {upstream}, which is not there")
    _check_cycles(listed)
    return {name: tuple(job.name for job in listed if name in job.after) for name in names}


def _check_cycles(jobs: list[Job]) -> None:
    try:
        TopologicalSorter({job.name: job.after for job in jobs}).prepare()
    except CycleError as error:
        ring = " → ".join(reversed(error.args[1]))
        raise GraphError(f"the jobs wait for each other: {ring}") from error
