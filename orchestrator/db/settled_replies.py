"""Replies to opportunities whose figures have settled."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.db.pool import Connection
from orchestrator.model import PostMetrics

MOST = 300
"""Of a site, the latest."""
PATIENCE = 4
"""What few have seen is waited for, up to so many times the settle age."""


@dataclass(frozen=True, slots=True)
class SettledReply:
    """A reply whose figures have settled, and the post that it answered, as it was then."""

    account: str
    topic: str
    age: timedelta
    reactions: int
    metrics: PostMetrics


async def settled(
    connection: Connection, site: str, accounts: Sequence[str], settle: timedelta, min_views: int
) -> list[SettledReply]:
    """The latest `MOST` answered opportunities, each with the first reading that means something."""
    rows = await connection.fetch(
        """
        SELECT p.account, o.topic, p.published_at - least(o.posted_at, o.seen_at) AS age,
               coalesce(o.likes, 0) + 2 * coalesce(o.replies, 0) AS reactions, m.likes, m.replies, m.views
        FROM (SELECT reply, topic, posted_at, seen_at, likes, replies FROM opportunities
              WHERE site = $1 AND state = 'answered' AND reply IS NOT NULL
              ORDER BY state_since DESC LIMIT $2) o
        JOIN posts p ON p.id = o.reply AND p.state = 'published' AND p.account = ANY ($3)
        CROSS JOIN LATERAL (
            SELECT likes, replies, views FROM post_metrics
            WHERE post_id = p.id AND read_at >= p.published_at + $4::interval
              AND (views >= $5 OR read_at >= p.published_at + $6::interval)
            ORDER BY read_at LIMIT 1) m
        ORDER BY p.published_at, p.id LIMIT $2
        """,
        site,
        MOST,
        list(accounts),
        settle,
        min_views,
        PATIENCE * settle,
    )
    return [
        SettledReply(
            row["account"],
            row["topic"],
            row["age"],
            row["reactions"],
            PostMetrics(row["likes"], row["replies"], row["views"]),
        )
        for row in rows
    ]
