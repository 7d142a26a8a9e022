"""What is done about memory: limits out of the machine, steps out of figures. Nothing here acts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from pathlib import Path

import psutil

from orchestrator.actors.job import BACKGROUND_PRIORITY
from orchestrator.leases import Lane
from orchestrator.settings import MemorySettings

MB = 1_000_000
BASE_BYTES = 1000 * MB
"""Daemon, driver, our own PostgreSQL and a full Chromium without pages: 300 to 600 MB; the rest is room."""
CONTEXT_SHARE_BYTES = 250 * MB
"""For each context: its limit, as much again until it is noticed, and the browser's work for it."""
MACHINE_SHARE = 0.5
"""Of a machine's memory when nothing says how much is ours: others live there too."""
WARNING_SHARE, CRITICAL_SHARE = 0.8, 0.9
CALM_SHARE = 0.9
"""Of the warning limit: below it a step is taken back. Between the two all stays as it is."""
RUNAWAY = 2
"""So many times its limit a context may weigh in the middle of a run; other limits wait for the end of it."""
GROW_WAIT_S = 30.0
"""For so long a background job has waited when a context is added for it."""
CALM_LOOKS = 10
"""After so many looks that found one context to spare the added one goes again."""

CGROUPS = Path("/sys/fs/cgroup")
NO_LIMIT = 2**60
"""What cgroups of the first version show for "no limit" is larger."""


