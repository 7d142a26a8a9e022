"""How long runs took and how they ended: what a simulation of the daemon wants to know of its past."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.db.pool import Connection
from orchestrator.model import Ending

LATEST = 1000
"""Runs of each job: enough for its 99th percentile, and of today rather than of last year."""


@dataclass(slots=True)
class PastRuns:
    """The latest runs of one job that have ended."""

    done_s: list[float] = field(default_factory=list)
    """How long those that were done took, in seconds of the daemon's clock."""
    endings: Counter[Ending] = field(default_factory=Counter)


async def past_runs(connection: Connection, since: datetime | None) -> dict[str, PastRuns]:
    """By job, its latest runs, of those that began at `since` or later."""
    found: dict[str, PastRuns] = {}
    for row in await connection.fetch(
        """
        SELECT job, ending, count(*) AS times,
               array_agg(extract(epoch FROM finished_at - started_at)::float8 ORDER BY id) AS lengths
        FROM (
            SELECT id, job, ending, started_at, finished_at,
                   row_number() OVER (PARTITION BY job ORDER BY started_at DESC, id DESC) AS age
            FROM job_runs
            WHERE ending IS NOT NULL AND ($2::timestamptz IS NULL OR started_at >= $2)
        ) AS latest
        WHERE age <= $1 GROUP BY job, ending
        """,
        LATEST,
        since,
    ):
        past = found.setdefault(row["job"], PastRuns())
        past.endings[Ending(row["ending"])] = row["times"]
        if row["ending"] == Ending.DONE:
            past.done_s = [max(0.0, length_s) for length_s in row["lengths"]]
    return found
