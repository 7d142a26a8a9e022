"""The pool of connections: the one way in which this program talks to PostgreSQL."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar, TypeVarTuple

import structlog
import trio

from orchestrator import aio
from orchestrator.db import blockers, failures
from orchestrator.db.blockers import Blocker
from orchestrator.db.callers import Caller, caller
from orchestrator.db.connection import (
    Connection,
    Pool,
    Query,
    cut,
    in_transaction,
    is_closed,
    lock_timeout_s,
    make_pool,
)
from orchestrator.db.strain import Crowd, Excess, Excesses
from orchestrator.errors import (
    BridgeClosedError,
    DatabaseError,
    DatabaseRefusedError,
    DatabaseUnavailableError,
)
from orchestrator.settings import DatabaseSettings

__all__ = ["Connection", "Database", "Holder", "PoolStatistics", "open_database"]

T = TypeVar("T")
Args = TypeVarTuple("Args")

log = structlog.get_logger("db")

PING_LIMIT_S = 5.0
"""For the answer to a ping; longer than that, and the connection is taken for a dead one."""
RELEASE_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 5.0
APART_SIZE = 2
"""Connections besides those of the pool: for the keeper of the lease, and to see who holds a lock."""
LOOKS_PER_WAIT = 4
"""So often it is looked who holds the lock that a statement waits for, before it gives up."""
ROOM_ROWS = 50_000
"""So many numbers in a temporary file: that the disk of the server has a megabyte to spare."""
LONG_S = 5.0
"""People are told of a statement that takes longer, and of a longer wait for a connection."""
CROWDED_SHARE = 0.8
"""Of the connections; they are told too when more are in use."""
HOLDERS_SHOWN = 5
QUERY_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Holder:
    """A work that has a connection of the pool."""

    work: str
    owner: str
    """Who asked for it, such as "job posting"."""
    held_s: float
    is_leak: bool
    """Whether it has been held for longer than `database.leak_s`."""


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
    leaks: int
    """Connections that were held for longer than `database.leak_s` since the start."""
    crowded_s: float = 0.0
    """For how long more than CROWDED_SHARE of the connections have been in use without a break."""
    long_wait: Excess | None = None
    """Works that waited for a connection for longer than LONG_S; their times are of `time.monotonic()`."""
    long_query: Excess | None = None
    """The same of statements that took longer."""


@dataclass(frozen=True, slots=True)
class Observer:
    """Whoever makes figures of what takes how long, in seconds. Called on the asyncio thread."""

    waited: Callable[[float], object] = lambda _seconds: None
    """For a connection, until it came or was given up."""
    queried: Callable[[float], object] = lambda _seconds: None
    """A statement, whatever its end."""


@dataclass(slots=True, eq=False)
class _Run:
    """One work on its way. Written on the asyncio thread."""

    work: str
    caller: Caller
    asked_at: float
    is_apart: bool
    got_at: float = 0.0
    pid: int = 0
    """Of the server's process."""
    blockers: Sequence[Blocker] = ()
    """Who holds a lock that it waits for; written on trio's thread."""


