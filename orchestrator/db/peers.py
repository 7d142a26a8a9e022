"""What peers have posted, as the scraping jobs saw it, and what ours have reached beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from orchestrator.db.pool import Connection
from orchestrator.model import PostMetrics


@dataclass(frozen=True, slots=True)
class PeerPost:
    """A post of somebody else."""

    author: str
    text: str
    likes: int
    replies: int
    posted_at: datetime | None


async def recent(connection: Connection, site: str, since: datetime, limit: int) -> list[PeerPost]:
    """Peers' posts that were seen at `since` or later, those seen last first."""
    rows = await connection.fetch(
        """
        SELECT author, text, likes, replies, posted_at FROM peer_posts
        WHERE site = $1 AND seen_at >= $2 ORDER BY seen_at DESC LIMIT $3
        """,
        site,
        since,
        limit,
    )
    return [PeerPost(**row) for row in rows]


async def ours(connection: Connection, accounts: Sequence[str], since: date, limit: int) -> list[PostMetrics]:
    """What settled posts of `accounts` have reached that were published on `since` or later."""
    rows = await connection.fetch(
        """
        SELECT likes, replies, views FROM attributions
        WHERE account = ANY ($1) AND day >= $2 ORDER BY attributed_at DESC LIMIT $3
        """,
        list(accounts),
        since,
        limit,
    )
    return [PostMetrics(row["likes"], row["replies"], row["views"]) for row in rows]
