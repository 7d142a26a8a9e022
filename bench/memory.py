"""Memory of the daemon's process after some minutes of demo work, with what it starts shown beside.

USS is what would be free if the process ended, PSS counts shared pages in proportion, RSS in full. The aim
is for the PSS, the figure that adds up over processes.
"""

import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.daemon import Daemon, running_demo
from bench.figure import Aim, Figure, Report

AIM = Aim(120, "MB")
LOOK_EVERY_S = 5.0
MB = 1e6


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of one part of the house; sums over its processes."""

    uss: int = 0
    pss: int = 0
    rss: int = 0

    def __add__(self, other: "Memory") -> "Memory":
        return Memory(self.uss + other.uss, self.pss + other.pss, self.rss + other.rss)

    def __str__(self) -> str:
        return f"PSS {self.pss / MB:.0f}, USS {self.uss / MB:.0f}, RSS {self.rss / MB:.0f} MB"


def measure(directory: Path, minutes: float) -> Report:
    state_dir = directory / "memory"
    state_dir.mkdir(mode=0o755)
    with running_demo(state_dir) as daemon:
        peak_bytes = _watch(daemon, minutes)
        parts = _parts(daemon.process.pid)
    own = parts.pop("daemon")
    figure = Figure(
        f"memory of the daemon after {minutes:g} minutes of the demo (PSS)",
        own.pss / MB,
        f"{own}; highest PSS {peak_bytes / MB:.0f}",
        aim=AIM,
        unit="MB",
        decimals=0,
    )
    return Report([figure], [f"beside it: {name} {memory}" for name, memory in parts.items()])


def _watch(daemon: Daemon, minutes: float) -> int:
    """Wait, and return the highest PSS seen meanwhile."""
    end_at = time.monotonic() + minutes * 60
    peak = 0
    while time.monotonic() < end_at:
        if daemon.process.poll() is not None:
            raise RuntimeError(f"the demo ended with code {daemon.process.returncode} while it was watched")
        peak = max(peak, _memory(psutil.Process(daemon.process.pid)).pss)
        time.sleep(LOOK_EVERY_S)
    return peak


def _parts(pid: int) -> dict[str, Memory]:
    root = psutil.Process(pid)
    parts: defaultdict[str, Memory] = defaultdict(Memory, daemon=_memory(root))
    for child in root.children():
        for process in (child, *child.children(recursive=True)):
            parts[_part(process, child)] += _memory(process)
    return dict(parts)


def _part(process: psutil.Process, child: psutil.Process) -> str:
    """What a process belongs to; `child` is its ancestor that the daemon started itself."""
    arguments = child.cmdline()
    if "run-driver" in arguments:
        return "driver" if process == child else "browser"
    return "bundled site" if "orchestrator.demo" in arguments else "PostgreSQL"


def _memory(process: psutil.Process) -> Memory:
    found = process.memory_full_info()
    return Memory(found.uss, found.pss, found.rss)
