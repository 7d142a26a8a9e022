"""One row for each run of a job, and which jobs operators have paused."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from orchestrator.db.pool import Connection
from orchestrator.model import Ending, Outcome, storable


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run that has ended."""

    started_at: datetime
    finished_at: datetime
    outcome: Outcome


@dataclass(slots=True)
class StoredHistory:
    """What the database knows of a job's runs."""

    last: StoredRun | None = None
    last_success_at: datetime | None = None
    first_start: datetime | None = None
    gave_up: StoredRun | None = None
    """The latest run that gave up, unless one was done since, or one that was asked for had nothing to do."""
    endings: Counter[Ending] = field(default_factory=Counter)


async def begin(
    connection: Connection, job: str, trigger: str, attempt: int, fence: int, started_at: datetime
) -> int:
    """A run has started; its id."""
    run_id: int = await connection.fetchval(
        """
        INSERT INTO job_runs (job, trigger, attempt, fence, started_at) VALUES ($1, $2, $3, $4, $5)
        RETURNING id
        """,
        job,
        trigger,
        attempt,
        fence,
        started_at,
    )
    return run_id


async def finish(connection: Connection, run_id: int, outcome: Outcome, finished_at: datetime) -> None:
    await connection.execute(
        "UPDATE job_runs SET finished_at = $2, ending = $3, detail = $4, figures = $5 WHERE id = $1",
        run_id,
        finished_at,
        outcome.ending,
        storable(outcome.detail),
        outcome.figures,
    )


async def interrupt_orphans(connection: Connection, fence: int, now: datetime) -> int:
    """Close the runs that an earlier daemon did not live to finish; how many."""
    rows = await connection.fetch(
        """
        UPDATE job_runs SET finished_at = $2, ending = 'interrupted', detail = 'the daemon ended'
        WHERE finished_at IS NULL AND fence < $1 RETURNING id
        """,
        fence,
        now,
    )
    return len(rows)


async def histories(connection: Connection, asked_by: str) -> dict[str, StoredHistory]:
    """The latest run that was not skipped, the latest success and the count of endings of each job.

    `asked_by` is how the trigger of a run begins that an operator wants.
    """
    found: dict[str, StoredHistory] = {}
    for row in await connection.fetch(
        """
        SELECT job, ending, count(*) AS n, max(finished_at) AS at, min(started_at) AS first FROM job_runs
        WHERE ending IS NOT NULL GROUP BY job, ending
        """
    ):
        history = found.setdefault(row["job"], StoredHistory())
        ending = Ending(row["ending"])
        history.endings[ending] = row["n"]
        history.first_start = min(filter(None, (history.first_start, row["first"])))
        if ending in (Ending.DONE, Ending.NOTHING_TO_DO):
            history.last_success_at = max(filter(None, (history.last_success_at, row["at"])))
    for row in await connection.fetch(
        """
        SELECT DISTINCT ON (job) job, started_at, finished_at, ending, detail FROM job_runs
        WHERE ending <> 'skipped' ORDER BY job, started_at DESC, id DESC
        """
    ):
        found[row["job"]].last = _run(row)
    for row in await connection.fetch(
        """
        SELECT DISTINCT ON (job) job, started_at, finished_at, ending, detail FROM job_runs
        WHERE ending IN ('given_up', 'done') OR (ending = 'nothing_to_do' AND starts_with(trigger, $1))
        ORDER BY job, started_at DESC, id DESC
        """,
        asked_by,
    ):
        if row["ending"] == Ending.GIVEN_UP:
            found[row["job"]].gave_up = _run(row)
    return found


def _run(row: asyncpg.Record) -> StoredRun:
    return StoredRun(row["started_at"], row["finished_at"], Outcome(Ending(row["ending"]), row["detail"]))


async def pause(connection: Connection, jobs: Sequence[str], who: str, now: datetime) -> None:
    """Remember that these jobs are paused, so that it outlives the daemon."""
    await connection.execute(
        """
        INSERT INTO paused_jobs (job, paused_by, paused_at) SELECT unnest($1::text[]), $2, $3
        ON CONFLICT (job) DO NOTHING
        """,
        list(jobs),
        who,
        now,
    )


async def resume(connection: Connection, job: str | None) -> None:
    """Forget the pause of a job, or all pauses."""
    await connection.execute("DELETE FROM paused_jobs WHERE job = $1 OR $1::text IS NULL", job)


async def paused(connection: Connection) -> set[str]:
    return {row["job"] for row in await connection.fetch("SELECT job FROM paused_jobs")}
