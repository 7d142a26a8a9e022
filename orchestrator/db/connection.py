"""Connections on the asyncio side: how they are made, and what a transaction on one does when it fails."""

import json
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

import asyncpg
from asyncpg.connection import LoggedQuery
from asyncpg.pool import PoolConnectionProxy

from orchestrator import aio
from orchestrator.db import failures
from orchestrator.settings import DatabaseSettings

if TYPE_CHECKING:
    Connection = PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = PoolConnectionProxy
    Pool = asyncpg.Pool

Query = LoggedQuery

T = TypeVar("T")
Args = TypeVarTuple("Args")

COMMAND_MARGIN_S = 5.0
"""How much longer than the server's own statement time-out we wait for an answer that never comes."""
ROLL_BACK_TIMEOUT_S = 1.0
"""A cancelled statement's roll-back may wait for ever: PostgreSQL drops a cancel request that overtakes its
statement. Cutting the connection rolls back just as well."""
SOCKET_PAUSE_S = 0.01

LOCK_SHARE = 1 / 3
"""Of the time limit of a statement: so long it waits for a lock at most."""
SILENCE_S = 10
"""A peer that acknowledges nothing for so long is gone. Both sides look: whoever is cut off from the server
knows it, and the server lets go of his locks."""
PROBE_AFTER_S, PROBE_EVERY_S = 4, 2
"""While nothing is under way: the kernel's questions whether the other side is still there."""
PROBES = round((SILENCE_S - PROBE_AFTER_S) / PROBE_EVERY_S)


def lock_timeout_s(settings: DatabaseSettings) -> float:
    """How long a statement waits for a lock at most."""
    return settings.statement_timeout_s * LOCK_SHARE


async def make_pool(dsn: str, settings: DatabaseSettings, size: int) -> Pool:
    """A pool of `size` connections at most that has connected to nothing yet.

    The server ends a session that does nothing within a transaction for as long as the lease lasts: that is
    a daemon that stands still, and the next one must not wait for what it has locked.
    """
    pool: Pool = await asyncpg.create_pool(
        dsn,
        connect=_connect,
        min_size=0,
        max_size=size,
        timeout=settings.connect_timeout_s,
        command_timeout=settings.statement_timeout_s + COMMAND_MARGIN_S,
        init=_prepare,
        server_settings={
            "application_name": "orchestrator",
            "timezone": "UTC",
            "statement_timeout": _milliseconds(settings.statement_timeout_s),
            "lock_timeout": _milliseconds(lock_timeout_s(settings)),
            "idle_in_transaction_session_timeout": _milliseconds(settings.lease_ttl_s),
            "tcp_user_timeout": _milliseconds(SILENCE_S),
            "tcp_keepalives_idle": str(PROBE_AFTER_S),
            "tcp_keepalives_interval": str(PROBE_EVERY_S),
            "tcp_keepalives_count": str(PROBES),
        },
    )
    return pool


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))  # 0 is no limit


async def _connect(*args: Any, **options: Any) -> "asyncpg.Connection[asyncpg.Record]":
    while True:  # as long as the caller waits for a connection
        try:
            connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(*args, **options)
        except BlockingIOError:  # a unix socket's queue is full when many connect at once
            await aio.sleep(SOCKET_PAUSE_S)
        else:
            _notice_silence(connection)
            return connection


def _notice_silence(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Have the kernel break the connection when the network carries nothing any more and does not say so.

    asyncpg has no way to its socket that is public, nor a setting for this.
    """
    transport = connection._transport  # type: ignore[attr-defined]
    found: socket.socket = transport.get_extra_info("socket")
    if found.family != socket.AF_UNIX:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PROBE_AFTER_S)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_EVERY_S)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_S * 1000)


async def _prepare(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


async def in_transaction(
    connection: Connection,
    read_only: bool,
    work: Callable[[Connection, *Args], Awaitable[T]],
    args: tuple[*Args],
) -> T:
    """Run `work` in a transaction. Its own error or cancellation comes out, whatever the roll-back meets."""
    # Not as a context manager: a roll-back that fails, or never ends, would take the error's place.
    transaction = connection.transaction(readonly=read_only)
    try:
        await transaction.start()
        result = await work(connection, *args)
    except BaseException:
        await _roll_back(connection, transaction)  # noqa: ASYNC102 - on the asyncio side, and bounded
        raise
    try:
        await transaction.commit()
    except failures.FOREIGN:
        raise
    except BaseException:
        cut(connection)  # cancelled: nobody knows its state
        raise
    return result


async def _roll_back(connection: Connection, transaction: "asyncpg.transaction.Transaction") -> None:
    try:
        async with aio.timeout(ROLL_BACK_TIMEOUT_S):
            await transaction.rollback()
    except failures.FOREIGN:  # the server is away, or it had not begun
        cut(connection)


def cut(connection: Connection) -> None:
    """Close the connection without a word to the server, which then rolls back."""
    if not is_closed(connection):
        connection.terminate()


def is_closed(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        return True  # the pool has taken it back already, as it does at once with a closed one
