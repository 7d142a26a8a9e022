"""Our own PostgreSQL: a child process on a unix socket, with its data in the state directory.

It dies with us: the kernel sends it SIGINT (a fast shutdown) when our main thread ends, even by
`kill -9`. When it dies by itself it is started again. What we need from it:

- posts must not be lost: fsync stays on, and a new data directory is synced before it is used;
- it must be small: no replication, no parallel workers, 32 MB of shared buffers.
"""

import fcntl
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import quote

import asyncpg
import structlog
import trio

from orchestrator import aio
from orchestrator.db import directories, failures, installation, processes
from orchestrator.db.directories import Layout
from orchestrator.db.installation import MAJOR, Installation
from orchestrator.db.privileges import Launcher, find_launcher, server_account
from orchestrator.errors import DatabaseError, StateDirectoryError

log = structlog.get_logger("db")

USER = "orchestrator"
DATABASE = "orchestrator"
SERVER_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "40",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_worker_processes": "2",
    "max_logical_replication_workers": "0",
    "max_parallel_workers": "0",
    "autovacuum_max_workers": "1",
    "io_method": "sync",
    "jit": "off",
    "client_connection_check_interval": "1s",  # ends the statement of a connection that was cut
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
    "log_timezone": "UTC",
    "timezone": "UTC",
}

START_TIMEOUT_S = 120.0
"""After a crash the server first reads its log, which takes as long as the disk needs."""
CONNECT_TIMEOUT_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.005, 0.1
"""Between two tries to connect to a server that starts."""
RESTART_PAUSE_S, LONGEST_RESTART_PAUSE_S = 0.1, 5.0
STEADY_S = 60.0
"""A server that ran for so long is restarted without delay when it dies."""

_NOT_YET = (OSError, asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError)


