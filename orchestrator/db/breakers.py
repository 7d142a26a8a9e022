"""Which breakers operators have forced open or closed, so that it outlives the daemon."""

from datetime import datetime

from orchestrator.db.pool import Connection


async def keep(connection: Connection, breaker: str, forced: str, who: str, now: datetime) -> None:
    """Remember an order, "open" or "close", in the place of an earlier one."""
    await connection.execute(
        """
        INSERT INTO breaker_orders (breaker, forced, ordered_by, ordered_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (breaker) DO UPDATE
        SET forced = excluded.forced, ordered_by = excluded.ordered_by, ordered_at = excluded.ordered_at
        """,
        breaker,
        forced,
        who,
        now,
    )


async def forget(connection: Connection, breaker: str) -> None:
    await connection.execute("DELETE FROM breaker_orders WHERE breaker = $1", breaker)


async def kept(connection: Connection) -> list[tuple[str, str, str]]:
    """Breaker, order and who gave it."""
    rows = await connection.fetch("SELECT breaker, forced, ordered_by FROM breaker_orders ORDER BY breaker")
    return [(row["breaker"], row["forced"], row["ordered_by"]) for row in rows]
