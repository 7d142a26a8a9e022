"""What an account's posts have reached lately: for posts that tell it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from orchestrator.db.pool import Connection


@dataclass(frozen=True, slots=True)
class Week:
    """Published posts since a moment, and the one that was liked most."""

    posts: int
    likes: int
    views: int
    best_text: str
    best_topic: str
    best_likes: int


_COLUMNS = tuple(field.name for field in fields(Week))


async def weeks(
    connection: Connection, accounts: Sequence[str], since: datetime, source: str
) -> dict[str, Week]:
    """Of each account.

    Without those of which nothing was published or liked since then, or that made a post from `source` since.
    """
    rows = await connection.fetch(
        """
        SELECT given.account, w.* FROM unnest($1::text[]) AS given (account)
        CROSS JOIN LATERAL (
            SELECT count(*) AS posts, sum(m.likes)::bigint AS likes, sum(m.views)::bigint AS views,
                   (array_agg(p.text ORDER BY m.likes DESC, p.id))[1] AS best_text,
                   (array_agg(p.topic ORDER BY m.likes DESC, p.id))[1] AS best_topic,
                   max(m.likes) AS best_likes
            FROM posts p
            CROSS JOIN LATERAL (SELECT likes, views FROM post_metrics
                                WHERE post_id = p.id ORDER BY read_at DESC LIMIT 1) m
            WHERE p.account = given.account AND p.state = 'published' AND p.published_at >= $2
                  AND p.in_reply_to IS NULL) w
        WHERE w.best_likes > 0
          AND NOT EXISTS (SELECT FROM posts
                          WHERE account = given.account AND source = $3 AND created_at >= $2)
        LIMIT $4
        """,
        list(accounts),
        since,
        source,
        len(accounts),
    )
    return {row["account"]: Week(**{name: row[name] for name in _COLUMNS}) for row in rows}
