"""How often each account posts, and what that is judged by."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.db import lease
from orchestrator.db.pool import Connection


@dataclass(frozen=True, slots=True)
class Pace:
    """An account's rate, as it was judged last, and how posts have ended since then."""

    account: str
    per_hour: float | None
    """None: it was never judged."""
    judged_at: datetime | None
    why: str
    published: int
    failed: int
    """Failed, or in doubt; without those of which a person has decided."""


async def paces(connection: Connection, accounts: Sequence[str]) -> list[Pace]:
    """The rates of `accounts`, in their order."""
    rows = await connection.fetch(
        """
        SELECT given.account, per_hour, judged_at, coalesce(why, '') AS why,
               (SELECT count(*) FROM posts p WHERE p.account = given.account AND state = 'published'
                AND in_reply_to IS NULL AND (judged_at IS NULL OR published_at > judged_at)) AS published,
               (SELECT count(*) FROM posts p WHERE p.account = given.account
                AND state IN ('failed', 'ambiguous') AND decision IS NULL
                AND in_reply_to IS NULL AND (judged_at IS NULL OR state_since > judged_at)) AS failed
        FROM unnest($1::text[]) WITH ORDINALITY AS given (account, place)
        LEFT JOIN paces ON paces.account = given.account
        ORDER BY place LIMIT $2
        """,
        list(accounts),
        len(accounts),
    )
    return [Pace(**row) for row in rows]


@dataclass(frozen=True, slots=True)
class Judgement:
    """How often an account posts from now on."""

    account: str
    per_hour: float
    why: str


async def store(connection: Connection, judged: Sequence[Judgement], fence: int, now: datetime) -> None:
    """These accounts have been judged."""
    await lease.check(connection, fence)
    await connection.execute(
        """
        INSERT INTO paces (account, per_hour, why, judged_at)
        SELECT account, per_hour, why, $4
        FROM unnest($1::text[], $2::float8[], $3::text[]) AS given (account, per_hour, why)
        ON CONFLICT (account) DO UPDATE
        SET per_hour = excluded.per_hour, why = excluded.why, judged_at = excluded.judged_at
        """,
        [one.account for one in judged],
        [one.per_hour for one in judged],
        [one.why for one in judged],
        now,
    )


async def taken(
    connection: Connection, accounts: Sequence[str], since: datetime, limit: int
) -> dict[str, list[datetime]]:
    """When posts of each account are to go out, and when those went out that did so at `since` or later.

    At most `limit` of either.
    """
    rows = await connection.fetch(
        """
        SELECT given.account, t.at FROM unnest($1::text[]) AS given (account)
        CROSS JOIN LATERAL (
            (SELECT greatest(due_at, not_before) AS at FROM posts
             WHERE account = given.account AND state IN ('queued', 'claimed', 'submitting')
               AND in_reply_to IS NULL
             ORDER BY 1 LIMIT $3)
            UNION ALL
            (SELECT published_at FROM posts
             WHERE account = given.account AND state = 'published' AND in_reply_to IS NULL
               AND published_at >= $2
             ORDER BY 1 DESC LIMIT $3)) t
        """,
        list(accounts),
        since,
        limit,
    )
    found: dict[str, list[datetime]] = {account: [] for account in accounts}
    for row in rows:
        found[row["account"]].append(row["at"])
    return found
