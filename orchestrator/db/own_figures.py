"""What an account's posts have reached lately: for posts that tell it."""

from dataclasses import dataclass
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


async def week(connection: Connection, account: str, since: datetime, source: str) -> Week | None:
    """None when nothing was published or liked since then, or a post from `source` was made since."""
    if await connection.fetchval(
        "SELECT EXISTS (SELECT FROM posts WHERE account = $1 AND source = $2 AND created_at >= $3)",
        account,
        source,
        since,
    ):
        return None
    rows = await connection.fetch(
        """
        SELECT p.text, p.topic, m.likes, m.views FROM posts p
        CROSS JOIN LATERAL (SELECT likes, views FROM post_metrics
                            WHERE post_id = p.id ORDER BY read_at DESC LIMIT 1) m
        WHERE p.account = $1 AND p.state = 'published' AND p.published_at >= $2
              AND p.in_reply_to IS NULL
        ORDER BY m.likes DESC, p.id LIMIT 1000
        """,
        account,
        since,
    )
    if not rows or not rows[0]["likes"]:
        return None
    best = rows[0]
    likes, views = sum(row["likes"] for row in rows), sum(row["views"] for row in rows)
    return Week(len(rows), likes, views, best["text"], best["topic"], best["likes"])
