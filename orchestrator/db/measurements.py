"""What posts' pages showed: which posts are due for a look, and what was seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.db import lease
from orchestrator.db.pool import Connection
from orchestrator.model import PostMetrics


@dataclass(frozen=True, slots=True)
class Tier:
    """Posts younger than `max_age` are measured every `every` (A8.1)."""

    max_age: timedelta
    every: timedelta


TIERS = (
    Tier(timedelta(hours=24), timedelta(minutes=20)),
    Tier(timedelta(days=7), timedelta(hours=2)),
    Tier(timedelta(days=36_500), timedelta(hours=24)),
)


@dataclass(frozen=True, slots=True)
class DuePost:
    """A published post to look at."""

    id: int
    reference: str


async def turns(connection: Connection, accounts: Sequence[str]) -> list[str]:
    """`accounts` in the order in which they are to be looked at: longest ago first."""
    rows = await connection.fetch(
        """
        SELECT account FROM unnest($1::text[]) WITH ORDINALITY AS given (account, place)
        LEFT JOIN LATERAL (SELECT max(measured_at) AS looked_at FROM posts p
                           WHERE p.account = given.account AND state = 'published') looks ON true
        ORDER BY looked_at NULLS FIRST, place
        """,
        list(accounts),
    )
    return [row["account"] for row in rows]


async def due(
    connection: Connection,
    account: str,
    now: datetime,
    limit: int,
    slowdown: float = 1.0,
    with_replies: bool = False,
) -> list[DuePost]:
    """Published posts of `account` to look at now: never measured ones first, then the most overdue.

    Each tier's interval is `slowdown` times as long. Replies are among them if `with_replies`.

    A moment that lies ahead, noted while the clock was ahead, counts as one of a post that is new and due.
    """
    fresh = await connection.fetch(
        """
        SELECT id, reference FROM posts
        WHERE state = 'published' AND measured_at IS NULL AND account = $1
          AND ($3 OR in_reply_to IS NULL)
        ORDER BY published_at LIMIT $2
        """,
        account,
        limit,
        with_replies,
    )
    found = [DuePost(row["id"], row["reference"]) for row in fresh]
    youngest = timedelta()
    for tier in TIERS:
        if len(found) < limit:
            slowed = Tier(tier.max_age, tier.every * slowdown)
            span = (youngest, slowed)
            found += await _due_in(connection, account, now, span, limit - len(found), with_replies)
        youngest = tier.max_age
    return found


async def _due_in(
    connection: Connection,
    account: str,
    now: datetime,
    span: tuple[timedelta, Tier],
    limit: int,
    with_replies: bool,
) -> list[DuePost]:
    min_age, tier = span
    rows = await connection.fetch(
        """
        SELECT id, reference FROM posts
        WHERE state = 'published' AND ($7 OR in_reply_to IS NULL) AND account = $1
          AND (measured_at <= $2 OR measured_at > $6)
          AND least(published_at, $6) > $3 AND least(published_at, $6) <= $4
        ORDER BY measured_at LIMIT $5
        """,
        account,
        now - tier.every,
        now - tier.max_age,
        now - min_age,
        limit,
        now,
        with_replies,
    )
    return [DuePost(row["id"], row["reference"]) for row in rows]


async def record(
    connection: Connection,
    seen: Sequence[tuple[int, PostMetrics]],
    without: Sequence[int],
    fence: int,
    now: datetime,
) -> None:
    """Store what was seen at `now`; posts `without` figures, gone or not readable, count as looked at.

    A publication that lies ahead of `now` was noted by a clock that was ahead: it counts as now from here on,
    so that the post grows older, and is looked at less often, like any other.
    """
    await lease.check(connection, fence)
    await connection.executemany(
        """
        INSERT INTO post_metrics (post_id, read_at, likes, replies, views) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT DO NOTHING
        """,
        [(post_id, now, m.likes, m.replies, m.views) for post_id, m in seen],
    )
    looked_at = [post_id for post_id, _ in seen] + list(without)
    await connection.execute(
        """
        UPDATE posts SET measured_at = $2,
                         published_at = CASE WHEN published_at > $2 THEN $2 ELSE published_at END
        WHERE id = ANY ($1)
        """,
        looked_at,
        now,
    )
