"""The jobs as they are declared, without a daemon: `orchestrator jobs`."""

from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.actors.job import Job
from orchestrator.actors.schedule import is_batched
from orchestrator.terminal.words import duration

COLUMNS = ("job", "priority", "when", "after", "context", "posting window")


def render_declared(jobs: Sequence[Job]) -> RenderableType:
    """A line for each job: what decides when it runs."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in COLUMNS:
        grid.add_column(name)
    for job in jobs:
        grid.add_row(
            Text(job.name, "bold"),
            str(job.priority),
            when(job),
            ", ".join(job.after) or "–",
            "yes" if job.uses_browser else "–",
            "waits" if job.not_in_window else "–",
        )
    return grid


def document(job: Job) -> dict[str, Any]:
    """The same for programs."""
    return {
        "name": job.name,
        "priority": job.priority,
        "every_s": job.every_s,
        "daily_at": str(job.daily_at) if job.daily_at is not None else None,
        "when": when(job),
        "after": list(job.after),
        "uses_browser": job.uses_browser,
        "not_in_window": job.not_in_window,
    }


def when(job: Job) -> str:
    """Such as "every 2 h", or "daily 03:00 Europe/Berlin"."""
    if job.daily_at is not None:
        return f"daily {job.daily_at:%H:%M} {job.daily_at.tzinfo or 'UTC'}"
    grid = ", at the quarter hour" if is_batched(job) else ""
    return f"every {duration(job.every_s)}{grid}"
