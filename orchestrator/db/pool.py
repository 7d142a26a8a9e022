"""The pool of connections: the one way in which this program talks to PostgreSQL."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar, TypeVarTuple

import structlog
import trio

from orchestrator import aio
from orchestrator.db import failures
from orchestrator.db.connection import Connection, Pool, Query, cut, in_transaction, is_closed, make_pool
from orchestrator.errors import BridgeClosedError, DatabaseUnavailableError
from orchestrator.settings import DatabaseSettings

__all__ = ["Connection", "Database", "Holder", "PoolStatistics", "open_database"]

T = TypeVar("T")
Args = TypeVarTuple("Args")

log = structlog.get_logger("db")

SLOW_S = 1.0
"""Statements and transactions that take longer are logged."""
RELEASE_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 5.0
HOLDERS_SHOWN = 5
QUERY_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Holder:
    """A work that has a connection."""

    work: str
    held_s: float


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """The pool at one moment; counts of connections, unless the name says otherwise."""

    max_size: int
    size: int
    in_use: int
    idle: int
    waiting: int
    """Works that wait for a connection."""
    holders: tuple[Holder, ...]
    """Longest first."""
    transactions: int
    """Transactions begun since the start."""
    connections_lost: int
    """Connections given up as broken or demoted since the start."""


@dataclass(slots=True, eq=False)
class _Run:
    """One work on its way. Written on the asyncio thread."""

    work: str
    asked_at: float
    got_at: float = 0.0


class Database:
    """Runs works, each in one transaction on one pooled connection.

    Invariants, kept on the asyncio thread:

    1. A work holds a connection exactly while it is in `_running`.
    2. A connection that was lost or demoted is never handed out again.
    """

    def __init__(self, pool: Pool, settings: DatabaseSettings, place: str = "") -> None:
        self._pool = pool
        self._place = f" ({place})" if place else ""
        self._acquire_timeout_s = settings.connect_timeout_s
        self._running: dict[_Run, None] = {}  # written on the asyncio thread, copied on trio's
        self._waiting = 0
        self._transactions = 0
        self._connections_lost = 0

    async def run(
        self, work: Callable[[Connection, *Args], Awaitable[T]], /, *args: *Args, read_only: bool = False
    ) -> T:
        """Run `await work(connection, *args)` on the asyncio side in one transaction.

        Commits when `work` returns, rolls back when it raises or we are cancelled. Errors of this program
        and plain bugs pass through untouched; those of asyncpg, the network and the server become
        DatabaseUnavailableError, DatabaseRefusedError or DatabaseError. When a connection is lost during the
        commit, DatabaseUnavailableError leaves open whether the transaction took place.
        """
        return await aio.call(self._run, work, args, read_only)

    async def ping(self) -> None:
        """Check that the database takes writes now; raises as `run` does."""
        await self.run(_check_writable, self._place)

    def statistics(self) -> PoolStatistics:
        size, running = self._pool.get_size(), len(self._running)
        return PoolStatistics(
            max_size=self._pool.get_max_size(),
            size=size,
            in_use=running,
            idle=max(0, size - running),
            waiting=self._waiting,
            holders=self._holders(),
            transactions=self._transactions,
            connections_lost=self._connections_lost,
        )

    # ── asyncio side ────────────────────────────────────────────────────────────────────────────

    async def _run(
        self, work: Callable[[Connection, *Args], Awaitable[T]], args: tuple[*Args], read_only: bool
    ) -> T:
        run = _Run(getattr(work, "__qualname__", repr(work)), asked_at=time.monotonic())
        async with self._connection(run, read_only) as connection:
            with connection.query_logger(_query_logger(run.work)):
                return await in_transaction(connection, read_only, work, args)

    @asynccontextmanager
    async def _connection(self, run: _Run, read_only: bool) -> AsyncIterator[Connection]:
        connection = await self._acquire()
        run.got_at = time.monotonic()
        self._running[run] = None
        self._transactions += 1
        try:
            yield connection
        except DatabaseUnavailableError:
            await self._give_up(connection)
            raise
        except failures.FOREIGN as error:
            verdict = failures.judge(
                error, is_closed=is_closed(connection), is_read_only=read_only, place=self._place
            )
            if verdict.is_connection_lost:
                await self._give_up(connection)
            raise verdict.error from error
        finally:
            del self._running[run]
            _log_slow(run)
            await self._release(connection)

    async def _acquire(self) -> Connection:
        self._waiting += 1
        try:
            async with aio.timeout(self._acquire_timeout_s):
                connection: Connection = await self._pool.acquire()
                return connection
        except TimeoutError as error:
            raise self._no_connection() from error
        except ValueError:
            raise failures.refused_dsn(self._place) from None  # the cause shows parts of the address
        except failures.FOREIGN as error:
            is_closing = self._pool.is_closing()
            raise failures.judge(error, is_closed=is_closing, place=self._place).error from error
        finally:
            self._waiting -= 1

    def _no_connection(self) -> DatabaseUnavailableError:
        waited = f"no database connection within {self._acquire_timeout_s:g} s"
        in_use, most = len(self._running), self._pool.get_max_size()
        if in_use < most:
            return DatabaseUnavailableError(f"{waited}: the server did not answer{self._place}")
        shown = ", ".join(f"{one.work} for {one.held_s:.1f} s" for one in self._holders()[:HOLDERS_SHOWN])
        return DatabaseUnavailableError(
            f"{waited}: {in_use} of {most} are in use, by {shown}",
            remedy="Find out why these take so long: the log's slow_query and slow_transaction say more",
        )

    def _holders(self) -> tuple[Holder, ...]:
        now = time.monotonic()
        held = [Holder(run.work, now - run.got_at) for run in list(self._running)]
        return tuple(sorted(held, key=lambda one: -one.held_s))

    async def _give_up(self, connection: Connection) -> None:
        """Close this connection, and have the others replaced before they are used again."""
        self._connections_lost += 1
        cut(connection)
        await self._pool.expire_connections()

    async def _release(self, connection: Connection) -> None:
        try:
            await self._pool.release(connection, timeout=RELEASE_TIMEOUT_S)
        except failures.FOREIGN as error:
            # The work has ended by now: a connection that can't be reset is closed, and changes nothing.
            log.warning("connection_not_reset", error=str(error))


@asynccontextmanager
async def open_database(dsn: str, settings: DatabaseSettings, place: str = "") -> AsyncIterator[Database]:
    """A pool on `dsn`, at most `settings.pool_size` connections, made when they are needed.

    `place` is added to errors for which somebody has to look after the database: where it is, without a
    password, and who says so.
    Does not connect by itself: `ping` tells whether the database is there. At the end it waits up to
    CLOSE_TIMEOUT_S for works that still run, then cuts them off.
    """
    pool = await aio.call(make_pool, dsn, settings)
    try:
        yield Database(pool, settings, place)
    finally:
        with trio.CancelScope(shield=True):  # bounded by the time-out inside
            await _close(pool)


async def _close(pool: Pool) -> None:
    try:
        await aio.call(_close_pool, pool)
    except BridgeClosedError:
        log.warning("pool_closed_with_bridge")  # the loop's end has cut the connections already


async def _close_pool(pool: Pool) -> None:
    try:
        async with aio.timeout(CLOSE_TIMEOUT_S):
            await pool.close()
    except failures.FOREIGN as error:
        log.warning("pool_cut_off", error=repr(error))
        pool.terminate()


async def _check_writable(connection: Connection, place: str) -> None:
    if await connection.fetchval("SHOW transaction_read_only") != "off":
        raise DatabaseUnavailableError(
            f"the database takes no writes: it is a standby, or was demoted{place}",
            remedy="Point database.dsn at the primary server",
        )


def _query_logger(work: str) -> Callable[[Query], None]:
    def log_slow_query(query: Query) -> None:
        if query.elapsed > SLOW_S:
            log.warning(
                "slow_query", work=work, duration_s=round(query.elapsed, 3), query=query.query[:QUERY_SHOWN]
            )

    return log_slow_query


def _log_slow(run: _Run) -> None:
    waited_s, took_s = run.got_at - run.asked_at, time.monotonic() - run.got_at
    if waited_s + took_s > SLOW_S:
        log.warning(
            "slow_transaction", work=run.work, duration_s=round(took_s, 3), waited_s=round(waited_s, 3)
        )
