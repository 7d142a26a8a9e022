"""Accounts' sign-in states, encrypted before they come here."""

from datetime import datetime
from typing import TYPE_CHECKING

from orchestrator.clock import Clock
from orchestrator.errors import DatabaseUnavailableError

if TYPE_CHECKING:  # the pool of contexts, which is made first of all, waits for what is imported here
    from orchestrator.db.pool import Connection, Database


class SessionTable:
    """The store of the pool of contexts.

    `database` is set by whoever connects it; until then there is none, DatabaseUnavailableError says so.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.database: Database | None = None

    async def load(self, account: str) -> bytes | None:
        return await self._connected().run(load, account)

    async def save(self, account: str, state: bytes) -> None:
        await self._connected().run(save, account, state, self._clock.now())

    def _connected(self) -> "Database":
        if self.database is None:
            raise DatabaseUnavailableError("the database is not connected yet")
        return self.database


async def load(connection: "Connection", account: str) -> bytes | None:
    state: bytes | None = await connection.fetchval("SELECT state FROM sessions WHERE account = $1", account)
    return state


async def save(connection: "Connection", account: str, state: bytes, now: datetime) -> None:
    await connection.execute(
        """
        INSERT INTO sessions (account, state, saved_at) VALUES ($1, $2, $3)
        ON CONFLICT (account) DO UPDATE SET state = excluded.state, saved_at = excluded.saved_at
        """,
        account,
        state,
        now,
    )
