"""The pool of prepared posts: kept for the time when the language model is out."""

from dataclasses import dataclass
from datetime import datetime

from orchestrator.db import lease
from orchestrator.db.pool import Connection
from orchestrator.model import fingerprint

MOST = 100
"""Far more than the pool ever holds."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """One prepared post; `id` None: not in the database yet."""

    id: int | None
    text: str
    topic: str
    format: str
    source: str
    made_at: datetime


async def pool(connection: Connection) -> list[Prepared]:
    """All of them, oldest first."""
    query = (
        "SELECT id, text, topic, format, source, made_at FROM prepared_posts ORDER BY made_at, id LIMIT $1"
    )
    rows = await connection.fetch(query, MOST)
    return [Prepared(*row) for row in rows]


async def add(connection: Connection, post: Prepared, fence: int) -> bool:
    """Whether it was new."""
    await lease.check(connection, fence)
    found = await connection.fetchval(
        """
        INSERT INTO prepared_posts (text, fingerprint, topic, format, source, made_at)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (fingerprint) DO NOTHING RETURNING id
        """,
        post.text,
        fingerprint(post.text),
        post.topic,
        post.format,
        post.source,
        post.made_at,
    )
    return found is not None


async def drop(connection: Connection, ids: list[int], fence: int) -> None:
    """Take posts out of the pool: they are used, or too old."""
    await lease.check(connection, fence)
    await connection.execute("DELETE FROM prepared_posts WHERE id = ANY ($1)", ids)
