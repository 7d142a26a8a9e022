"""Long lists a page at a time, by key: a page costs the same wherever it is.

A page is what lies beyond the last row of the one before, in the order of a key that no row ever changes. So
rows that come or go meanwhile neither move a page nor make it skip or repeat one that stays. Each combination
of filters walks an index of its own, in its order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.db.pool import Connection
from orchestrator.errors import NotThereError

Row = dict[str, Any]
Key = tuple[Any, ...]
"""The key of a row: where a page ends, and the next one begins."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A list that can be paged. The texts are SQL, constants all of them."""

    name: str
    """In the plural, as people say it."""
    table: str
    columns: str
    key: tuple[str, ...]
    """The columns of the order, each descending; the last one tells rows apart."""
    filters: Mapping[str, str | Mapping[Any, str]] = field(default_factory=dict)
    """What rows may be asked for: `{}` stands for the value, or a condition for each value."""
    among: str = "true"


_POST = (
    "id, account, state, due_at, not_before, published_at, attempt AS attempts, reference, in_reply_to, "
    "state_since AS since, created_at, topic, format, source, detail, left(text, 120) AS text"
)
_OF_POSTS = {"state": "state = {}", "account": "account = {}"}

POSTS = Listing("posts", "posts", _POST, ("id",), _OF_POSTS)
REPLIES = Listing("replies", "posts", _POST, ("id",), _OF_POSTS, "in_reply_to IS NOT NULL")
DRAFTS = Listing("drafts", "posts", _POST, ("id",), {"account": "account = {}"}, "state = 'draft'")
RUNS = Listing(
    "runs",
    "job_runs",
    "id, job, trigger, attempt, started_at, finished_at, ending, detail, figures",
    ("id",),
    {"job": "job = {}", "ending": "ending = {}"},
)
ALERTS = Listing(
    "alerts",
    "alerts",
    "id, name, subject, severity, what, remedy, since, raised_at, cleared_at",
    ("raised_at", "id"),
    {"name": "name = {}", "is_over": {True: "cleared_at IS NOT NULL", False: "cleared_at IS NULL"}},
)
MODELS = Listing(
    "models",
    "models",
    "version, scope AS site, kind, state, state_since AS since, why, trained_at, from_at, to_at, posts, "
    "error, mean_error, predecessor",
    ("version",),
    {"site": "scope = {}"},
)
OPPORTUNITIES = Listing(
    "opportunities",
    "opportunities",
    "id, site, reference, author, text, posted_at, seen_at, likes, replies, views, relevance, topic, state, "
    "state_since AS since, why, reply",
    ("id",),
    {"site": "site = {}", "state": "state = {}"},
)

LISTINGS = (POSTS, REPLIES, DRAFTS, RUNS, ALERTS, MODELS, OPPORTUNITIES)


async def page(
    connection: Connection, listing: Listing, filters: Mapping[str, Any], beyond: Key | None, limit: int
) -> list[Row]:
    """The next `limit` rows beyond a key, newest first; from the newest on when there is none."""
    conditions, values = [listing.among], list[Any]([limit])
    for name, value in filters.items():
        condition = listing.filters[name]
        if isinstance(condition, str):
            values.append(value)
            conditions.append(condition.format(f"${len(values)}"))
        else:
            conditions.append(condition[value])
    if beyond is not None:
        marks = ", ".join(f"${len(values) + number}" for number in range(1, len(beyond) + 1))
        conditions.append(f"({', '.join(listing.key)}) < ({marks})")
        values += beyond
    order = ", ".join(f"{column} DESC" for column in listing.key)
    rows = await connection.fetch(
        f"SELECT {listing.columns} FROM {listing.table} "  # noqa: S608 - constants
        f"WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT $1",
        *values,
    )
    return [dict(row) for row in rows]


def key_of(listing: Listing, row: Row) -> Key:
    """Where a page ends whose last row this is."""
    return tuple(row[column] for column in listing.key)


async def find(connection: Connection, listing: Listing, number: int | str) -> Row:
    """The one row with this number or name. Raises NotThereError."""
    row = await connection.fetchrow(
        f"SELECT {listing.columns} FROM {listing.table} "  # noqa: S608 - constants
        f"WHERE {listing.among} AND {listing.key[-1]} = $1",
        number,
    )
    if row is None:
        raise NotThereError(f"there is no {number} among the {listing.name}")
    return dict(row)
