"""The jobs' dependencies: checked at start, walked downstream, drawn."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from orchestrator.actors.job import Job
from orchestrator.errors import GraphError


def downstream_of(jobs: Iterable[Job]) -> dict[str, tuple[str, ...]]:
    """For each job, the jobs that its success wakes.

    Raises GraphError for a name that is not there, a name that comes twice, or a cycle.
    """
    listed = list(jobs)
    downstream: dict[str, list[str]] = {}
    for name, count in Counter(job.name for job in listed).items():
        if count > 1:
            raise GraphError(f"two jobs are named {name}", remedy="Rename one of them.")
        downstream[name] = []
    for job in listed:
        for upstream in dict.fromkeys(job.after):
            if upstream not in downstream:
                raise GraphError(f"job {job.name} comes after {upstream}, which is not there")
            downstream[upstream].append(job.name)
    _check_cycles(listed)
    return {name: tuple(followers) for name, followers in downstream.items()}


def _check_cycles(jobs: list[Job]) -> None:
    if ring := ring_of({job.name: job.after for job in jobs}):
        raise GraphError(f"the jobs wait for each other: {' → '.join(ring)}")


def ring_of(after: Mapping[str, Iterable[str]]) -> list[str]:
    """Jobs that wait for each other, the first once more at the end; empty when there are none.

    `after` has, by name, the names of the jobs that each comes after.
    """
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        return [*reversed(error.args[1])]
    return []


def drawn(jobs: Iterable[Job]) -> str:
    """The graph as text, top-down: each job once, under the deepest of those that wake it.

    Raises GraphError like `downstream_of`.
    """
    by_name = {job.name: job for job in jobs}
    downstream = downstream_of(by_name.values())
    levels = _levels(by_name)
    parents = {
        name: max(job.after, key=lambda upstream: levels[upstream])
        for name, job in by_name.items()
        if job.after
    }

    def lines(name: str, lead: str, branch: str) -> Iterator[str]:
        others = ", ".join(upstream for upstream in by_name[name].after if upstream != parents[name])
        yield f"{lead}{branch}{name}" + (f" (also after {others})" if others else "")
        children = [child for child in downstream[name] if parents[child] == name]
        lead += {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
        for child in children:
            yield from lines(child, lead, "└─ " if child == children[-1] else "├─ ")

    return "\n".join(line for name in by_name if name not in parents for line in lines(name, "", ""))


def _levels(jobs: Mapping[str, Job]) -> dict[str, int]:
    """How many steps each job is below the top, on the longest way."""
    levels: dict[str, int] = {}
    for name in TopologicalSorter({name: job.after for name, job in jobs.items()}).static_order():
        levels[name] = 1 + max((levels[upstream] for upstream in jobs[name].after), default=-1)
    return levels


def as_dot(jobs: Iterable[Job]) -> str:
    """The graph in the language of Graphviz."""
    listed = list(jobs)
    nodes = [f'  "{job.name}";' for job in listed]
    edges = [f'  "{upstream}" -> "{job.name}";' for job in listed for upstream in job.after]
    return "\n".join(["digraph jobs {", *nodes, *edges, "}"])
