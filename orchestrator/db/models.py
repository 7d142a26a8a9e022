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


# ── what they said, and what becomes of them ────────────────────────────────────────────────────

Prediction = tuple[int, float, bool]
"""Version, predicted reward, whether it chose the text."""


async def note(connection: Connection, said: Sequence[tuple[int, *Prediction]]) -> None:
    """What each model in use says of posts that were just queued, after the number of the post."""
    await connection.executemany(
        "INSERT INTO predictions (post_id, version, predicted, chose) VALUES ($1, $2, $3, $4)",
        list(said),
    )


Judged = tuple[str, Arms, float, float, bool]
"""Text and arms of a post, what was said of it, what it got, whether that version chose the text."""


async def said(connection: Connection, version: int, limit: int) -> list[Judged]:
    """The latest posts that a version spoke of and that were learned from since."""
    rows = await connection.fetch(
        """
        SELECT x.text, x.topic, x.format, x.hour, p.predicted, o.reward, p.chose
        FROM predictions p JOIN outcomes o ON o.post_id = p.post_id JOIN posts x ON x.id = p.post_id
        WHERE p.version = $1 ORDER BY p.post_id DESC LIMIT $2
        """,
        version,
        limit,
    )
    return [
        (
            row["text"], Arms(row["topic"], row["format"], row["hour"]), row["predicted"], row["reward"],
            row["chose"],
        )
        for row in rows
    ]  # fmt: skip


async def find(connection: Connection, version: int) -> Version | None:
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM models WHERE version = $1", version)  # noqa: S608
    return _version(row) if row is not None else None


async def rolled_back(connection: Connection, since: datetime, limit: int) -> list[Version]:
    """The versions that were rolled back since then, newest first."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM models "  # noqa: S608 - a constant
        "WHERE state = 'rolled_back' AND state_since > $1 ORDER BY state_since DESC LIMIT $2",
        since,
        limit,
    )
    return [_version(row) for row in rows]


async def promote(
    connection: Connection, candidate: Version, serving: Version | None, why: str, fence: int, now: datetime
) -> None:
    """The candidate serves from now on, and what served before is retired, in one transaction."""
    await lease.check(connection, fence)
    if serving is not None:
        await _turn(connection, serving.version, State.RETIRED, f"model {candidate.version} is better", now)
    await _turn(connection, candidate.version, State.SERVING, why, now)
    before = serving.version if serving is not None else None
    await connection.execute(
        "UPDATE models SET predecessor = $2 WHERE version = $1", candidate.version, before
    )


async def retire(connection: Connection, candidate: Version, why: str, fence: int, now: datetime) -> None:
    await lease.check(connection, fence)
    await _turn(connection, candidate.version, State.RETIRED, why, now)


async def roll_back(
    connection: Connection, serving: Version, to: Version | None, why: str, fence: int, now: datetime
) -> None:
    """What serves is taken out; `to` serves again, or none does."""
    await lease.check(connection, fence)
    await _turn(connection, serving.version, State.ROLLED_BACK, why, now)
    if to is not None:
        await _turn(connection, to.version, State.SERVING, f"model {serving.version} was rolled back", now)


async def _turn(connection: Connection, version: int, state: State, why: str, now: datetime) -> None:
    await connection.execute(
        "UPDATE models SET state = $2, why = $3, state_since = $4 WHERE version = $1",
        version,
        state,
        why,
        now,
    )
