"""What was found of past posts: sentences with their figures, until a later look finds otherwise."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime

import asyncpg

from orchestrator.db import lease
from orchestrator.db.pool import Connection

ALL = ""
"""In the place of an account: all accounts of the site."""
_COLUMNS = "kind, site, account, subject, statement, effect, low, high, posts"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence; of a site, account, kind and subject there is at most one that holds."""

    kind: str
    site: str
    account: str
    """`ALL`: of all accounts of the site."""
    subject: str
    statement: str
    effect: float
    low: float
    high: float
    posts: int
    """That it rests on."""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.account, self.kind, self.subject


@dataclass(frozen=True, slots=True)
class Standing:
    """A finding that holds."""

    finding: Finding
    since: datetime
    """When it was found first; a later look that found the same direction has its figures."""
    looked_at: datetime


@dataclass(frozen=True, slots=True)
class Looks:
    """What a look changed."""

    new: int
    kept: int
    superseded: int


async def replace(  # noqa: PLR0913, PLR0917 - of whom and what, and by whom when
    connection: Connection,
    site: str,
    accounts: Sequence[str],
    kinds: Sequence[str],
    found: Sequence[Finding],
    fence: int,
    now: datetime,
) -> Looks:
    """What a look at `accounts` for `kinds` found takes the place of what an earlier one did.

    A finding with the direction that it had stays and gets new figures; what was not found again, or is the
    other way round now, is superseded.
    """
    await lease.check(connection, fence)
    rows = await connection.fetch(
        """
        SELECT id, account, kind, subject, effect FROM findings
        WHERE superseded_at IS NULL AND site = $1 AND account = ANY ($2) AND kind = ANY ($3)
        ORDER BY id LIMIT 100000
        """,
        site,
        list(accounts),
        list(kinds),
    )
    held = {(row["account"], row["kind"], row["subject"]): row for row in rows}
    kept = [
        (held[one.key]["id"], one)
        for one in found
        if one.key in held and (held[one.key]["effect"] > 0) == (one.effect > 0)
    ]
    kept_ids = {finding_id for finding_id, _ in kept}
    gone = [row["id"] for row in rows if row["id"] not in kept_ids]
    await connection.execute("UPDATE findings SET superseded_at = $2 WHERE id = ANY ($1)", gone, now)
    await connection.executemany(
        """
        UPDATE findings SET statement = $2, effect = $3, low = $4, high = $5, posts = $6, looked_at = $7
        WHERE id = $1
        """,
        [(key, one.statement, one.effect, one.low, one.high, one.posts, now) for key, one in kept],
    )
    known = {one.key for _, one in kept}
    new = [one for one in found if one.key not in known]
    await connection.executemany(
        f"INSERT INTO findings ({_COLUMNS}, since, looked_at) "  # noqa: S608 - a constant
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)",
        [(*astuple(one), now) for one in new],
    )
    return Looks(len(new), len(kept), len(gone))


async def standing(
    connection: Connection, sites: Sequence[str], account: str | None, limit: int
) -> list[Standing]:
    """The findings that hold for `sites`, the largest effect first; those of an account with the sites' own.

    Without an account those that are of all accounts of a site.
    """
    rows = await connection.fetch(
        f"""
        SELECT {_COLUMNS}, since, looked_at FROM findings
        WHERE superseded_at IS NULL AND site = ANY ($1) AND account = ANY ($2)
        ORDER BY abs(effect) DESC, id LIMIT $3
        """,  # noqa: S608 - a constant
        list(sites),
        [ALL, *([account] if account is not None else [])],
        limit,
    )
    return [_standing(row) for row in rows]


Effects = dict[tuple[str, str], float]
"""By kind and subject."""


async def effects(connection: Connection, site: str, kinds: Sequence[str]) -> dict[str, Effects]:
    """What holds for each account of a site, and under `ALL` for all of them; see `effects_of`."""
    rows = await connection.fetch(
        """
        SELECT account, kind, subject, effect FROM findings
        WHERE superseded_at IS NULL AND site = $1 AND kind = ANY ($2)
        ORDER BY account LIMIT 100000
        """,
        site,
        list(kinds),
    )
    found: dict[str, Effects] = {}
    for row in rows:
        found.setdefault(row["account"], {})[row["kind"], row["subject"]] = row["effect"]
    return found


def effects_of(found: Mapping[str, Effects], account: str) -> Effects:
    """What holds for an account; its own findings go before those of its site."""
    return found.get(ALL, {}) | found.get(account, {})


def _standing(row: asyncpg.Record) -> Standing:
    figures = {name: row[name] for name in _COLUMNS.split(", ")}
    return Standing(Finding(**figures), row["since"], row["looked_at"])
