"""What users' own jobs keep from one run to the next: JSON values by job and key."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from orchestrator.db import lease
from orchestrator.db.pool import Connection


async def recall(connection: Connection, job: str, key: str) -> Any:
    """What was kept; None when nothing was."""
    return await connection.fetchval("SELECT value FROM notes WHERE job = $1 AND key = $2", job, key)


async def remember(connection: Connection, job: str, key: str, value: Any, fence: int, now: datetime) -> None:
    """Keep `value` in the place of what was kept; None forgets it.

    Raises asyncpg.DataError (a DatabaseError outside) for what JSON can't say.
    """
    await lease.check(connection, fence)
    if value is None:
        await connection.execute("DELETE FROM notes WHERE job = $1 AND key = $2", job, key)
        return
    await connection.execute(
        """
        INSERT INTO notes (job, key, value, saved_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (job, key) DO UPDATE SET value = excluded.value, saved_at = excluded.saved_at
        """,
        job,
        key,
        value,
        now,
    )


async def recall_all(connection: Connection, job: str, keys: Sequence[str]) -> dict[str, Any]:
    """What was kept of each of `keys`; without those of which nothing was."""
    rows = await connection.fetch(
        "SELECT key, value FROM notes WHERE job = $1 AND key = ANY ($2) LIMIT $3", job, list(keys), len(keys)
    )
    return {row["key"]: row["value"] for row in rows}
