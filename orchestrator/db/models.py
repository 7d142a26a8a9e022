"""The versions of the predictor, what they were learned from, and what became of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import asyncpg

from orchestrator.db import lease
from orchestrator.db.pool import Connection
from orchestrator.model import Arms

_COLUMNS = (
    "version, scope, kind, trained_at, from_at, to_at, posts, error, mean_error, parameters, "
    "state, state_since, predecessor, why"
)


class State(StrEnum):
    """What a version is used for; of a site there is at most one candidate and one that serves."""

    CANDIDATE = "candidate"
    SERVING = "serving"
    RETIRED = "retired"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class Training:
    """A newly trained predictor."""

    kind: str
    from_at: datetime
    """Publication of the first and the last post that it was learned from."""
    to_at: datetime
    posts: int
    error: float
    """Mean squared error on posts that were held out."""
    mean_error: float
    """Of always saying the mean, on the same posts."""
    parameters: dict[str, Any]
    why: str


@dataclass(frozen=True, slots=True)
class Version:
    """One row of the table."""

    version: int
    scope: str
    kind: str
    trained_at: datetime
    from_at: datetime
    to_at: datetime
    posts: int
    error: float
    mean_error: float
    parameters: dict[str, Any]
    state: State
    state_since: datetime
    predecessor: int | None
    why: str


@dataclass(frozen=True, slots=True)
class Settled:
    """A post that was learned from."""

    text: str
    arms: Arms
    reward: float
    published_at: datetime


async def settled(connection: Connection, scope: str, limit: int) -> list[Settled]:
    """The latest posts of a site that were learned from, oldest first."""
    rows = await connection.fetch(
        """
        SELECT p.text, p.topic, p.format, p.hour, o.reward, p.published_at
        FROM (SELECT post_id, reward FROM outcomes WHERE scope = $1 ORDER BY learned_at DESC LIMIT $2) o
        JOIN posts p ON p.id = o.post_id
        ORDER BY p.published_at, p.id LIMIT $2
        """,
        scope,
        limit,
    )
    return [
        Settled(
            row["text"], Arms(row["topic"], row["format"], row["hour"]), row["reward"], row["published_at"]
        )
        for row in rows
    ]


async def count_since(connection: Connection, scope: str, moment: datetime, limit: int) -> int:
    """How many posts were learned from since then; no more than `limit` are counted."""
    return int(
        await connection.fetchval(
            "SELECT count(*) FROM (SELECT FROM outcomes WHERE scope = $1 AND learned_at > $2 LIMIT $3) o",
            scope,
            moment,
            limit,
        )
    )


async def recent(connection: Connection, scopes: Sequence[str], limit: int) -> list[Version]:
    """The latest versions of these sites, newest first."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM models WHERE scope = ANY ($1) ORDER BY version DESC LIMIT $2",  # noqa: S608
        list(scopes),
        limit,
    )
    return [_version(row) for row in rows]


async def in_use(connection: Connection, scope: str) -> dict[State, Version]:
    """The candidate and the version that serves, as far as there are any."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM models "  # noqa: S608 - a constant
        "WHERE scope = $1 AND state IN ('candidate', 'serving') LIMIT 2",
        scope,
    )
    return {found.state: found for found in map(_version, rows)}


async def add(connection: Connection, scope: str, trained: Training, fence: int, now: datetime) -> int:
    """Keep a new candidate; its version.

    Raises asyncpg.UniqueViolationError (a DatabaseError outside) when there is one already.
    """
    await lease.check(connection, fence)
    version: int = await connection.fetchval(
        """
        INSERT INTO models (scope, kind, trained_at, from_at, to_at, posts, error, mean_error, parameters,
                            state, state_since, why)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'candidate', $3, $10) RETURNING version
        """,
        scope,
        trained.kind,
        now,
        trained.from_at,
        trained.to_at,
        trained.posts,
        trained.error,
        trained.mean_error,
        trained.parameters,
        trained.why,
    )
    return version


def _version(row: asyncpg.Record) -> Version:
    return Version(**{**row, "state": State(row["state"])})