class EmbeddedPostgres:
    """The running server.

    Invariant: `_process` is our newest server process; an earlier one has ended and been reaped.
    """

    def __init__(
        self, layout: Layout, installed: Installation, launcher: Launcher, settings: Mapping[str, str]
    ) -> None:
        self._layout = layout
        self._installed = installed
        self._launcher = launcher
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.restarts = 0
        """How often the server had to be started again."""

    @property
    def dsn(self) -> str:
        return _dsn(self._layout.sockets, DATABASE)

    @property
    def pid(self) -> int | None:
        """The server's process id; None while it is down."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    async def _initialise(self) -> None:
        """Make the data directory: whole and synced under its final name, or not at all."""
        half_made = directories.make_half_made(self._layout, self._launcher.account)
        arguments = [
            f"--pgdata={half_made}",
            f"--username={USER}",
            "--auth-local=trust",  # only the server's user and root can enter the socket's directory
            "--auth-host=reject",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",  # the same order of texts on every system
            "--builtin-locale=C.UTF-8",
        ]
        arguments.append("--no-sync" if self._settings.get("fsync") == "off" else "--sync-method=syncfs")
        with self._layout.open_log() as output:
            offset = output.tell()
            code = await processes.run(self._launcher.command(self._installed.initdb, *arguments), output)
        if code != 0:
            raise DatabaseError(f"PostgreSQL's data directory can't be made: {self._layout.log_tail(offset)}")
        half_made.rename(self._layout.data)

    async def _start(self) -> None:
        """Start the server and wait until it takes connections. Raises DatabaseError."""
        await processes.end_previous(self._layout.data)
        try:
            process, offset = self._spawn()
        except OSError as error:
            raise DatabaseError(f"PostgreSQL can't be started: {error}") from error
        try:
            with trio.move_on_after(START_TIMEOUT_S):
                await self._wait_until_ready(process, offset)
                return
            raise DatabaseError(f"PostgreSQL is not ready after {START_TIMEOUT_S:g} s")
        except BaseException:
            with trio.move_on_after(processes.STOP_TIMEOUT_S, shield=True):
                await processes.stop(process)
            raise

    def _spawn(self) -> "tuple[subprocess.Popen[bytes], int]":
        """The new server process, and where its words begin in the log."""
        directories.clear_sockets(self._layout)
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        where = ["-D", str(self._layout.data), "-k", str(self._layout.sockets)]
        command = self._launcher.command(self._installed.postgres, *where, *options)
        with self._layout.open_log() as output:
            offset = output.tell()  # asked before: the server moves it
            self._process = processes.spawn(command, output)
            return self._process, offset

    async def _wait_until_ready(self, process: "subprocess.Popen[bytes]", log_offset: int) -> None:
        pause_s = FIRST_PAUSE_S
        while not await aio.call(_is_ready, self._layout.sockets):
            if process.poll() is not None:
                raise DatabaseError(
                    f"PostgreSQL did not start: {self._layout.log_tail(log_offset)}",
                    remedy=f"Its log is {self._layout.log}",
                )
            await trio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 1.5)

    async def _keep_alive(self) -> None:
        """Start the server again whenever it ends, with growing pauses when it does so again and again."""
        pause_s = RESTART_PAUSE_S
        while True:
            assert self._process is not None
            up_since = trio.current_time()
            code = await processes.exited(self._process)
            log.error("postgres_died", exit_code=code, said=self._layout.log_tail())
            if trio.current_time() - up_since > STEADY_S:
                pause_s = RESTART_PAUSE_S
            is_up = False
            while not is_up:
                await trio.sleep(pause_s)
                pause_s = min(LONGEST_RESTART_PAUSE_S, pause_s * 2)
                is_up = await self._restart()

    async def _restart(self) -> bool:
        try:
            await self._start()
        except DatabaseError as error:
            log.error("postgres_restart_failed", error=error.line())
            return False
        self.restarts += 1
        log.warning("postgres_restarted", pid=self.pid, restarts=self.restarts)
        return True

    async def _stop(self) -> None:
        assert self._process is not None
        await processes.stop(self._process)


@asynccontextmanager
async def open_embedded(
    directory: Path, *, settings: Mapping[str, str] = SERVER_SETTINGS
) -> AsyncIterator[EmbeddedPostgres]:
    """Run PostgreSQL with its data below `directory`; ready when entered, stopped and reaped at the end.

    Enter it on the main thread, inside an open bridge. `settings` are PostgreSQL's own. Raises
    StateDirectoryError when the directory can't be used, DatabaseError when the server does not start.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "open_embedded must be entered on the main thread: the server dies with its thread"
        )
    started_at = time.monotonic()
    launcher = find_launcher(server_account(directory / "data"))
    layout = directories.prepare(directory, launcher.account)
    with _locked(layout.lock):
        await directories.check_reachable(layout, launcher)
        found = await installation.usable_installation(
            installation.find_installation(), layout.directory, launcher
        )
        server = EmbeddedPostgres(layout, found, launcher, settings)
        if is_new := directories.is_new(layout, MAJOR):
            await server._initialise()
        await server._start()
        duration_s = round(time.monotonic() - started_at, 3)
        log.info("postgres_ready", pid=server.pid, is_new=is_new, duration_s=duration_s)
        try:
            async with _kept_alive(server):
                yield server
        finally:
            with trio.move_on_after(processes.STOP_TIMEOUT_S, shield=True):
                await server._stop()
            directories.remove_sockets(layout)


@asynccontextmanager
async def _kept_alive(server: EmbeddedPostgres) -> AsyncIterator[None]:
    """Keep the server alive beside the block, whose errors come out as they are and not in a group."""
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server._keep_alive)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised again below, outside the nursery
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


@contextmanager
def _locked(lock: Path) -> Iterator[None]:
    """Hold the directory; the kernel lets go of it when we die, however that happens."""
    with lock.open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateDirectoryError(
                f"another daemon runs its database in {lock.parent}",
                remedy="Stop it, or give this one a state directory of its own",
            ) from None
        yield


async def _is_ready(sockets: Path) -> bool:
    """asyncio: whether the server takes connections; our database is made when it is not there yet."""
    try:
        connection = await asyncpg.connect(_dsn(sockets, DATABASE), timeout=CONNECT_TIMEOUT_S)
    except _NOT_YET:
        return False
    except asyncpg.InvalidCatalogNameError:
        await _make_database(sockets)
    except failures.FOREIGN as error:
        raise failures.judge(error).error from error
    else:
        await connection.close()
    return True


async def _make_database(sockets: Path) -> None:
    connection = await asyncpg.connect(_dsn(sockets, "postgres"), timeout=CONNECT_TIMEOUT_S)
    try:
        await connection.execute(f'CREATE DATABASE "{DATABASE}"')
    except failures.FOREIGN as error:
        raise failures.judge(error).error from error
    finally:
        await connection.close()  # noqa: ASYNC102 - on the asyncio side


def _dsn(sockets: Path, database: str) -> str:
    return f"postgresql://{USER}@/{database}?host={quote(str(sockets), safe='/')}"