class Step(IntEnum):
    """What has been given up, in this order; each includes those before it."""

    NONE = 0
    PAUSED = 1
    """Background jobs (priority 3 and more) start no runs."""
    CLOSED = 2
    """Contexts that nobody uses are closed."""
    SWEPT = 3
    """Caches are swept."""
    REFUSED = 4
    """Only critical jobs (posting), and those that look after the house, start runs."""

    @property
    def label(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Limits:
    """In bytes. `source` says for people where they come from."""

    warning_bytes: int
    critical_bytes: int
    context_bytes: int
    has_extra: bool
    source: str


@dataclass(frozen=True, slots=True)
class ContextFigures:
    """One slot's context; 0 bytes when it is not known or there is none."""

    slot: int
    size_bytes: int
    is_open: bool
    is_used: bool = False
    is_critical: bool = False


@dataclass(frozen=True, slots=True)
class ExtraFigures:
    """While there is a slot more than usual."""

    slot: int | None
    """The one to withdraw; None while one is on its way out already, or none can go."""
    is_spare: bool
    """Whether one slot less would still leave the reserve of critical work whole and nobody without."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one look has found."""

    used_bytes: int
    """All our processes, shared pages in proportion."""
    available_bytes: int
    """Of the machine, or of what our cgroup may still take."""
    contexts: tuple[ContextFigures, ...] = ()
    extra: ExtraFigures | None = None
    background_wait_s: float = 0.0
    """Of the background job that has waited for a context the longest."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What stays from one look to the next."""

    step: Step = Step.NONE
    calm_looks: int = 0
    """Looks in a row that found a context to spare."""


@dataclass(frozen=True, slots=True)
class Actions:
    """What is to be done now, besides what the step means for jobs."""

    close: tuple[int, ...] = ()
    """Slots whose context is closed, idle or not: one in use at the end of the use."""
    cut_off: tuple[int, ...] = ()
    """Slots whose context is closed in the middle of its use."""
    sweep: bool = False
    add: bool = False
    withdraw: int | None = None


def decide(figures: Figures, limits: Limits, before: Standing) -> tuple[Standing, Actions]:
    """The next standing, and what is to be done."""
    step = _next_step(figures.used_bytes, limits, before.step)
    is_above = figures.used_bytes > limits.warning_bytes
    close = [context.slot for context in figures.contexts if _is_to_close(context, limits)]
    if is_above and step >= Step.CLOSED:
        close += [c.slot for c in figures.contexts if c.is_open and not c.is_used and c.slot not in close]
    cut_off = tuple(c.slot for c in figures.contexts if _is_runaway(c, figures, limits))
    extra = figures.extra
    calm_looks = before.calm_looks + 1 if extra is not None and extra.is_spare else 0
    is_unwanted = step is not Step.NONE or calm_looks >= CALM_LOOKS
    actions = Actions(
        close=tuple(slot for slot in close if slot not in cut_off),
        cut_off=cut_off,
        sweep=is_above and step >= Step.SWEPT,
        add=step is Step.NONE and extra is None and _may_grow(figures, limits),
        withdraw=extra.slot if extra is not None and is_unwanted else None,
    )
    return Standing(step, calm_looks), actions


def _next_step(used_bytes: int, limits: Limits, step: Step) -> Step:
    """Above the warning limit one step more at each look; above the critical one all that frees memory at
    once, and at the next look that still finds it so, new work is refused. Below, one step back at each.
    """
    if used_bytes > limits.critical_bytes:
        return Step.SWEPT if step < Step.SWEPT else Step.REFUSED
    if used_bytes > limits.warning_bytes:
        return Step(step + 1) if step < Step.SWEPT else step
    if used_bytes < limits.warning_bytes * CALM_SHARE and step > Step.NONE:
        return Step(step - 1)
    return step


def _is_to_close(context: ContextFigures, limits: Limits) -> bool:
    return context.size_bytes > limits.context_bytes


def _is_runaway(context: ContextFigures, figures: Figures, limits: Limits) -> bool:
    """Whether a run loses its context: never critical work, since a post cut off in its middle is worse."""
    if not context.is_used or context.is_critical:
        return False
    is_critical = figures.used_bytes > limits.critical_bytes
    return context.size_bytes > limits.context_bytes * (1 if is_critical else RUNAWAY)


def _may_grow(figures: Figures, limits: Limits) -> bool:
    """A background job waits, and a whole context more would leave us calm and the machine as much again."""
    return (
        limits.has_extra
        and figures.background_wait_s >= GROW_WAIT_S
        and figures.used_bytes + limits.context_bytes < limits.warning_bytes * CALM_SHARE
        and figures.available_bytes > 2 * limits.context_bytes
    )


# ── for people ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class MemoryView:
    """What the keeper knows after a look."""

    step: Step
    since: datetime | None
    """Of the present step; None for `Step.NONE`."""
    used_bytes: int
    limits: Limits
    renderers: tuple[RendererView, ...]
    """The largest first."""


@dataclass(frozen=True, slots=True)
class RendererView:
    """A process that renders pages; `slot` is None when it is not known whose."""

    pid: int
    size_bytes: int
    slot: int | None


WORDS = {
    Step.PAUSED: "background jobs are paused",
    Step.CLOSED: "background jobs are paused and idle contexts closed",
    Step.SWEPT: "background jobs are paused, idle contexts closed and caches swept",
    Step.REFUSED: "only posting starts runs; idle contexts are closed and caches swept",
}
REMEDY = (
    "Give the machine or the service more memory, or lower allocator.capacity, or raise memory.warning_mb "
    "and memory.critical_mb; `orchestrator ctl status --json` shows what weighs how much"
)


def why_not(step: Step, priority: int) -> str | None:
    """Why a job of this priority starts no run; no figures in it, so that it is one reason while it lasts."""
    if step is Step.REFUSED and Lane.of(priority) is not Lane.CRITICAL:
        return "memory is short: only posting starts runs"
    if step >= Step.PAUSED and priority >= BACKGROUND_PRIORITY:
        return "memory is short: background jobs are paused by memory_keeper"
    return None


# ── limits ──────────────────────────────────────────────────────────────────────────────────────


def limits_of(
    settings: MemorySettings, capacity: int, machine_bytes: int, cgroup_bytes: int | None
) -> Limits:
    """The limits that the settings give, or those that follow from the machine: see `docs/memory.md`."""
    if settings.warning_mb is not None and settings.critical_mb is not None:
        warning, critical, source = settings.warning_mb * MB, settings.critical_mb * MB, "from the settings"
    else:
        allowed = int(machine_bytes * MACHINE_SHARE) if cgroup_bytes is None else cgroup_bytes
        budget = min(allowed, BASE_BYTES + capacity * CONTEXT_SHARE_BYTES)
        warning, critical = int(budget * WARNING_SHARE), int(budget * CRITICAL_SHARE)
        whose = "half of the machine's" if cgroup_bytes is None else "the cgroup's"
        which = whose if budget == allowed else f"what {capacity} contexts need at most"
        source = f"{WARNING_SHARE:.0%} and {CRITICAL_SHARE:.0%} of {mb(budget)}, {which}"
    return Limits(warning, critical, settings.context_mb * MB, settings.extra_context, source)


def machine_limits(settings: MemorySettings, capacity: int) -> Limits:
    """The limits on this machine."""
    return limits_of(settings, capacity, psutil.virtual_memory().total, cgroup_limit_bytes())


def cgroup_limit_bytes(cgroups: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int | None:
    """The least limit of our cgroup and those above it, of either version; None when there is none."""
    return min(_cgroup_limits(cgroups, own), default=None)


def _cgroup_limits(cgroups: Path, own: Path) -> Iterator[int]:
    for line in own.read_text().splitlines() if own.exists() else ():
        number, controllers, place = line.split(":", 2)
        if number == "0":
            yield from _limits_along(cgroups, place, ("memory.max", "memory.high"))
        elif "memory" in controllers.split(","):
            yield from _limits_along(cgroups / "memory", place, ("memory.limit_in_bytes",))


def _limits_along(top: Path, place: str, files: Sequence[str]) -> Iterator[int]:
    """Those of a cgroup and of all above it; what a container does not show of them is not there."""
    here = top / place.lstrip("/")
    for directory in (here, *here.parents):
        if directory.is_relative_to(top):
            yield from filter(None, (_limit(directory / name) for name in files))


def _limit(file: Path) -> int | None:
    """The figure in a cgroup's file; None when it says that there is no limit, or is not there."""
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() and int(text) < NO_LIMIT else None


def mb(size_bytes: float) -> str:
    return f"{size_bytes / MB:.0f} MB"
