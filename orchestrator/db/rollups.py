"""What settled posts have reached: one row a post, and sums by account, day, dimension and value."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from orchestrator.db import lease
from orchestrator.db.pool import Connection
from orchestrator.model import PostMetrics

MAX_VALUES = 300
"""Values of all dimensions together that are read of one account: 40 or so, and any number of topics."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A published post that stands in no sum yet, with its latest figures and their moment."""

    post_id: int
    account: str
    text: str
    topic: str
    format: str
    published_at: datetime
    metrics: PostMetrics
    read_at: datetime


@dataclass(frozen=True, slots=True)
class Attribution:
    """What a post was made of, and what it has reached."""

    post: Settled
    day: date
    """Of its publication, as its hour, in the account's zone."""
    hour: int
    opening: str
    length: str
    score: float


@dataclass(frozen=True, slots=True)
class Sum:
    """What the posts of one account with one value have reached together."""

    account: str
    dimension: str
    value: str
    posts: int
    likes: int
    replies: int
    views: int
    score: float
    squares: float


async def settled(
    connection: Connection, accounts: Sequence[str], settle: timedelta, min_views: int, limit: int
) -> list[Settled]:
    """Posts of `accounts` to sum up, oldest first: those that were read when they were `settle` old.

    At the limit those with fewer than `min_views` are left out first: they may have to be waited for.
    """
    rows = await connection.fetch(
        """
        SELECT p.id, p.account, p.text, p.topic, p.format, p.published_at,
               m.likes, m.replies, m.views, m.read_at
        FROM posts p
        CROSS JOIN LATERAL (SELECT likes, replies, views, read_at FROM post_metrics
                            WHERE post_id = p.id ORDER BY read_at DESC LIMIT 1) m
        WHERE p.state = 'published' AND p.attributed_at IS NULL AND p.account = ANY ($1)
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
        Settled(
            post_id=row["id"],
            account=row["account"],
            text=row["text"],
            topic=row["topic"],
            format=row["format"],
            published_at=row["published_at"],
            metrics=PostMetrics(row["likes"], row["replies"], row["views"]),
            read_at=row["read_at"],
        )
        for row in sorted(rows, key=lambda row: row["published_at"])
    ]


async def histories(
    connection: Connection, accounts: Sequence[str], limit: int
) -> dict[str, list[PostMetrics]]:
    """What the latest settled posts of each account had reached, newest first; `limit` of each."""
    rows = await connection.fetch(
        """
        SELECT given.account, a.likes, a.replies, a.views
        FROM unnest($1::text[]) AS given (account)
        CROSS JOIN LATERAL (SELECT likes, replies, views, attributed_at, post_id FROM attributions
                            WHERE account = given.account
                            ORDER BY attributed_at DESC, post_id DESC LIMIT $2) a
        ORDER BY given.account, a.attributed_at DESC, a.post_id DESC
        """,
        list(accounts),
        limit,
    )
    found: dict[str, list[PostMetrics]] = {account: [] for account in accounts}
    for row in rows:
        found[row["account"]].append(PostMetrics(row["likes"], row["replies"], row["views"]))
    return found


async def store(connection: Connection, found: Sequence[Attribution], fence: int, now: datetime) -> None:
    """Write the attributions and add them to the sums, in one transaction: no post counts twice.

    Raises asyncpg.UniqueViolationError (a DatabaseError outside) when one was written already.
    """
    await lease.check(connection, fence)
    await connection.executemany(
        """
        INSERT INTO attributions (post_id, account, day, hour, topic, format, opening, length,
                                  likes, replies, views, score, attributed_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        """,
        [
            (
                x.post.post_id, x.post.account, x.day, x.hour, x.post.topic, x.post.format,
                x.opening, x.length,
                x.post.metrics.likes, x.post.metrics.replies, x.post.metrics.views, x.score, now,
            )
            for x in found
        ],
    )  # fmt: skip
    ids = [x.post.post_id for x in found]
    await connection.execute(
        """
        INSERT INTO rollups AS r
            (account, day, dimension, value, posts, likes, replies, views, score, squares)
        SELECT account, day, dimension, value, count(*), sum(likes), sum(replies), sum(views),
               sum(score), sum(score * score)
        FROM attributions a
        CROSS JOIN LATERAL (VALUES ('topic', topic), ('format', format), ('hour', hour::text),
                                   ('opening', opening), ('length', length)) made_of (dimension, value)
        WHERE post_id = ANY ($1)
        GROUP BY account, day, dimension, value
        ON CONFLICT (account, day, dimension, value) DO UPDATE
        SET posts = r.posts + excluded.posts, likes = r.likes + excluded.likes,
            replies = r.replies + excluded.replies, views = r.views + excluded.views,
            score = r.score + excluded.score, squares = r.squares + excluded.squares
        """,
        ids,
    )
    await connection.execute("UPDATE posts SET attributed_at = $2 WHERE id = ANY ($1)", ids, now)


async def sums(connection: Connection, accounts: Sequence[str], since: date) -> list[Sum]:
    """What the posts of each account have reached that were published on `since` or later."""
    rows = await connection.fetch(
        """
        SELECT account, dimension, value, sum(posts)::bigint AS posts, sum(likes)::bigint AS likes,
               sum(replies)::bigint AS replies, sum(views)::bigint AS views,
               sum(score) AS score, sum(squares) AS squares
        FROM rollups WHERE account = ANY ($1) AND day >= $2
        GROUP BY account, dimension, value ORDER BY account, dimension, value LIMIT $3
        """,
        list(accounts),
        since,
        MAX_VALUES * len(accounts),
    )
    return [Sum(**row) for row in rows]


async def totals(connection: Connection, accounts: Sequence[str], since: date) -> list[Sum]:
    """The same of all `accounts` together, those with the most posts first."""
    rows = await connection.fetch(
        """
        SELECT '' AS account, dimension, value, sum(posts)::bigint AS posts, sum(likes)::bigint AS likes,
               sum(replies)::bigint AS replies, sum(views)::bigint AS views,
               sum(score) AS score, sum(squares) AS squares
        FROM rollups WHERE account = ANY ($1) AND day >= $2
        GROUP BY dimension, value ORDER BY posts DESC, dimension, value LIMIT $3
        """,
        list(accounts),
        since,
        MAX_VALUES,
    )
    return [Sum(**row) for row in rows]
