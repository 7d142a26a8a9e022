"""What peers have posted, as the scraping jobs saw it, and what ours have reached beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from orchestrator.db import lease
from orchestrator.db.pool import Connection
from orchestrator.db.posts import Stamp
from orchestrator.model import PostMetrics, SeenPost

MAX_PEERS = 500
"""Of a site; beyond them those go whose posts were of use longest ago."""


@dataclass(frozen=True, slots=True)
class PeerPost:
    """A post of somebody else."""

    author: str
    text: str
    likes: int
    replies: int
    posted_at: datetime | None


@dataclass(frozen=True, slots=True)
class FoundPeer:
    """Somebody who writes on a topic of ours."""

    username: str
    topic: str
    score: float


async def keep_found(connection: Connection, site: str, found: Sequence[FoundPeer], stamp: Stamp) -> int:
    """Keep people who were found, whose score then moves halfway to the new one; how many are new."""
    await lease.check(connection, stamp.fence)
    names = [one.username for one in found]
    known = await connection.fetchval(
        "SELECT count(*) FROM peers WHERE site = $1 AND username = ANY ($2)", site, names
    )
    await connection.executemany(
        """
        INSERT INTO peers AS p (site, username, topic, score, found_at, useful_at)
        VALUES ($1, $2, $3, $4, $5, $5)
        ON CONFLICT (site, username) DO UPDATE SET
            topic = EXCLUDED.topic, score = (p.score + EXCLUDED.score) / 2, useful_at = EXCLUDED.useful_at
        """,
        [(site, one.username, one.topic, one.score, stamp.now) for one in found],
    )
    await connection.execute(
        """
        DELETE FROM peers WHERE site = $1 AND username IN (
            SELECT username FROM peers WHERE site = $1 ORDER BY useful_at DESC, username OFFSET $2)
        """,
        site,
        MAX_PEERS,
    )
    return len(found) - int(known)


async def best(connection: Connection, site: str, among: int, limit: int) -> list[str]:
    """Of the `among` peers with the highest scores those that were read longest ago."""
    rows = await connection.fetch(
        """
        SELECT username FROM (SELECT username, last_read_at, score FROM peers
                              WHERE site = $1 ORDER BY score DESC LIMIT $2) b
        ORDER BY last_read_at NULLS FIRST, score DESC LIMIT $3
        """,
        site,
        among,
        limit,
    )
    return [row["username"] for row in rows]


async def was_read(
    connection: Connection, site: str, username: str, stamp: Stamp, useful_at: datetime | None
) -> None:
    """The peer's own list was read; `useful_at`: it has posts on topics of ours."""
    await lease.check(connection, stamp.fence)
    await connection.execute(
        """
        UPDATE peers SET last_read_at = $3, useful_at = coalesce($4, useful_at)
        WHERE site = $1 AND username = $2
        """,
        site,
        username,
        stamp.now,
        useful_at,
    )


async def drop(connection: Connection, site: str, username: str, fence: int) -> None:
    """The site has no such person any more."""
    await lease.check(connection, fence)
    await connection.execute("DELETE FROM peers WHERE site = $1 AND username = $2", site, username)


async def keep_posts(connection: Connection, site: str, seen: Sequence[SeenPost], stamp: Stamp) -> None:
    """Keep what was seen of others' posts; those without counts of likes and replies can't be compared."""
    await lease.check(connection, stamp.fence)
    await connection.executemany(
        """
        INSERT INTO peer_posts (site, author, reference, text, likes, replies, views, posted_at, seen_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (site, author, reference) DO UPDATE SET
            text = EXCLUDED.text, likes = EXCLUDED.likes, replies = EXCLUDED.replies,
            views = EXCLUDED.views, seen_at = EXCLUDED.seen_at
        """,
        [
            (
                site, one.author, one.reference, one.text, one.likes, one.replies, one.views,
                one.posted_at, stamp.now,
            )
            for one in seen
            if one.likes is not None and one.replies is not None
        ],
    )  # fmt: skip


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
