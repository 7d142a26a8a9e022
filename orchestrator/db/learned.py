"""The bandit's arms, and the outcomes that they were learned from."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.db import lease
from orchestrator.db.pool import Connection
from orchestrator.model import Arms, PostMetrics

ArmRow = tuple[str, str, float, float]
"""Dimension, value, alpha, beta."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A published post that was not learned from yet, with its latest metrics and their moment."""

    post_id: int
    account: str
    arms: Arms
    published_at: datetime
    metrics: PostMetrics
    read_at: datetime


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one post taught."""

    post_id: int
    reward: float
    metrics: PostMetrics


async def arms(connection: Connection, scope: str) -> list[ArmRow]:
    """All arms of a site that were ever tried."""
    rows = await connection.fetch(
        "SELECT dimension, value, alpha, beta FROM arms WHERE scope = $1 ORDER BY dimension, value", scope
    )
    return [(row["dimension"], row["value"], row["alpha"], row["beta"]) for row in rows]


async def candidates(
    connection: Connection, accounts: Sequence[str], settle: timedelta, min_views: int, limit: int
) -> list[Candidate]:
    """Posts of `accounts` to learn from, oldest first: those that were read when they were `settle` old.

    At the limit those with fewer than `min_views` are left out first: they may have to be waited for.
    """
    rows = await connection.fetch(
        """
        SELECT p.id, p.account, p.topic, p.format, p.hour, p.published_at,
               m.likes, m.replies, m.views, m.read_at
        FROM posts p
        CROSS JOIN LATERAL (SELECT likes, replies, views, read_at FROM post_metrics
                            WHERE post_id = p.id ORDER BY read_at DESC LIMIT 1) m
        WHERE p.state = 'published' AND p.learned_at IS NULL AND p.account = ANY ($1)
          AND p.in_reply_to IS NULL
          AND m.read_at >= p.published_at + $2::interval
        ORDER BY m.views < $3, p.published_at LIMIT $4
        """,
        list(accounts),
        settle,
        min_views,
        limit,
    )
    return [
        Candidate(
            post_id=row["id"],
            account=row["account"],
            arms=Arms(row["topic"], row["format"], row["hour"]),
            published_at=row["published_at"],
            metrics=PostMetrics(row["likes"], row["replies"], row["views"]),
            read_at=row["read_at"],
        )
        for row in sorted(rows, key=lambda row: row["published_at"])
    ]


async def histories(
    connection: Connection, accounts: Sequence[str], limit: int
) -> dict[str, list[PostMetrics]]:
    """What each account's latest learned posts had reached, newest first; `limit` of each."""
    rows = await connection.fetch(
        """
        SELECT given.account, o.likes, o.replies, o.views
        FROM unnest($1::text[]) AS given (account)
        CROSS JOIN LATERAL (SELECT p.id, o.likes, o.replies, o.views
                            FROM posts p JOIN outcomes o ON o.post_id = p.id
                            WHERE p.account = given.account ORDER BY p.id DESC LIMIT $2) o
        ORDER BY given.account, o.id DESC
        """,
        list(accounts),
        limit,
    )
    found: dict[str, list[PostMetrics]] = {account: [] for account in accounts}
    for row in rows:
        found[row["account"]].append(PostMetrics(row["likes"], row["replies"], row["views"]))
    return found


async def latest_rewards(connection: Connection, scope: str, limit: int) -> list[float]:
    """What the posts learned from last on a site have earned, oldest first."""
    rows = await connection.fetch(
        "SELECT reward FROM outcomes WHERE scope = $1 ORDER BY learned_at DESC LIMIT $2", scope, limit
    )
    return [row["reward"] for row in reversed(rows)]


async def store(
    connection: Connection,
    scope: str,
    lessons: Sequence[Lesson],
    updated: Sequence[ArmRow],
    fence: int,
    now: datetime,
) -> None:
    """Lessons and the arms that they moved, in one transaction: no post teaches twice.

    Raises asyncpg.UniqueViolationError (a DatabaseError outside) when one was learned from already.
    """
    await lease.check(connection, fence)
    await connection.executemany(
        """
        INSERT INTO outcomes (post_id, scope, reward, likes, replies, views, learned_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        [
            (x.post_id, scope, x.reward, x.metrics.likes, x.metrics.replies, x.metrics.views, now)
            for x in lessons
        ],
    )
    await connection.execute(
        "UPDATE posts SET learned_at = $2 WHERE id = ANY ($1)", [x.post_id for x in lessons], now
    )
    await connection.executemany(
        """
        INSERT INTO arms (scope, dimension, value, alpha, beta) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (scope, dimension, value) DO UPDATE SET alpha = excluded.alpha, beta = excluded.beta
        """,
        [(scope, *row) for row in updated],
    )


async def count_outcomes(connection: Connection) -> int:
    return int(await connection.fetchval("SELECT count(*) FROM outcomes"))
