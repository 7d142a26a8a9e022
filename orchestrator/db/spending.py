"""What is spent on the language model: reserved before a call, settled after it, and told to people.

Invariant: a day's `committed` is the sum of its calls, each at its cost, or at its reservation until it ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from orchestrator.db import lease
from orchestrator.db.pool import Connection

DONE = "done"
UNKNOWN = "unknown"
"""The outcome of a call that was cut off, or whose daemon died: it counts as spent."""
LISTED = 50
"""Rows of each kind in a report, at most."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A call that is about to be made."""

    operation: str
    model: str
    cost: Decimal
    """The most that it can cost."""
    jobs: Sequence[str]


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a call ended. `cost` None: unknown, so all that was reserved."""

    outcome: str
    cost: Decimal | None
    input_tokens: int | None = None
    output_tokens: int | None = None
    detail: str = ""


async def reserve(
    connection: Connection, call: Reservation, budget: Decimal, fence: int, now: datetime
) -> int | None:
    """Set the cost of a call aside; its id, or None when what is left of the day does not reach for it.

    Reservations of one day wait for each other's row, so that together they stay within the budget.
    """
    await lease.check(connection, fence)
    await connection.execute(
        "INSERT INTO model_days (day, committed) VALUES ($1, 0) ON CONFLICT DO NOTHING", now.date()
    )
    found = await connection.fetchval(
        """
        WITH held AS (
            UPDATE model_days SET committed = committed + $2 WHERE day = $1 AND committed + $2 <= $3
            RETURNING day
        )
        INSERT INTO model_calls (day, operation, model, fence, asked_at, reserved, jobs)
        SELECT day, $4, $5, $6, $7, $2, $8 FROM held RETURNING id
        """,
        now.date(),
        call.cost,
        budget,
        call.operation,
        call.model,
        fence,
        now,
        list(call.jobs),
    )
    return None if found is None else int(found)


async def settle(connection: Connection, call_id: int, end: Settlement, now: datetime) -> Decimal:
    """Replace what was reserved by what it cost, once; the cost. A settled call keeps what it has."""
    row = await connection.fetchrow(
        """
        UPDATE model_calls SET ended_at = $2, outcome = $3, cost = coalesce($4, reserved),
               input_tokens = $5, output_tokens = $6, detail = $7
        WHERE id = $1 AND ended_at IS NULL RETURNING day, cost, cost - reserved AS change
        """,
        call_id,
        now,
        end.outcome,
        end.cost,
        end.input_tokens,
        end.output_tokens,
        end.detail,
    )
    if row is None:
        return Decimal(0)
    await connection.execute(
        "UPDATE model_days SET committed = committed + $2 WHERE day = $1", row["day"], row["change"]
    )
    return Decimal(row["cost"])


async def settle_orphans(connection: Connection, fence: int, now: datetime) -> int:
    """Calls of earlier daemons whose end nobody saw count as spent in full; how many there were."""
    await lease.check(connection, fence)
    return int(
        await connection.fetchval(
            """
            WITH settled AS (
                UPDATE model_calls SET ended_at = $2, outcome = 'unknown', cost = reserved,
                       detail = 'the daemon ended meanwhile'
                WHERE ended_at IS NULL AND fence < $1 RETURNING id
            )
            SELECT count(*) FROM settled
            """,
            fence,
            now,
        )
    )


async def committed(connection: Connection, day: date) -> Decimal:
    """What is spent on a day or set aside for calls under way."""
    found = await connection.fetchval("SELECT committed FROM model_days WHERE day = $1", day)
    return Decimal(found or 0)


async def last_asked(connection: Connection, operation: str) -> datetime | None:
    """When the operation was last answered."""
    found: datetime | None = await connection.fetchval(
        """
        SELECT asked_at FROM model_calls WHERE operation = $1 AND outcome = 'done'
        ORDER BY asked_at DESC LIMIT 1
        """,
        operation,
    )
    return found


# ── for people ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Spent:
    """Calls of one operation, or in one hour of the day (UTC), and what they cost."""

    what: str
    calls: int
    failed: int
    cost: Decimal


@dataclass(frozen=True, slots=True)
class Coincidence:
    """How calls ended while a job ran, beside how they ended while it did not."""

    job: str
    calls: int
    failed: int
    other_calls: int
    other_failed: int


@dataclass(frozen=True, slots=True)
class Report:
    """Where the money went and when failures came, since a moment."""

    by_operation: list[Spent]
    by_hour: list[Spent]
    failures: list[tuple[str, int]]
    """Kinds of failure, with how many."""
    beside: list[Coincidence]
    """By job that ran at the time."""


async def report(connection: Connection, since: datetime) -> Report:
    """What A3.3 asks for, of all calls that were made since then and have ended."""
    return Report(
        by_operation=await _spent(connection, "operation", since),
        by_hour=await _spent(connection, "to_char(asked_at AT TIME ZONE 'UTC', 'HH24')", since),
        failures=[
            (row["outcome"], row["count"])
            for row in await connection.fetch(
                """
                SELECT outcome, count(*) FROM model_calls
                WHERE asked_at >= $1 AND outcome <> 'done' GROUP BY outcome ORDER BY 2 DESC, 1 LIMIT $2
                """,
                since,
                LISTED,
            )
        ],
        beside=await _beside(connection, since),
    )


async def _spent(connection: Connection, what: str, since: datetime) -> list[Spent]:
    """`what` is an expression of this module."""
    rows = await connection.fetch(
        f"""
        SELECT {what} AS what, count(*) AS calls, count(*) FILTER (WHERE outcome <> 'done') AS failed,
               sum(cost) AS cost
        FROM model_calls WHERE asked_at >= $1 AND ended_at IS NOT NULL GROUP BY 1 ORDER BY 1 LIMIT $2
        """,  # noqa: S608
        since,
        LISTED,
    )
    return [Spent(row["what"], row["calls"], row["failed"], row["cost"]) for row in rows]


async def _beside(connection: Connection, since: datetime) -> list[Coincidence]:
    rows = await connection.fetch(
        """
        WITH ended AS (
            SELECT jobs, outcome <> 'done' AS has_failed FROM model_calls
            WHERE asked_at >= $1 AND ended_at IS NOT NULL
        ), total AS (
            SELECT count(*) AS calls, count(*) FILTER (WHERE has_failed) AS failed FROM ended
        )
        SELECT job, count(*) AS calls, count(*) FILTER (WHERE has_failed) AS failed,
               total.calls - count(*) AS other_calls,
               total.failed - count(*) FILTER (WHERE has_failed) AS other_failed
        FROM ended CROSS JOIN unnest(jobs) AS job CROSS JOIN total
        GROUP BY job, total.calls, total.failed ORDER BY failed DESC, job LIMIT $2
        """,
        since,
        LISTED,
    )
    return [
        Coincidence(row["job"], row["calls"], row["failed"], row["other_calls"], row["other_failed"])
        for row in rows
    ]
