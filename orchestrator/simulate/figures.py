"""From what happened to figures: waits, queue, use of the contexts, late and missed runs."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.allocator import LANES, Lane, LeaseEnd, why_no_promise
from orchestrator.model import Ending
from orchestrator.simulate.engine import DAY_S, Options, Policy
from orchestrator.simulate.load import Load, SimulatedJob
from orchestrator.simulate.trace import Request, Start, Trace

LATE_S = 60.0
"""A run is late when its work begins more than this after it was due."""
BUCKETS = 168
"""Points in the curves over time: hours, when a week is simulated."""
_LOST = (LeaseEnd.REVOKED, LeaseEnd.EXPIRED)


@dataclass(frozen=True, slots=True)
class Waits:
    """How long requests for a context waited, in seconds; those that wait at the end count so far."""

    count: int
    p50_s: float
    p95_s: float
    p99_s: float
    max_s: float


@dataclass(frozen=True, slots=True)
class Leases:
    """How leases went."""

    held_s: float
    called_back: int
    revoked: int
    """Called back, not given back in time, and taken away."""
    expired: int
    """Held longer than any lease may be."""
    lost_s: float
    """Time of contexts that was spent in leases which were revoked or expired."""


@dataclass(frozen=True, slots=True)
class LaneFigures:
    """One lane."""

    lane: str
    waits: Waits
    leases: Leases
    use: float
    """The share of all contexts' time that this lane held."""


@dataclass(frozen=True, slots=True)
class JobFigures:
    """One job."""

    job: str
    priority: int
    uses_context: bool
    runs: int
    """First tries that fell due."""
    late: int
    missed: int
    """Due times that passed without a run, because a whole interval went by before the work began."""
    latest_s: float
    """The longest time from due to the beginning of the work."""
    given_up: int
    retried: int
    waits: Waits
    leases: Leases


@dataclass(frozen=True, slots=True)
class Curve:
    """A lane over time, in equal buckets."""

    lane: str
    depth: tuple[float, ...]
    """Mean number of those who wait."""
    use: tuple[float, ...]
    """Share of all contexts' time."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that is shown of one simulation."""

    load: str
    about: str
    policy: str
    contexts: int
    days: float
    seed: int
    jobs_count: int
    critical_wait_s: float
    """What critical work never waits longer than, by the settings."""
    refusal: str | None
    """Why the daemon would not start with these jobs and contexts, if it would not."""
    use: float
    """The share of the contexts' time that was leased."""
    deepest: int
    """The most who waited at once."""
    mean_depth: float
    late: int
    missed: int
    lanes: tuple[LaneFigures, ...]
    curves: tuple[Curve, ...]
    jobs: tuple[JobFigures, ...]

    def document(self) -> dict[str, Any]:
        """All figures as JSON has them."""
        return asdict(self)


def figures_of(load: Load, options: Options, trace: Trace) -> Figures:
    jobs = tuple(_job(simulated, trace) for simulated in load.jobs)
    lanes = tuple(_lane(lane, trace) for lane in LANES)
    curves = tuple(_curve(lane, trace) for lane in LANES)
    return Figures(
        load=load.name,
        about=load.about,
        policy=options.policy,
        contexts=trace.capacity,
        days=trace.horizon_s / DAY_S,
        seed=options.seed,
        jobs_count=len(load.jobs),
        critical_wait_s=options.allocator.critical_wait_s,
        refusal=_refusal(load, options),
        use=sum(lane.use for lane in lanes),
        deepest=_deepest(trace.requests),
        mean_depth=sum(request.waited_s for request in trace.requests) / trace.horizon_s,
        late=sum(job.late for job in jobs),
        missed=sum(job.missed for job in jobs),
        lanes=lanes,
        curves=curves,
        jobs=tuple(sorted(jobs, key=lambda job: (job.priority, job.job))),
    )


def _refusal(load: Load, options: Options) -> str | None:
    if options.policy is Policy.FIFO:  # which promises nothing
        return None
    jobs = [simulated.job for simulated in load.jobs if simulated.job.uses_browser]
    return why_no_promise(
        options.allocator, [job.name for job in jobs if Lane.of(job.priority) is Lane.CRITICAL]
    )


