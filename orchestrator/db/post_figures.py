"""What people and metrics read of all posts: how many stand where, what waits, what is in doubt."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.db import posts
from orchestrator.db.pool import Connection
from orchestrator.model import Post, PostState


@dataclass(frozen=True, slots=True)
class InDoubt:
    """Ambiguous posts by who settles them."""

    looked_for: int
    """By reconciliation."""
    for_a_person: int
    reason: str
    """Why a person has to settle the first of those."""
    first_for_a_person: int | None
    """Its id."""
    strays: int
    """Of other accounts than those that are posted for: by nobody."""
    stray_accounts: str
    first_stray: int | None
    """The id of one of them."""


async def count_by_state(connection: Connection) -> dict[PostState, int]:
    rows = await connection.fetch("SELECT state, count(*) AS n FROM posts GROUP BY state")
    counts = {PostState(row["state"]): row["n"] for row in rows}
    return {state: counts.get(state, 0) for state in PostState}


async def put_off(connection: Connection, accounts: Sequence[str]) -> tuple[int, str]:
    """How many posts of `accounts` wait because their account can't be used, and why the first does."""
    row = await connection.fetchrow(
        """
        SELECT count(*) AS n, min(detail) AS detail FROM posts
        WHERE state = 'queued' AND starts_with(detail, $1) AND account = ANY ($2)
        """,
        posts.PUT_OFF,
        list(accounts),
    )
    assert row is not None  # an aggregate always has a row
    return row["n"], (row["detail"] or "").removeprefix(posts.PUT_OFF)


async def in_doubt(connection: Connection, accounts: Sequence[str]) -> InDoubt:
    """The ambiguous posts; `accounts` are those that are posted for."""
    row = await connection.fetchrow(
        """
        SELECT count(*) FILTER (WHERE is_ours AND NOT is_asked) AS looked_for,
               count(*) FILTER (WHERE is_ours AND is_asked) AS for_a_person,
               (array_agg(detail ORDER BY id) FILTER (WHERE is_ours AND is_asked))[1] AS reason,
               min(id) FILTER (WHERE is_ours AND is_asked) AS first_for_a_person,
               count(*) FILTER (WHERE NOT is_ours) AS strays,
               string_agg(DISTINCT account, ', ') FILTER (WHERE NOT is_ours) AS stray_accounts,
               min(id) FILTER (WHERE NOT is_ours) AS first_stray
        FROM (SELECT id, account, detail, account = ANY ($1) AS is_ours,
                     right(detail, length($2)) = $2 AS is_asked
              FROM posts WHERE state = 'ambiguous') doubtful
        """,
        list(accounts),
        posts.ASK,
    )
    assert row is not None  # an aggregate always has a row
    return InDoubt(
        looked_for=row["looked_for"],
        for_a_person=row["for_a_person"],
        reason=row["reason"] or "",
        first_for_a_person=row["first_for_a_person"],
        strays=row["strays"],
        stray_accounts=row["stray_accounts"] or "",
        first_stray=row["first_stray"],
    )


async def oldest_due(connection: Connection, accounts: Sequence[str], now: datetime) -> datetime | None:
    """When the post of `accounts` was due that has been due the longest, of those that wait for no moment.

    Replies go out one every quarter of an hour at most, so none of them is late.
    """
    due_at: datetime | None = await connection.fetchval(
        """
        SELECT min(due_at) FROM posts
        WHERE state IN ('queued', 'claimed') AND greatest(due_at, not_before) <= $2 AND account = ANY ($1)
          AND in_reply_to IS NULL
        """,
        list(accounts),
        now,
    )
    return due_at


async def recent(connection: Connection, limit: int) -> list[tuple[Post, tuple[int, int, int] | None]]:
    """The posts that changed last, newest first, each with its latest likes, replies and views."""
    rows = await connection.fetch(
        f"""
        SELECT p.*, m.likes, m.replies, m.views
        FROM (SELECT {posts.COLUMNS}, state_since FROM posts ORDER BY state_since DESC, id DESC LIMIT $1) p
        LEFT JOIN LATERAL (SELECT likes, replies, views FROM post_metrics
                           WHERE post_id = p.id ORDER BY read_at DESC LIMIT 1) m ON true
        ORDER BY p.state_since DESC, p.id DESC
        """,  # noqa: S608 - a constant
        limit,
    )
    return [
        (posts.post_of(row), None if row["likes"] is None else (row["likes"], row["replies"], row["views"]))
        for row in rows
    ]
