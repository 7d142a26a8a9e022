"""Accounts that people add, remove and switch off while the daemon runs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.db import lease
from orchestrator.db.pool import Connection
from orchestrator.db.posts import Stamp

MAX_ADDED = 10_000
"""Accounts that may be added, besides those of the settings."""


@dataclass(frozen=True, slots=True)
class AddedAccount:
    """One row of `added_accounts`."""

    name: str
    site: str
    username: str
    password: bytes
    """Encrypted."""
    options: dict[str, Any]
    """Its other settings, those alone that somebody gave."""
    added_by: str
    removed_by: str | None = None
    """Who wants it removed; it stays until nothing of it is under way."""


@dataclass(frozen=True, slots=True)
class OnTheWay:
    """Posts and replies of an account that have not come to an end."""

    waiting: int
    """Drafts and queued ones."""
    under_way: int
    """Those that somebody has begun to publish, and those in doubt."""


async def add(connection: Connection, account: AddedAccount, stamp: Stamp) -> bool:
    """Keep an account; False, and nothing changes, when one of this name is there or there are too many."""
    await lease.check(connection, stamp.fence)
    added = await connection.fetchval(
        """
        INSERT INTO added_accounts (name, site, username, password, options, added_by, added_at)
        SELECT $1::text, $2::text, $3::text, $4::bytea, $5::jsonb, $6::text, $7::timestamptz
        WHERE (SELECT count(*) FROM added_accounts) < $8
        ON CONFLICT DO NOTHING RETURNING name
        """,
        account.name,
        account.site,
        account.username,
        account.password,
        account.options,
        account.added_by,
        stamp.now,
        MAX_ADDED,
    )
    return added is not None


async def added(connection: Connection) -> list[AddedAccount]:
    """Every account that was added, in the order of its name."""
    rows = await connection.fetch(
        "SELECT name, site, username, password, options, added_by, removed_by FROM added_accounts "
        "ORDER BY name LIMIT $1",
        MAX_ADDED,
    )
    return [
        AddedAccount(
            row["name"],
            row["site"],
            row["username"],
            row["password"],
            row["options"],
            row["added_by"],
            row["removed_by"],
        )
        for row in rows
    ]


async def on_the_way(connection: Connection, name: str) -> OnTheWay:
    """What of the account's posts has not come to an end."""
    row = await connection.fetchrow(
        """
        SELECT count(*) FILTER (WHERE state IN ('draft', 'queued')) AS waiting,
               count(*) FILTER (WHERE state NOT IN ('draft', 'queued')) AS under_way
        FROM posts
        WHERE account = $1 AND state IN ('draft', 'queued', 'claimed', 'submitting', 'ambiguous')
        """,
        name,
    )
    assert row is not None
    return OnTheWay(row["waiting"], row["under_way"])


async def begin_removal(connection: Connection, name: str, who: str, stamp: Stamp) -> None:
    await lease.check(connection, stamp.fence)
    await connection.execute("UPDATE added_accounts SET removed_by = $2 WHERE name = $1", name, who)


async def end_removal(connection: Connection, name: str, fence: int) -> bool:
    """Forget the account with its password and sign-ins, unless something of it is under way.

    Its posts and the counters of its days stay.
    """
    await lease.check(connection, fence)
    if (await on_the_way(connection, name)).under_way:
        return False
    await connection.execute("DELETE FROM added_accounts WHERE name = $1", name)
    await connection.execute("DELETE FROM sessions WHERE starts_with(account, $1 || '/')", name)
    for table in ("disabled_accounts", "account_states", "account_troubles", "account_figures"):
        await connection.execute(f"DELETE FROM {table} WHERE account = $1", name)  # noqa: S608 - constants
    return True


async def disable(connection: Connection, name: str, who: str, stamp: Stamp) -> None:
    await lease.check(connection, stamp.fence)
    await connection.execute(
        """
        INSERT INTO disabled_accounts (account, disabled_by, disabled_at) VALUES ($1, $2, $3)
        ON CONFLICT DO NOTHING
        """,
        name,
        who,
        stamp.now,
    )


async def enable(connection: Connection, name: str, fence: int) -> None:
    await lease.check(connection, fence)
    await connection.execute("DELETE FROM disabled_accounts WHERE account = $1", name)


async def disabled(connection: Connection) -> dict[str, tuple[str, datetime]]:
    """By account, who has switched it off, and when."""
    rows = await connection.fetch("SELECT account, disabled_by, disabled_at FROM disabled_accounts")
    return {row["account"]: (row["disabled_by"], row["disabled_at"]) for row in rows}
