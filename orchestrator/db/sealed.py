"""What is kept encrypted, to be encrypted anew: a batch of rows at a time."""

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.db import lease
from orchestrator.db.pool import Connection

BATCH = 100

Reseal = Callable[[bytes], bytes | None]
"""What a value becomes; None: it stays as it is."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A column that holds what is encrypted."""

    table: str
    key: str
    value: str


SIGN_INS = Sealed("sessions", "account", "state")
PASSWORDS = Sealed("added_accounts", "name", "password")


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of some rows."""

    last: str | None
    """The key of the last one; None: there were no more."""
    changed: int


async def reseal(connection: Connection, kind: Sealed, after: str, reseal: Reseal, fence: int) -> Batch:
    """The next BATCH rows beyond the key `after`, in one transaction."""
    await lease.check(connection, fence)
    rows = await connection.fetch(
        f"SELECT {kind.key} AS key, {kind.value} AS value FROM {kind.table} WHERE {kind.key} > $1 "  # noqa: S608
        f"ORDER BY {kind.key} LIMIT $2 FOR UPDATE",
        after,
        BATCH,
    )
    new = [(row["key"], value) for row in rows if (value := reseal(row["value"])) is not None]
    await connection.executemany(
        f"UPDATE {kind.table} SET {kind.value} = $2 WHERE {kind.key} = $1",  # noqa: S608
        new,
    )
    return Batch(rows[-1]["key"] if rows else None, len(new))
