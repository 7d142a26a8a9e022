"""What is known of each account: sign-ins, troubles, figures, and the counters of its days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from orchestrator.db import lease
from orchestrator.db.pool import Connection
from orchestrator.db.posts import Stamp
from orchestrator.model import Trouble, storable

FIGURES_KEPT = 100
"""Looks at an account's own figures that are kept: 25 days, four a day."""
VISITS, SIGN_INS = "visits", "sign_ins"
"""What is counted here a day and account; posts and replies are counted with their steps."""


@dataclass(frozen=True, slots=True)
class AccountState:
    """What is known of an account."""

    signed_in_at: datetime | None = None
    """Of the latest sign-in that the site took."""
    visited_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class FiguresRead:
    """What an account's own page said of it."""

    read_at: datetime
    followers: int
    following: int
    posts: int


@dataclass(frozen=True, slots=True)
class TroubleMark:
    """Points that troubles of a kind had taken from an account's health, as of a moment."""

    points: float
    at: datetime
    said: str


async def states(connection: Connection, accounts: Sequence[str]) -> dict[str, AccountState]:
    """What is known of each of `accounts` that anything is known of."""
    rows = await connection.fetch(
        "SELECT account, signed_in_at, visited_at FROM account_states WHERE account = ANY ($1)",
        list(accounts),
    )
    return {row["account"]: AccountState(row["signed_in_at"], row["visited_at"]) for row in rows}


# ── sign-ins ────────────────────────────────────────────────────────────────────────────────────


async def signed_in(connection: Connection, name: str, stamp: Stamp, is_new: bool) -> None:
    """The site knows the account: by a new sign-in, or by an older one, which counts if none is noted."""
    await lease.check(connection, stamp.fence)
    await connection.execute(
        """
        INSERT INTO account_states AS s (account, signed_in_at) VALUES ($1, $2)
        ON CONFLICT (account) DO UPDATE SET signed_in_at = $2 WHERE $3 OR s.signed_in_at IS NULL
        """,
        name,
        stamp.now,
        is_new,
    )


async def never_signed_in(connection: Connection, accounts: Sequence[str]) -> list[str]:
    """Those of `accounts` that the site has never let in, in their order."""
    rows = await connection.fetch(
        """
        SELECT given.account FROM unnest($1::text[]) WITH ORDINALITY AS given (account, place)
        LEFT JOIN account_states s ON s.account = given.account
        WHERE s.signed_in_at IS NULL ORDER BY place
        """,
        list(accounts),
    )
    return [row["account"] for row in rows]


async def unused(connection: Connection, accounts: Sequence[str], since: datetime, limit: int) -> list[str]:
    """Those of `accounts` that are signed in and were not visited after `since`, longest ago first."""
    rows = await connection.fetch(
        """
        SELECT account FROM account_states
        WHERE account = ANY ($1) AND signed_in_at IS NOT NULL AND visited_at <= $2
        ORDER BY visited_at LIMIT $3
        """,
        list(accounts),
        since,
        limit,
    )
    return [row["account"] for row in rows]


# ── troubles ────────────────────────────────────────────────────────────────────────────────────


async def mark(connection: Connection, name: str, kind: Trouble, found: TroubleMark, fence: int) -> None:
    """Keep what troubles of a kind have cost."""
    await lease.check(connection, fence)
    await connection.execute(
        """
        INSERT INTO account_troubles (account, kind, points, at, said) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (account, kind) DO UPDATE SET points = $3, at = $4, said = $5
        """,
        name,
        kind,
        found.points,
        found.at,
        storable(found.said),
    )


async def marks(connection: Connection) -> list[tuple[str, Trouble, TroubleMark]]:
    rows = await connection.fetch("SELECT account, kind, points, at, said FROM account_troubles")
    return [
        (row["account"], Trouble(row["kind"]), TroubleMark(row["points"], row["at"], row["said"]))
        for row in rows
    ]


