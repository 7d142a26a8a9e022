"""Which daemon may write: one lease per database, with a fence that grows at each change of owner.

Every change of a post carries the fence of the daemon that makes it; a daemon that lost the lease
while it was stopped finds out at its next write.
"""

from dataclasses import dataclass

import asyncpg

from orchestrator.db.pool import Connection
from orchestrator.errors import DatabaseReplacedError, FenceLostError

HAS_RENEWALS = """
SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'daemon_lease'::regclass AND attname = 'renewals')
"""
ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('orchestrator daemon_lease'))"
FENCE_IS_KEY = "SELECT to_regclass('daemon_lease_fence') IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Held:
    """The lease is somebody else's."""

    owner: str
    left_s: float
    """Until it expires, unless it is renewed."""


async def prepare(connection: Connection) -> None:
    """Make the lease's table in a database that has none. It uses the server's own clock."""
    await connection.execute(ONE_AT_A_TIME)
    await connection.execute(
        """
        CREATE TABLE IF NOT EXISTS daemon_lease (
            id         integer PRIMARY KEY CHECK (id = 1),
            fence      bigint NOT NULL,
            owner      text NOT NULL,
            expires_at timestamptz NOT NULL,
            renewals   bigint NOT NULL DEFAULT 0
        )
        """
    )
    if not await connection.fetchval(HAS_RENEWALS):
        await connection.execute("ALTER TABLE daemon_lease ADD COLUMN renewals bigint NOT NULL DEFAULT 0")
    if not await connection.fetchval(FENCE_IS_KEY):
        # With the fence a key of the row, a change of it waits for those who hold it, and a renewal does not.
        await connection.execute("CREATE UNIQUE INDEX daemon_lease_fence ON daemon_lease (fence)")


async def claim(connection: Connection, owner: str, ttl_s: float) -> int | Held:
    """Take the lease: the new fence, or who has it.

    The same owner gets it at once: its state directory's lock proves that its earlier self is gone.
    Claims come one after the other: where there is no row yet, several would meet in both of its keys.
    """
    await connection.execute(ONE_AT_A_TIME)
    row = await connection.fetchrow(
        """
        INSERT INTO daemon_lease AS l (id, fence, owner, expires_at)
        VALUES (1, 1, $1, clock_timestamp() + make_interval(secs => $2))
        ON CONFLICT (id) DO UPDATE
            SET fence = l.fence + 1, owner = excluded.owner, expires_at = excluded.expires_at
            WHERE l.owner = excluded.owner OR l.expires_at < clock_timestamp()
        RETURNING fence
        """,
        owner,
        ttl_s,
    )
    if row is not None:
        return int(row["fence"])
    held = await connection.fetchrow(
        "SELECT owner, extract(epoch FROM expires_at - clock_timestamp()) AS left_s FROM daemon_lease"
    )
    assert held is not None  # the row that was in our way is never deleted
    return Held(held["owner"], max(0.1, float(held["left_s"])))


async def renew(connection: Connection, fence: int, ttl_s: float, renewals: int = 0) -> int:
    """Hold the lease for another `ttl_s`; how often it has been renewed, which only grows.

    `renewals` is the caller's last such answer. Raises FenceLostError when another daemon has the lease,
    DatabaseReplacedError when the database knows less than `renewals`, or has no lease at all.
    """
    try:
        renewed = await connection.fetchval(
            """
            UPDATE daemon_lease
            SET expires_at = clock_timestamp() + make_interval(secs => $2), renewals = renewals + 1
            WHERE fence = $1 AND renewals >= $3 RETURNING renewals
            """,
            fence,
            ttl_s,
            renewals,
        )
    except asyncpg.UndefinedTableError:
        raise _lost(None, fence) from None
    if renewed is None:
        raise _lost(await connection.fetchval("SELECT fence FROM daemon_lease"), fence)
    return int(renewed)


async def release(connection: Connection, fence: int) -> None:
    """Let a waiting daemon take over at once."""
    await connection.execute("UPDATE daemon_lease SET expires_at = 'epoch' WHERE fence = $1", fence)


async def check(connection: Connection, fence: int) -> None:
    """Hold the lease's row against a change of owner, not against renewals, until the transaction ends.

    Raises FenceLostError when `fence` is no longer the valid one, DatabaseReplacedError when it was never
    given here.
    """
    held = await connection.fetchval("SELECT fence FROM daemon_lease FOR KEY SHARE")
    if held != fence:
        raise _lost(held, fence)


def _lost(held: int | None, fence: int) -> FenceLostError:
    """Why `fence` does not hold, where the database has `held`: the number never gets smaller."""
    if held is not None and held > fence:
        return FenceLostError("another daemon has taken over this database")
    return DatabaseReplacedError(
        "the database is another one now, or an older state of itself: what was recorded last is not there",
        remedy="Posts since then may go out again: see “Backup” in docs/operations.md before the next start",
    )