class Database:
    """Runs works, each in one transaction on one pooled connection.

    Invariants, kept on the asyncio thread:

    1. A work holds a connection exactly while it is in `_running`.
    2. A connection that was lost or demoted is never handed out again.
    """

    def __init__(
        self, pool: Pool, apart: Pool, settings: DatabaseSettings, place: str, observer: Observer
    ) -> None:
        self._pool = pool
        self._apart = apart
        self._observer = observer
        self._place = f" ({place})" if place else ""
        self._settings = settings
        self._running: dict[_Run, None] = {}  # written on the asyncio thread, copied on trio's
        self._waiting = 0
        self._transactions = 0
        self._connections_lost = 0
        self._leaks = 0
        self._is_full = False
        self._crowd = Crowd(int(settings.pool_size * CROWDED_SHARE))
        self._long_waits, self._long_queries = Excesses(LONG_S), Excesses(LONG_S)
        self._doubt = trio.Event()

    async def run(
        self,
        work: Callable[[Connection, *Args], Awaitable[T]],
        /,
        *args: *Args,
        read_only: bool = False,
        limit_s: float | None = None,
        is_apart: bool = False,
    ) -> T:
        """Run `await work(connection, *args)` on the asyncio side in one transaction.

        Commits when `work` returns, rolls back when it raises or we are cancelled. Errors of this program
        and plain bugs pass through untouched; those of asyncpg, the network and the server become
        DatabaseUnavailableError, DatabaseRefusedError or DatabaseError. When a connection is lost during the
        commit, DatabaseUnavailableError leaves open whether the transaction took place. `limit_s`: the
        transaction may take so long once it has its connection; default: as long as its statements may.
        `is_apart`: on a connection that no job can use up; for works that must not wait for those of jobs.
        """
        run = _Run(getattr(work, "__qualname__", repr(work)), caller(), time.monotonic(), is_apart)
        try:
            return await aio.call(self._run, run, work, args, read_only, limit_s)
        except (DatabaseUnavailableError, DatabaseRefusedError):
            self.doubt()
            raise

    async def ping(self) -> None:
        """Check that the database takes writes now; raises as `run` does.

        Whether its disk has room, only after a work has found none.
        """
        await self.run(_check_writable, self._place, limit_s=PING_LIMIT_S)
        if self._is_full:
            await self.run(_check_room, limit_s=PING_LIMIT_S)
            self._is_full = False

    async def watch_locks(self) -> None:
        """For ever, find out who holds the locks that works wait for, so that the error can name him."""
        while True:
            await trio.sleep(lock_timeout_s(self._settings) / LOOKS_PER_WAIT)
            before = time.monotonic() - self._settings.slow_s
            slow = {run.pid: run for run in list(self._running) if run.got_at < before and not run.is_apart}
            if not slow:
                continue
            try:
                found = await self.run(blockers.find, list(slow), read_only=True, is_apart=True)
            except DatabaseError as error:
                log.warning("locks_not_looked_at", error=str(error))
                continue
            for pid, run in slow.items():
                run.blockers = found.get(pid, ())
                if run.blockers:
                    held_by = [str(one) for one in run.blockers]
                    log.warning("waits_for_lock", work=run.work, owner=run.caller.owner, held_by=held_by)

    def doubt(self) -> None:
        """Somebody could not do his work: whoever waits in `doubted` should look."""
        self._doubt.set()

    async def doubted(self) -> None:
        """Wait until a work finds the database away, refusing or overloaded."""
        await self._doubt.wait()
        self._doubt = trio.Event()

    def statistics(self) -> PoolStatistics:
        size, running, now = self._pool.get_size(), self._in_use(), time.monotonic()
        return PoolStatistics(
            max_size=self._pool.get_max_size(),
            size=size,
            in_use=running,
            idle=max(0, size - running),
            waiting=self._waiting,
            holders=self._holders(),
            transactions=self._transactions,
            connections_lost=self._connections_lost,
            leaks=self._leaks,
            crowded_s=self._crowd.lasts_s(now),
            long_wait=self._long_waits.current(now),
            long_query=self._long_queries.current(now),
        )

    # ── asyncio side ────────────────────────────────────────────────────────────────────────────

    async def _run(
        self,
        run: _Run,
        work: Callable[[Connection, *Args], Awaitable[T]],
        args: tuple[*Args],
        read_only: bool,
        limit_s: float | None,
    ) -> T:
        async with self._connection(run, read_only) as connection:
            with connection.query_logger(partial(self._note_query, run.work)):
                async with aio.timeout(limit_s):
                    return await in_transaction(connection, read_only, work, args)

    @asynccontextmanager
    async def _connection(self, run: _Run, read_only: bool) -> AsyncIterator[Connection]:
        pool = self._apart if run.is_apart else self._pool
        connection = await self._acquire(run, pool)
        run.got_at, run.pid = time.monotonic(), connection.get_server_pid()
        self._running[run] = None
        self._crowd.note(self._in_use(), run.got_at)
        self._transactions += 1
        alarm = aio.later(self._settings.leak_s, partial(self._report_leak, run))
        try:
            yield connection
        except DatabaseUnavailableError:
            cut(connection)
            raise
        except failures.FOREIGN as error:
            verdict = failures.judge(
                error,
                is_closed=is_closed(connection),
                is_read_only=read_only,
                place=self._place,
                blockers=run.blockers,
            )
            self._is_full = self._is_full or failures.is_full(error)
            if verdict.is_connection_lost:
                cut(connection)
            raise verdict.error from error
        finally:
            alarm.cancel()
            del self._running[run]
            self._crowd.note(self._in_use(), time.monotonic())
            _log_slow(run, self._settings.slow_s)
            if is_closed(connection):  # lost, or silent when a cancelled work was to be rolled back
                self._connections_lost += 1
                for one in (self._pool, self._apart):
                    await one.expire_connections()  # the others likely are too
            await self._release(pool, connection)

    async def _acquire(self, run: _Run, pool: Pool) -> Connection:
        self._waiting += 1
        try:
            async with aio.timeout(self._settings.connect_timeout_s):
                connection: Connection = await pool.acquire()
                return connection
        except TimeoutError as error:
            raise self._no_connection(run) from error
        except ValueError:
            raise failures.refused_dsn(self._place) from None  # the cause shows parts of the address
        except failures.FOREIGN as error:
            is_closing = pool.is_closing()
            raise failures.judge(error, is_closed=is_closing, place=self._place).error from error
        finally:
            self._waiting -= 1
            now = time.monotonic()
            self._observer.waited(now - run.asked_at)
            self._long_waits.note(run.work, now - run.asked_at, now)

    def _in_use(self) -> int:
        return sum(not run.is_apart for run in list(self._running))

    def _note_query(self, work: str, query: Query) -> None:
        took_s = query.elapsed
        self._observer.queried(took_s)
        self._long_queries.note(work, took_s, time.monotonic())
        if took_s > self._settings.slow_s:
            log.warning("slow_query", work=work, duration_s=round(took_s, 3), query=query.query[:QUERY_SHOWN])

    def _no_connection(self, run: _Run) -> DatabaseUnavailableError:
        waited = f"no database connection within {self._settings.connect_timeout_s:g} s"
        in_use, most = self._in_use(), self._pool.get_max_size()
        if in_use < most or run.is_apart:
            return DatabaseUnavailableError(f"{waited}: the server did not answer{self._place}")
        longest = self._holders()[:HOLDERS_SHOWN]
        shown = ", ".join(f"{one.work} of {one.owner} for {one.held_s:.1f} s" for one in longest)
        return DatabaseUnavailableError(
            f"{waited}: {in_use} of {most} are in use, by {shown}",
            remedy="Find out why these take so long: the log's slow_query and slow_transaction say more",
        )

    def _holders(self) -> tuple[Holder, ...]:
        now = time.monotonic()
        held = [(now - run.got_at, run) for run in list(self._running) if not run.is_apart]
        leak_s = self._settings.leak_s
        holders = [Holder(run.work, run.caller.owner, held_s, held_s > leak_s) for held_s, run in held]
        return tuple(sorted(holders, key=lambda one: -one.held_s))

    def _report_leak(self, run: _Run) -> None:
        self._leaks += 1
        log.error(
            "connection_held_too_long",
            work=run.work,
            owner=run.caller.owner,
            held_s=round(time.monotonic() - run.got_at, 3),
            stack=run.caller.stack(),
        )

    async def _release(self, pool: Pool, connection: Connection) -> None:
        try:
            await pool.release(connection, timeout=RELEASE_TIMEOUT_S)
        except failures.FOREIGN as error:
            # The work has ended by now: a connection that can't be reset is closed, and changes nothing.
            log.warning("connection_not_reset", error=str(error))


