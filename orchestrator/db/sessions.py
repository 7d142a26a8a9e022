"""Accounts' sign-in states, encrypted before they come here."""

from datetime import datetime

from orchestrator.db.pool import Connection


async def load(connection: Connection, account: str) -> bytes | None:
    state: bytes | None = await connection.fetchval("SELECT state FROM sessions WHERE account = $1", account)
    return state


async def save(connection: Connection, account: str, state: bytes, now: datetime) -> None:
    await connection.execute(
        """
        INSERT INTO sessions (account, state, saved_at) VALUES ($1, $2, $3)
        ON CONFLICT (account) DO UPDATE SET state = excluded.state, saved_at = excluded.saved_at
        """,
        account,
        state,
        now,
    )
