"""Translates what asyncpg and the operating system raise into this program's errors."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import asyncpg

from orchestrator.db.blockers import Blocker
from orchestrator.errors import DatabaseError, DatabaseRefusedError, DatabaseUnavailableError

FOREIGN = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""All that asyncpg raises for the database's or the network's sake; TimeoutError is an OSError."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a foreign error means."""

    error: DatabaseError
    is_connection_lost: bool
    """The connection, and likely its neighbours in the pool, must not be used again."""


@dataclass(frozen=True, slots=True)
class _Rule:
    meaning: str
    remedy: str = ""
    is_connection_lost: bool = False


# By SQLSTATE, or by its class (the first two characters).
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_UNAVAILABLE = {
    "08": _Rule("the connection to the database was lost", is_connection_lost=True),
    "25006": _Rule(
        "the database takes no writes: it is a standby, or was demoted",
        "Point database.dsn at the primary server",
        is_connection_lost=True,
    ),
    "25P03": _Rule("a transaction stood idle for too long", is_connection_lost=True),
    "40001": _Rule("the transaction collided with another"),
    "40P01": _Rule("the transaction was in a deadlock with another"),
    "53": _Rule("the database is short of resources"),
    "53100": _Rule("the database's disk is full", "Free some space on it; nothing else needs to be done"),
    "53300": _Rule(
        "the database has no connection left for us",
        "Raise max_connections of the server or lower database.pool_size",
    ),
    "55P03": _Rule(
        "a lock could not be had in time",
        "End the transaction that holds it: pg_locks and pg_stat_activity of the server show whose it is",
    ),
    "57014": _Rule("a statement ran into its time limit"),
    "57P01": _Rule("the database is shutting down", is_connection_lost=True),
    "57P02": _Rule("the database crashed and restarts", is_connection_lost=True),
    "57P03": _Rule("the database is starting or shutting down", is_connection_lost=True),
    "57P05": _Rule("the session stood idle for too long", is_connection_lost=True),
    "58": _Rule("the database has trouble with its disk", "Look into PostgreSQL's log"),
}
_REFUSED = {
    "28": _Rule("the database refuses us", "Check user, password and pg_hba.conf"),
    "3D000": _Rule("the database does not exist", "Create it, or correct database.dsn"),
    "42501": _Rule("a right is missing in the database", "Grant it to the daemon's database user"),
    "57P04": _Rule("the database was dropped", is_connection_lost=True),
}


def judge(
    error: Exception,
    *,
    is_closed: bool = False,
    is_read_only: bool = False,
    place: str = "",
    blockers: Sequence[Blocker] = (),
) -> Verdict:
    """What `error`, one of FOREIGN, means. `is_closed`: its connection is closed now.

    `is_read_only`: the transaction was asked to be so; that it refuses writes is then a fault of ours.
    `place`, such as " (posts on host)", is added for whoever has to look after the database. `blockers` held
    what the statement waited for, as far as anybody knows.
    """
    verdict = _judge(error, is_closed, is_read_only)
    if blockers and isinstance(error, asyncpg.LockNotAvailableError):
        verdict = Verdict(_blocked(blockers), is_connection_lost=False)
    if place and isinstance(verdict.error, DatabaseUnavailableError | DatabaseRefusedError):
        located = type(verdict.error)(f"{verdict.error}{place}", remedy=verdict.error.remedy)
        return replace(verdict, error=located)
    return verdict


def _judge(error: Exception, is_closed: bool, is_read_only: bool) -> Verdict:
    if isinstance(error, asyncpg.PostgresError):
        return _judge_answer(error, is_read_only)
    if isinstance(error, TimeoutError):
        return _lost("the database did not answer in time", error)
    if isinstance(error, OSError):
        return _lost("the database can't be reached", error)
    if isinstance(error, asyncpg.OutdatedSchemaCacheError):
        return Verdict(_transient("the tables have changed under this connection", error), True)
    if is_closed:
        return _lost("the connection to the database was lost", error)
    is_broken = isinstance(error, asyncpg.InternalClientError)
    return Verdict(DatabaseError(f"wrong use of the database: {_text(error)}"), is_broken)


def is_full(error: Exception) -> bool:
    """Whether the server's disk is full."""
    return isinstance(error, asyncpg.DiskFullError)


def _blocked(blockers: Sequence[Blocker]) -> DatabaseUnavailableError:
    ends = "; ".join(one.remedy for one in blockers)
    return DatabaseUnavailableError(
        f"a lock could not be had in time: {', '.join(map(str, blockers))} holds it",
        remedy=f"End that transaction, or have the server do it: {ends}",
    )


def refused_dsn(place: str) -> DatabaseRefusedError:
    # Without the parser's own words: with a `/` or `#` in it, they would show a part of the password.
    return DatabaseRefusedError(
        f"the database's address can't be understood{place}",
        remedy="database.dsn has the form postgresql://user:password@host:5432/name, "
        "with special characters percent-encoded",
    )


def _judge_answer(error: asyncpg.PostgresError, is_read_only: bool) -> Verdict:
    state = error.sqlstate or ""
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return Verdict(_transient("the tables have changed under this connection", error), False)
    if state == "25006" and is_read_only:
        return Verdict(DatabaseError(f"a read-only transaction wanted to write: {_text(error)}"), False)
    if rule := _find(_UNAVAILABLE, state):
        return Verdict(_transient(rule.meaning, error, rule.remedy), rule.is_connection_lost)
    if rule := _find(_REFUSED, state):
        refused = DatabaseRefusedError(f"{rule.meaning}: {_text(error)}", remedy=rule.remedy)
        return Verdict(refused, rule.is_connection_lost)
    return Verdict(DatabaseError(f"the database refused a statement: {_text(error)} ({state})"), False)


def _find(rules: dict[str, _Rule], state: str) -> _Rule | None:
    return rules.get(state) or rules.get(state[:2])


def _lost(meaning: str, error: Exception) -> Verdict:
    return Verdict(_transient(meaning, error), is_connection_lost=True)


def _transient(meaning: str, error: Exception, remedy: str = "") -> DatabaseUnavailableError:
    text = _text(error)
    return DatabaseUnavailableError(f"{meaning}: {text}" if text else meaning, remedy=remedy)


def _text(error: Exception) -> str:
    """The message alone: PostgreSQL's details may show values of rows."""
    return str(error).split("\n", 1)[0].rstrip(".")
