"""One row for each run of a job, and which jobs operators have paused."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.db.pool import Connection
from orchestrator.model import Ending, Outcome, storable

COUNTED = 500
"""The runs of a job, the latest, whose endings are counted: a start shall not read all that ever were."""


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
    """Of the latest `COUNTED` runs."""


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


async def histories(connection: Connection, jobs: Sequence[str]) -> dict[str, StoredHistory]:
    """What is known of those of `jobs` that have ever ended a run, however many runs there were."""
    latest = await _latest(connection, jobs)
    found = {job: _history(runs) for job, runs in latest.items()}
    for row in await connection.fetch(
        """
        SELECT given.job, r.started_at FROM unnest($1::text[]) AS given (job)
        CROSS JOIN LATERAL (SELECT started_at FROM job_runs
                            WHERE job = given.job AND ending IS NOT NULL ORDER BY started_at LIMIT 1) r
        """,
        list(found),
    ):
        found[row["job"]].first_start = row["started_at"]
    for row in await connection.fetch(
        """
        SELECT given.job, r.ending, count(*) AS n FROM unnest($1::text[]) AS given (job)
        CROSS JOIN LATERAL (SELECT ending FROM job_runs WHERE job = given.job ORDER BY id DESC LIMIT $2) r
        WHERE r.ending IS NOT NULL GROUP BY given.job, r.ending
        """,
        list(found),
        COUNTED,
    ):
        found[row["job"]].endings[Ending(row["ending"])] = row["n"]
    return found


@dataclass(frozen=True, slots=True)
class _Latest:
    """The latest run of a job with that ending, of those that an operator asked for, or of the others."""

    run: StoredRun
    run_id: int
    is_asked: bool

    @property
    def place(self) -> tuple[datetime, int]:
        return self.run.started_at, self.run_id

    @property
    def ending(self) -> Ending:
        return self.run.outcome.ending


async def _latest(connection: Connection, jobs: Sequence[str]) -> dict[str, list[_Latest]]:
    """By job; a look into the index for each."""
    found: dict[str, list[_Latest]] = {}
    for row in await connection.fetch(
        """
        SELECT given.job, kind.ending, asked.is_asked, r.id, r.started_at, r.finished_at, r.detail
        FROM unnest($1::text[]) AS given (job)
        CROSS JOIN unnest($2::text[]) AS kind (ending)
        CROSS JOIN (VALUES (false), (true)) AS asked (is_asked)
        CROSS JOIN LATERAL (
            SELECT id, started_at, finished_at, detail FROM job_runs
            WHERE job = given.job AND ending = kind.ending
              AND starts_with(trigger, 'asked by ') = asked.is_asked
            ORDER BY started_at DESC, id DESC LIMIT 1) r
        """,
        list(jobs),
        list(Ending),
    ):
        run = StoredRun(row["started_at"], row["finished_at"], Outcome(Ending(row["ending"]), row["detail"]))
        found.setdefault(row["job"], []).append(_Latest(run, row["id"], row["is_asked"]))
    return found


def _history(latest: Sequence[_Latest]) -> StoredHistory:
    runs = sorted(latest, key=lambda one: one.place)
    history = StoredHistory()
    for one in runs:
        if one.ending is not Ending.SKIPPED:
            history.last = one.run
        if one.ending in (Ending.DONE, Ending.NOTHING_TO_DO):
            history.last_success_at = max(filter(None, (history.last_success_at, one.run.finished_at)))
        if one.ending is Ending.GIVEN_UP:
            history.gave_up = one.run
        elif one.ending is Ending.DONE or (one.ending is Ending.NOTHING_TO_DO and one.is_asked):
            history.gave_up = None
    return history


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