def total_depth(figures: Figures) -> list[float]:
    """Mean number of those who wait in all lanes, over time."""
    return [sum(column) for column in zip(*(curve.depth for curve in figures.curves), strict=True)]


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed (nearest rank); 0 of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def _waits(requests: Iterable[Request]) -> Waits:
    waits = sorted(request.waited_s for request in requests)
    p50_s, p95_s, p99_s, max_s = (percentile(waits, share) for share in (0.5, 0.95, 0.99, 1.0))
    return Waits(len(waits), p50_s, p95_s, p99_s, max_s)


def _leases(requests: Sequence[Request]) -> Leases:
    return Leases(
        held_s=sum(request.held_s for request in requests),
        called_back=sum(request.is_called_back for request in requests),
        revoked=sum(request.end is LeaseEnd.REVOKED for request in requests),
        expired=sum(request.end is LeaseEnd.EXPIRED for request in requests),
        lost_s=sum(request.held_s for request in requests if request.end in _LOST),
    )


def _lane(lane: Lane, trace: Trace) -> LaneFigures:
    requests = [request for request in trace.requests if request.lane is lane]
    leases = _leases(requests)
    use = leases.held_s / (trace.capacity * trace.horizon_s)
    return LaneFigures(lane.label, _waits(requests), leases, use)


def _job(simulated: SimulatedJob, trace: Trace) -> JobFigures:
    job = simulated.job
    requests = [request for request in trace.requests if request.job == job.name]
    starts = [start for start in trace.starts if start.job == job.name]
    endings = trace.endings.get(job.name, Counter())
    return JobFigures(
        job=job.name,
        priority=job.priority,
        uses_context=job.uses_browser,
        runs=len(starts),
        late=sum(start.late_s > LATE_S for start in starts),
        missed=_missed(starts, job.interval_s),
        latest_s=max((start.late_s for start in starts), default=0.0),
        given_up=endings[Ending.GIVEN_UP],
        retried=endings[Ending.RETRY],
        waits=_waits(requests),
        leases=_leases(requests),
    )


def _missed(starts: Sequence[Start], interval_s: float) -> int:
    """Whole intervals that passed before the work began, each counted once: one run makes up for all."""
    missed, made_up_s = 0, 0.0
    for start in starts:
        begun_s = start.due_s + start.late_s
        missed += int(max(0.0, begun_s - max(start.due_s, made_up_s)) // interval_s)
        made_up_s = begun_s
    return missed


def _deepest(requests: Iterable[Request]) -> int:
    """The most who waited at once; who leaves at a moment is gone before who comes then."""
    steps = []
    for request in requests:
        if request.waited_s > 0:
            steps += [(request.asked_s, 1), (request.asked_s + request.waited_s, -1)]
    deepest = depth = 0
    for _, step in sorted(steps):
        depth += step
        deepest = max(deepest, depth)
    return deepest


def _curve(lane: Lane, trace: Trace) -> Curve:
    width_s = trace.horizon_s / BUCKETS
    waited_s, held_s = [0.0] * BUCKETS, [0.0] * BUCKETS
    for request in trace.requests:
        if request.lane is lane:
            granted_s = request.asked_s + request.waited_s
            _spread(waited_s, request.asked_s, granted_s, width_s)
            _spread(held_s, granted_s, granted_s + request.held_s, width_s)
    return Curve(
        lane.label,
        tuple(seconds / width_s for seconds in waited_s),
        tuple(seconds / (width_s * trace.capacity) for seconds in held_s),
    )


def _spread(buckets: list[float], begin_s: float, end_s: float, width_s: float) -> None:
    """Add the time from `begin_s` to `end_s` to the buckets that it lies in."""
    for bucket in range(int(begin_s / width_s), min(len(buckets), int(end_s / width_s) + 1)):
        start_s = bucket * width_s
        buckets[bucket] += max(0.0, min(end_s, start_s + width_s) - max(begin_s, start_s))
