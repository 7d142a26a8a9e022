"""The store in a Redis server, through coredis, which runs on trio itself.

Each call is shielded from cancellation, and ends by time limits of its own: a cancelled connect would take
its place in coredis' pool along for ever.
"""

import logging
import ssl
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import coredis
import structlog
import trio
from coredis.connection import (
    BaseConnection,
    Location,
    TCPConnection,
    TCPLocation,
    UnixDomainSocketConnection,
    UnixDomainSocketLocation,
)
from coredis.exceptions import RedisError, ResponseError, WrongTypeError
from coredis.pool import ConnectionPool
from coredis.retry import NoRetryPolicy

from orchestrator.cache.store import StoreFigures
from orchestrator.errors import CacheFullError, CacheUnavailableError
from orchestrator.settings.cache import CacheAddress, CacheSettings, address_of

T = TypeVar("T")

MAX_CONNECTIONS = 5
SCAN_COUNT = 500
"""Keys that the server looks at in one step of a scan; it serves others between two."""
REOPEN_S = 1.0
"""Between the end of a client that failed and the next one."""
FULL = "OOM"
"""How the answer of a server begins that has no room; coredis may leave the word out."""
ALSO_FULL = "command not allowed when used memory"

log = structlog.get_logger("cache")


class _Counted(BaseConnection):
    """A connection that its pool's owner counts: coredis' own figures never fall."""

    living: list[BaseConnection]

    async def run(self, **options: Any) -> None:
        self.living.append(self)
        try:
            await super().run(**options)
        finally:
            self.living.remove(self)


class RedisStore:
    """Values in a Redis server. At most `MAX_CONNECTIONS` connections; whoever wants more waits."""

    def __init__(self, settings: CacheSettings) -> None:
        assert settings.url is not None
        self._settings = settings
        self._address = address_of(settings.url)
        self._prefix = f"{settings.prefix}:"
        self._max_bytes = settings.max_value_kb * 1000
        self._client: coredis.Redis[bytes] | None = None
        self._living: list[BaseConnection] = []
        self.name = f"Redis at {self._address}"
        # It logs each lost connection, with its traceback; what follows from them is told by the breaker.
        logging.getLogger("coredis").setLevel(logging.CRITICAL + 1)

    @property
    def connections(self) -> int:
        return len(self._living)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            await nursery.start(self._keep_client)
            try:
                yield
            finally:
                nursery.cancel_scope.cancel()

    async def _keep_client(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Have a client for ever: an error that ends one, such as nonsense from the server, ends us not."""
        while True:
            client = self._make_client()
            try:
                async with client:
                    self._client = client
                    task_status.started()
                    task_status = trio.TASK_STATUS_IGNORED
                    await trio.sleep_forever()
            except* Exception:
                log.exception("cache_client_failed")
            finally:
                self._client = None
            await trio.sleep(REOPEN_S)

    def _make_client(self) -> "coredis.Redis[bytes]":
        settings, password = self._settings, self._settings.read_password()
        kind, location = _connection(self._address, self._living)
        pool: ConnectionPool[Any] = ConnectionPool(
            connection_class=kind,
            location=location,
            max_connections=MAX_CONNECTIONS,
            db=self._address.number,
            username=settings.username,
            password=None if password is None else password.get_secret_value(),
            ssl_context=ssl.create_default_context() if self._address.has_tls else None,
            stream_timeout=settings.timeout_s,
            connect_timeout=settings.timeout_s,
            client_name=settings.prefix,
        )
        return coredis.Redis(connection_pool=pool, verify_version=False, retry_policy=NoRetryPolicy())

    # ── the store ───────────────────────────────────────────────────────────────────────────────

    async def get(self, key: str) -> bytes | None:
        """Never more than a byte above what may be kept: others may write there what they like."""
        try:
            found = await self._ask(self._redis.getrange(self._prefix + key, 0, self._max_bytes))
        except WrongTypeError:
            return b"another type"
        return found or None  # what is not there is empty, and no value is

    async def put(self, key: str, data: bytes, ttl_s: float) -> None:
        await self._ask(self._redis.set(self._prefix + key, data, px=max(1, int(ttl_s * 1000))))

    async def forget(self, pattern: str) -> None:
        whole = self._prefix + pattern
        if "*" not in pattern:
            await self._ask(self._redis.unlink([whole]))
            return
        cursor = 0
        while True:
            cursor, keys = await self._ask(self._redis.scan(cursor, match=whole, count=SCAN_COUNT))
            if keys:
                await self._ask(self._redis.unlink(keys))
            if not cursor:
                return

    async def measure(self) -> StoreFigures:
        entries = await self._ask(self._redis.dbsize())
        used = (await self._ask(self._redis.info("memory"))).get("used_memory")
        return StoreFigures(entries, used if isinstance(used, int) else 0, self.connections)

    def sweep(self) -> int:
        return 0  # the server does

    def shed(self) -> int:
        return 0  # nothing is held here

    # ── asking ──────────────────────────────────────────────────────────────────────────────────

    @property
    def _redis(self) -> "coredis.Redis[bytes]":
        if self._client is None:
            raise CacheUnavailableError("the client of the cache is not open")
        return self._client

    async def _ask(self, request: Awaitable[T]) -> T:
        """One command. Raises WrongTypeError, CacheFullError and CacheUnavailableError."""
        try:
            with trio.CancelScope(shield=True):  # bounded: each step has `timeout_s`
                answer = await request
        except WrongTypeError:
            raise
        except (RedisError, TimeoutError, OSError) as error:
            raise self._translated(error) from error
        return answer

    def _translated(self, error: Exception) -> Exception:
        said = str(error.__cause__ or error)
        if isinstance(error, ResponseError) and (said.startswith(FULL) or ALSO_FULL in said):
            return CacheFullError(f"{self.name} has no room: {said}", remedy="See docs/cache.md#memory")
        remedy = "Start the server, or correct cache.url"
        if isinstance(error, ResponseError):
            remedy = "Correct cache.username and cache.password, or the server's settings"
        return CacheUnavailableError(f"{self.name}: {said}", remedy=remedy)


def _connection(
    address: CacheAddress, counted: list[BaseConnection]
) -> tuple[type[BaseConnection], Location]:
    """The kind of a connection to the address, which counts itself, and where it goes."""

    class Tcp(_Counted, TCPConnection):
        living = counted

    class Socket(_Counted, UnixDomainSocketConnection):
        living = counted

    if address.socket:
        return Socket, UnixDomainSocketLocation(address.socket)
    return Tcp, TCPLocation(address.host, address.port)