# ── figures ─────────────────────────────────────────────────────────────────────────────────────


async def unread(connection: Connection, accounts: Sequence[str], since: datetime, limit: int) -> list[str]:
    """Those of `accounts` whose figures were not read after `since`, longest ago first."""
    rows = await connection.fetch(
        """
        SELECT given.account FROM unnest($1::text[]) WITH ORDINALITY AS given (account, place)
        LEFT JOIN LATERAL (SELECT read_at FROM account_figures f WHERE f.account = given.account
                           ORDER BY read_at DESC LIMIT 1) latest ON true
        WHERE read_at IS NULL OR read_at <= $2 ORDER BY read_at NULLS FIRST, place LIMIT $3
        """,
        list(accounts),
        since,
        limit,
    )
    return [row["account"] for row in rows]


async def record_figures(connection: Connection, name: str, found: FiguresRead, fence: int) -> None:
    """Keep a look at an account's figures, and the `FIGURES_KEPT` before it."""
    await lease.check(connection, fence)
    await connection.execute(
        """
        INSERT INTO account_figures (account, read_at, followers, following, posts)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT DO NOTHING
        """,
        name,
        found.read_at,
        found.followers,
        found.following,
        found.posts,
    )
    await connection.execute(
        """
        DELETE FROM account_figures WHERE account = $1 AND read_at <
            (SELECT read_at FROM account_figures WHERE account = $1 ORDER BY read_at DESC OFFSET $2 LIMIT 1)
        """,
        name,
        FIGURES_KEPT,
    )


async def figures(connection: Connection, accounts: Sequence[str]) -> dict[str, FiguresRead]:
    """The latest look at each of `accounts` that had one."""
    rows = await connection.fetch(
        """
        SELECT given.account, f.* FROM unnest($1::text[]) AS given (account)
        CROSS JOIN LATERAL (SELECT read_at, followers, following, posts FROM account_figures
                            WHERE account = given.account ORDER BY read_at DESC LIMIT 1) f
        """,
        list(accounts),
    )
    return {
        row["account"]: FiguresRead(row["read_at"], row["followers"], row["following"], row["posts"])
        for row in rows
    }


# ── counters ────────────────────────────────────────────────────────────────────────────────────


async def count(
    connection: Connection, name: str, action: str, on: tuple[date, datetime], limit: int, fence: int
) -> bool:
    """Count an action of the account on a day, the first of `on`; False, and nothing counted, at `limit`.

    One statement, so that no two of any number of tasks take the same place.
    """
    assert action in (VISITS, SIGN_INS)  # it becomes a part of the statement
    await lease.check(connection, fence)
    day, now = on
    counted = await connection.fetchval(
        f"""
        INSERT INTO daily_counters AS c (account, day, {action})
        SELECT $1::text, $2::date, 1 WHERE $3::int > 0
        ON CONFLICT (account, day) DO UPDATE SET {action} = c.{action} + 1 WHERE c.{action} < $3
        RETURNING {action}
        """,
        name,
        day,
        limit,
    )
    if counted is None:
        return False
    if action == VISITS:
        await connection.execute(
            """
            INSERT INTO account_states (account, visited_at) VALUES ($1, $2)
            ON CONFLICT (account) DO UPDATE SET visited_at = $2
            """,
            name,
            now,
        )
    return True


async def counts(connection: Connection, days: Sequence[tuple[str, date]]) -> dict[str, dict[str, int]]:
    """What each account's counter of its day holds, by action; accounts without one are left out."""
    rows = await connection.fetch(
        """
        SELECT c.* FROM daily_counters c
        JOIN unnest($1::text[], $2::date[]) AS given (account, day) USING (account, day)
        """,
        [name for name, _ in days],
        [day for _, day in days],
    )
    return {
        row["account"]: {name: row[name] for name in set(row.keys()) - {"account", "day"}} for row in rows
    }
