"""Looks at what the machine gives us: file descriptors, shared memory, the time of day."""

import os
import resource
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.errors import MachineError

LEAST_FILES = 1024
"""At rest the daemon has about 50 open; 512 connections on HTTP, 32 on the control socket and the database's
come on top, and Chromium inherits the limit."""
FULL_SHARE = 0.8
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - looked at, not written to
LEAST_SHARED_BYTES = 16 * 2**20
"""For our own PostgreSQL. Chromium is told to keep its shared memory among its temporary files, which are in
the state directory."""
EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
"""No machine that runs this program lives before."""
MAX_SKEW_S = 60.0
"""Between this machine's clock and the database's: somebody is wrong then about when a post is due."""


async def look_at_files() -> str:
    """There are file descriptors left. Raises MachineError."""
    return judge_files(_count_open(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _count_open() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def judge_files(count: int, limit: int) -> str:
    """`count` are open and `limit` may be; -1: without limit. Raises MachineError."""
    if limit == resource.RLIM_INFINITY:
        return f"{count} files open, without limit"
    if limit < LEAST_FILES:
        raise MachineError(
            f"only {limit} files may be open at once",
            remedy=f"Set LimitNOFILE= or ulimit -n to {LEAST_FILES}",
        )
    if count > limit * FULL_SHARE:
        raise MachineError(
            f"more than {FULL_SHARE:.0%} of {limit} files that may be are open",
            remedy="Raise LimitNOFILE= or ulimit -n; if it grows on, restart and report the bug",
        )
    return f"{count} of {limit} files open"


async def look_at_shared_memory() -> str:
    """Processes can share memory. Raises MachineError."""
    return judge_shared_memory(SHARED_MEMORY)


def judge_shared_memory(place: Path) -> str:
    """Raises MachineError."""
    remedy = f"Mount a tmpfs on {place} (a container: --shm-size=64m)"
    try:
        free_bytes = shutil.disk_usage(place).free
    except OSError as error:
        raise MachineError(f"{place} can't be used: {error.strerror}", remedy=remedy) from error
    if not os.access(place, os.W_OK | os.X_OK):
        raise MachineError(f"{place} can't be written", remedy=f"chmod 1777 {place}")
    if free_bytes < LEAST_SHARED_BYTES:
        raise MachineError(
            f"less than {LEAST_SHARED_BYTES / 2**20:.0f} MiB are free in {place}", remedy=remedy
        )
    return f"{free_bytes / 2**20:.0f} MiB free"


def judge_clock(now: float, database: float | None) -> str:
    """`now` and the database's time in seconds since 1970, None: it can't be asked. Raises MachineError."""
    remedy = "Set the clock, and have it kept: timedatectl set-ntp true"
    if now < EARLIEST.timestamp():
        at = datetime.fromtimestamp(now, UTC)
        raise MachineError(f"this machine's clock says {at:%Y-%m-%d}", remedy=remedy)
    if database is None:
        return "nothing to compare it with: the database can't be asked"
    if abs(now - database) > MAX_SKEW_S:
        raise MachineError(
            f"this machine's clock and the database's differ by more than {MAX_SKEW_S:.0f} s",
            remedy=f"{remedy}, on both machines",
        )
    return f"within {abs(now - database):.1f} s of the database's"


def now() -> float:
    """The machine's own time, also where the daemon's runs faster."""
    return time.time()
