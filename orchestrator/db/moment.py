"""The time of the database's own clock."""

from orchestrator.db.pool import Connection


async def read(connection: Connection) -> float:
    """In seconds since 1970."""
    return float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
