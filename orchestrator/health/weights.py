"""What our processes weigh: proportional set size, from /proc/PID/smaps_rollup, so that the parts add up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

GONE = (psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError, FileNotFoundError)

DAEMON, DRIVER, BROWSER, RENDERERS, DATABASE = "daemon", "driver", "browser", "renderers", "database"


@dataclass(frozen=True, slots=True)
class Weights:
    """In bytes."""

    parts: Mapping[str, int]
    """`browser` is without its renderers; `database` is our own server, 0 when it is somebody else's."""
    renderers: Mapping[int, int] = field(default_factory=dict)
    """By process."""

    @property
    def total(self) -> int:
        return sum(self.parts.values())


def weigh(driver_pid: int, browser_pid: int, data: Path) -> Weights:
    """Weigh ourselves, driver and browser (0: not there), and our own PostgreSQL server on `data`, if any.

    Takes some milliseconds a process, so it belongs into a thread. What ends meanwhile weighs nothing, and so
    does what we have started besides.
    """
    own = psutil.Process()
    family = {process.pid: process for process in own.children(recursive=True)}
    heads = {driver_pid: DRIVER, browser_pid: BROWSER}
    heads |= {pid: DATABASE for pid, process in family.items() if str(data) in _arguments(process)}
    parts = dict.fromkeys((DAEMON, DRIVER, BROWSER, RENDERERS, DATABASE), 0)
    parts[DAEMON] = _weight(own)
    renderers: dict[int, int] = {}
    for pid, process in family.items():
        part = next((heads[line.pid] for line in _line(process, family) if line.pid in heads), None)
        if part == BROWSER and "--type=renderer" in _arguments(process):
            part = RENDERERS
            renderers[pid] = _weight(process)
        if part is not None:
            parts[part] += renderers[pid] if part == RENDERERS else _weight(process)
    return Weights(parts, renderers)


def _line(process: psutil.Process, family: Mapping[int, psutil.Process]) -> Iterable[psutil.Process]:
    """A process and its ancestors as far as they are of the family, nearest first."""
    above: psutil.Process | None = process
    while above is not None:
        yield above
        try:
            above = family.get(above.ppid())
        except GONE:
            return


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except GONE:
        return []


def _weight(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:  # a kernel that shows a sandboxed process' pages to nobody
        return _own_pages(process)
    except GONE:
        return 0


def _own_pages(process: psutil.Process) -> int:
    """Without the shared ones: less than its part of all."""
    try:
        memory = process.memory_info()
        return int(memory.rss - memory.shared)
    except GONE:
        return 0
