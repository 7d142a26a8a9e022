"""One look at a daemon from outside: what its processes weigh and hold."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import psutil

from tests.weight import own_bytes

GONE = (psutil.NoSuchProcess, psutil.AccessDenied, PermissionError)
PARTS = ("daemon", "driver", "browser", "renderers", "database")
MB = 1e6


@dataclass(frozen=True, slots=True)
class Sample:
    """Sums over the daemon and what it has started, without the bundled site."""

    minute: float
    """Since the first sample, in real time."""
    memory_mb: dict[str, float] = field(default_factory=dict)
    """Of each part what its processes hold by themselves, see `own_bytes`."""
    files: int = 0
    """Open descriptors."""
    processes: int = 0
    threads: int = 0
    database_mb: float = 0.0
    published: int = 0

    @property
    def total_mb(self) -> float:
        return sum(self.memory_mb.values())


def take(pid: int, state_dir: Path, minute: float) -> Sample:
    """Look at the daemon `pid`. Raises psutil.NoSuchProcess when it has ended."""
    daemon = psutil.Process(pid)
    members = [("daemon", daemon)]
    for child in daemon.children():
        members += members_of(child)
    memory = dict.fromkeys(PARTS, 0.0)
    files = processes = threads = 0
    for part, process in members:
        try:
            with process.oneshot():
                memory[part] += own_bytes(process.pid) / MB
                files += process.num_fds()
                threads += process.num_threads()
            processes += 1
        except GONE:
            if process is daemon:
                raise
    size_mb, published = asyncio.run(_ask_database(state_dir))
    rounded = {part: round(size, 3) for part, size in memory.items()}
    return Sample(round(minute, 3), rounded, files, processes, threads, size_mb, published)


def members_of(child: psutil.Process) -> list[tuple[str, psutil.Process]]:
    """A child of the daemon and all below it, each with its part; the site has none."""
    try:
        arguments = child.cmdline()
        below = child.children(recursive=True)
    except GONE:
        return []
    if "orchestrator.demo" in arguments:
        return []
    if "run-driver" not in arguments:
        return [("database", one) for one in (child, *below)]
    return [("driver", child), *((_part(one), one) for one in below)]


def _part(process: psutil.Process) -> str:
    """Of a process below the driver; one that ends at this moment weighs nothing in either part."""
    try:
        return "renderers" if "--type=renderer" in process.cmdline() else "browser"
    except GONE:
        return "browser"


async def _ask_database(state_dir: Path) -> tuple[float, int]:
    connection = await asyncpg.connect(
        host=str(state_dir / "postgres" / "run"), user="orchestrator", database="orchestrator"
    )
    try:
        size = await connection.fetchval("SELECT pg_database_size(current_database())")
        published = await connection.fetchval("SELECT count(*) FROM posts WHERE state = 'published'")
    finally:
        await connection.close()
    return round(size / MB, 3), published
