"""What is wrong between the keys of a file with jobs.

It is found in the values as they were read, so that it is told together with what is wrong with single
values; whatever is so wrong that nothing can be said of it is passed over.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeGuard

from orchestrator.actors.graph import ring_of
from orchestrator.settings.sources import Route

Values = Mapping[Any, Any]
Found = Iterator[tuple[Route, str]]
"""Where a mistake is, nowhere when it is about the whole file, and what it is."""

WAYS = ("constant", "uniform", "median", "seen")


def mistakes(values: Values, job_keys: Collection[str], length_keys: Collection[str]) -> Found:
    """Each mistake in the file's `values`; a key that is not among the known ones is told elsewhere."""
    listed = values.get("jobs", {})
    jobs = {name: job for name, job in _table(listed).items() if isinstance(job, Mapping)}
    if listed == {}:
        yield (), "there is no job in it; each is a table, such as [jobs.reader]"
    for name, job in jobs.items():
        if job.keys() <= set(job_keys):
            yield from _of_job(("jobs", name), job)
        length = _table(job.get("length_s"))
        if length and length.keys() <= set(length_keys):
            yield from _of_length(("jobs", name, "length_s"), length)
    yield from _of_order(jobs)


def _of_job(route: Route, job: Values) -> Found:
    if ("every_s" in job) == ("daily_at" in job):
        yield route, "give exactly one of every_s and daily_at"
    items, batch = job.get("items", 1), job.get("batch")
    if job.get("context", False) is False and (items != 1 or batch is not None):
        yield route, "items and batch are for jobs with context = true"
    elif _is_number(items) and _is_number(batch) and batch > items:
        yield (*route, "batch"), f"must not be more than items ({items})"


def _of_length(route: Route, length: Values) -> Found:
    if sum(way in length for way in WAYS) != 1 or ("median" in length) != ("p95" in length):
        yield route, "give one of constant, uniform, median with p95, seen"
        return
    median, p95 = length.get("median"), length.get("p95")
    if _is_number(median) and _is_number(p95) and p95 < median:
        yield route, f"p95 ({p95:g}) must not be below median ({median:g})"
    match length.get("uniform"):
        case [low, high] if _is_number(low) and _is_number(high) and low > high:
            yield route, "uniform is [shortest, longest]"


def _of_order(jobs: Mapping[str, Values]) -> Found:
    after = {name: _names(job.get("after")) for name, job in jobs.items()}
    for name, upstream in after.items():
        for missing in dict.fromkeys(one for one in upstream if one not in jobs):
            yield ("jobs", name, "after"), f"there is no job {missing} in this file"
    if ring := ring_of(after):
        yield ("jobs", ring[0], "after"), f"the jobs wait for each other: {' → '.join(ring)}"


def _table(value: object) -> Values:
    return value if isinstance(value, Mapping) else {}


def _names(value: object) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