@asynccontextmanager
async def open_database(
    dsn: str, settings: DatabaseSettings, place: str = "", observer: Observer | None = None
) -> AsyncIterator[Database]:
    """A pool on `dsn`, at most `settings.pool_size` connections and APART_SIZE, made when they are needed.

    `place` is added to errors for which somebody has to look after the database: where it is, without a
    password, and who says so.
    Does not connect by itself: `ping` tells whether the database is there. At the end it waits up to
    CLOSE_TIMEOUT_S for works that still run, then cuts them off.
    """
    pool = await aio.call(make_pool, dsn, settings, settings.pool_size)
    apart = await aio.call(make_pool, dsn, settings, APART_SIZE)
    try:
        yield Database(pool, apart, settings, place, observer or Observer())
    finally:
        with trio.CancelScope(shield=True):  # bounded by the time-out inside
            await _close(apart)
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


async def _check_room(connection: Connection) -> None:
    """Raises what a write raises to a full disk. A temporary file leaves neither rows nor a log behind."""
    await connection.execute("SET LOCAL work_mem = '64kB'")
    await connection.fetchval("SELECT count(*) FROM generate_series(1, $1::int)", ROOM_ROWS)


async def _check_writable(connection: Connection, place: str) -> None:
    if await connection.fetchval("SHOW transaction_read_only") != "off":
        raise DatabaseUnavailableError(
            f"the database takes no writes: it is a standby, or was demoted{place}",
            remedy="Point database.dsn at the primary server",
        )


def _log_slow(run: _Run, slow_s: float) -> None:
    waited_s, took_s = run.got_at - run.asked_at, time.monotonic() - run.got_at
    if waited_s + took_s > slow_s:
        log.warning(
            "slow_transaction", work=run.work, duration_s=round(took_s, 3), waited_s=round(waited_s, 3)
        )
