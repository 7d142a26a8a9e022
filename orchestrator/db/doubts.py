"""Posts of which nobody knows whether the site has them: how they come to be so, and what is seen of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.db import lease, posts
from orchestrator.db.pool import Connection
from orchestrator.db.posts import Stamp
from orchestrator.model import Post, storable


@dataclass(frozen=True, slots=True)
class Recovered:
    """What `recover` found from an earlier daemon."""

    requeued: int
    ambiguous: int


async def recover(connection: Connection, stamp: Stamp) -> Recovered:
    """Settle what earlier daemons left: claimed → queued, submitting → ambiguous."""
    await lease.check(connection, stamp.fence)
    requeued = await connection.fetch(
        """
        UPDATE posts SET state = 'queued', state_since = $2, fence = $1
        WHERE state = 'claimed' AND fence < $1 RETURNING id
        """,
        stamp.fence,
        stamp.now,
    )
    ambiguous = await connection.fetch(
        """
        UPDATE posts SET state = 'ambiguous', state_since = $2, fence = $1,
                         detail = 'the daemon ended between pressing submit and the record of it'
        WHERE state = 'submitting' AND fence < $1 RETURNING id
        """,
        stamp.fence,
        stamp.now,
    )
    return Recovered(len(requeued), len(ambiguous))


async def doubt_stuck(connection: Connection, stamp: Stamp, since: datetime) -> int:
    """Submitting since before `since` → ambiguous; how many.

    What is in doubt since a moment yet to come, noted while the clock was ahead, is in doubt since now: else
    it would wait until then.
    """
    await lease.check(connection, stamp.fence)
    await connection.execute(
        """
        UPDATE posts SET state_since = least(state_since, $1),
                         submitted_at = CASE WHEN submitted_at > $1 THEN $1 ELSE submitted_at END,
                         missed_at = CASE WHEN missed_at > $1 THEN $1 ELSE missed_at END
        WHERE state IN ('submitting', 'ambiguous') AND greatest(state_since, submitted_at, missed_at) > $1
        """,
        stamp.now,
    )
    rows = await connection.fetch(
        """
        UPDATE posts SET state = 'ambiguous', state_since = $2, fence = $1, detail = 'stuck while submitting'
        WHERE state = 'submitting' AND state_since < $3 RETURNING id
        """,
        stamp.fence,
        stamp.now,
        since,
    )
    return len(rows)


async def note_missed(connection: Connection, post_id: int, stamp: Stamp) -> None:
    """A full look at the account's timeline did not show the ambiguous post: no person has to look."""
    await lease.check(connection, stamp.fence)
    await connection.execute(
        """
        UPDATE posts SET missed_at = $2, detail = 'not on the site in one look'
        WHERE id = $1 AND state = 'ambiguous' AND missed_at IS NULL
          AND ($3::timestamptz IS NULL OR submitted_at = $3)
        """,
        post_id,
        stamp.now,
        stamp.attempt_at,
    )


async def note_unreadable(connection: Connection, post_id: int, stamp: Stamp, detail: str) -> None:
    """Say why reconciliation can't settle an ambiguous post: a person decides."""
    await lease.check(connection, stamp.fence)
    await connection.execute(
        """
        UPDATE posts SET detail = $2
        WHERE id = $1 AND state = 'ambiguous' AND ($3::timestamptz IS NULL OR submitted_at = $3)
        """,
        post_id,
        storable(detail),
        stamp.attempt_at,
    )


async def ambiguous(
    connection: Connection, accounts: Sequence[str], limit: int
) -> list[tuple[Post, datetime | None]]:
    """Ambiguous posts of `accounts`, account by account, each with the moment when the site first lacked it.

    Of each account the latest `limit`: of those that only a person can settle there may be any number.
    """
    rows = await connection.fetch(
        f"""
        SELECT * FROM (
            SELECT {posts.COLUMNS}, row_number() OVER latest AS place
            FROM posts WHERE state = 'ambiguous' AND account = ANY ($1)
            WINDOW latest AS (PARTITION BY account ORDER BY state_since DESC, id DESC)
        ) ranked WHERE place <= $2 ORDER BY account, id
        """,  # noqa: S608 - a constant
        list(accounts),
        limit,
    )
    return [(posts.post_of(row), row["missed_at"]) for row in rows]
