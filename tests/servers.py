"""Real PostgreSQL servers on a TCP port that a test can restart, kill, freeze, demote and promote.

Enter `open_server` on the main thread: the servers die with it.
"""

import ctypes
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import asyncpg
import psutil
import trio

from orchestrator import aio
from orchestrator.db import processes
from orchestrator.db.installation import Installation, find_installation, usable_installation
from orchestrator.db.pool import Connection, open_database
from orchestrator.db.privileges import Launcher, find_launcher, server_account
from orchestrator.errors import DatabaseUnavailableError
from orchestrator.settings import DatabaseSettings

SETTINGS = {
    "fsync": "off",
    "shared_buffers": "16MB",
    "max_connections": "30",
    "autovacuum": "off",
    "hot_standby": "on",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "client_connection_check_interval": "1s",
}
PATIENCE_S = 60.0
CHUNK = 65536
SO_ATTACH_FILTER = 26
"""A filter of a socket sees a packet before TCP does; Python has no name for it."""


@dataclass(slots=True, eq=False)
class Server:
    """One server; between `start` and its end it has a process."""

    data: Path
    port: int
    installed: Installation
    launcher: Launcher
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def dsn(self) -> str:
        return f"postgresql://orchestrator@127.0.0.1:{self.port}/postgres?sslmode=disable"

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    async def start(self, **settings: str) -> None:
        """Start it and wait until it answers; as a standby when it was made as one."""
        assert not self.is_running
        options = [f"--{name}={value}" for name, value in {**SETTINGS, **settings}.items()]
        command = ["-D", str(self.data), "-p", str(self.port), *options]
        with self._log() as output:
            self.process = processes.spawn(self.launcher.command(self.installed.postgres, *command), output)
        with trio.fail_after(PATIENCE_S):
            while not await self._answers():
                assert self.process.poll() is None, self.said()
                await trio.sleep(0.02)

    async def end(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT is a fast shutdown, SIGQUIT an immediate one; SIGKILL ends its children too."""
        assert self.process is not None
        family = self._family()
        self.process.send_signal(how)
        with trio.fail_after(PATIENCE_S):
            await processes.exited(self.process)
            while any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in family):
                await trio.sleep(0.01)  # a new server does not start beside children of the old one
        self.process = None

    def freeze(self) -> None:
        """Nothing of it moves any more: no answer, no new connection, no closed one."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    async def make_standby(self, data: Path, port: int) -> "Server":
        """A copy of it that follows it, not started yet."""
        source = f"host=127.0.0.1 port={self.port} user=orchestrator"
        program = self.installed.folder / "bin" / "pg_basebackup"
        _hand_over(data.parent, self.launcher)
        await self._run(program, "-D", str(data), "-d", source, "-R", "-c", "fast", "--no-sync")
        return Server(data, port, self.installed, self.launcher)

    async def do(self, statement: str, user: str = "orchestrator") -> object:
        """One statement outside a transaction; its first value."""
        return await aio.call(_do, self.dsn.replace("orchestrator@", f"{user}@"), statement)

    def said(self) -> str:
        return (self.data.parent / f"{self.data.name}.log").read_text()[-2000:]

    async def initialise(self) -> None:
        _hand_over(self.data.parent, self.launcher)
        arguments = ["-U", "orchestrator", "--auth=trust", "--no-sync", "--locale=C", "--encoding=UTF8"]
        await self._run(self.installed.initdb, "-D", str(self.data), *arguments)

    async def _run(self, program: Path, *arguments: str) -> None:
        with self._log() as output:
            code = await processes.run(self.launcher.command(program, *arguments), output)
        assert code == 0, self.said()

    def _log(self) -> BinaryIO:
        return (self.data.parent / f"{self.data.name}.log").open("ab")

    async def _answers(self) -> bool:
        async with open_database(self.dsn, DatabaseSettings()) as database:
            try:
                await database.run(_is_there, read_only=True)
            except DatabaseUnavailableError:
                return False
            return True

    def _family(self) -> list[psutil.Process]:
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)  # first, so that it makes no more children
        for child in self._family():
            with suppress(psutil.NoSuchProcess):  # it has ended by itself
                child.send_signal(number)


@asynccontextmanager
async def open_server(
    directory: Path, name: str = "one", installed: Installation | None = None
) -> AsyncIterator[Server]:
    """A new server that runs; it is ended at the end, and so are those made from it by the caller."""
    launcher = find_launcher(server_account(directory / name))
    installed = installed or await usable_installation(find_installation(), directory, launcher)
    server = Server(directory / name, free_port(), installed, launcher)
    await server.initialise()
    await server.start()
    async with ended(server):
        yield server


@asynccontextmanager
async def ended(server: Server) -> AsyncIterator[Server]:
    """At the end the server is ended, whatever state it is in."""
    try:
        yield server
    finally:
        if server.is_running:
            server.thaw()
            with trio.CancelScope(shield=True):
                await server.end(signal.SIGQUIT)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _hand_over(directory: Path, launcher: Launcher) -> None:
    """Let the server's user make things in the directory."""
    if launcher.account is not None:
        shutil.chown(directory, launcher.account.uid, launcher.account.gid)


async def _is_there(connection: Connection) -> None:
    await connection.execute("SELECT 1")


async def _do(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        connection.terminate()


class Wire:
    """A TCP proxy before a server, whose connections a test can reset or make silent."""

    def __init__(self, to_port: int) -> None:
        self.to_port = to_port
        self.port = 0
        self._living: dict[trio.CancelScope, tuple[trio.SocketStream, trio.SocketStream]] = {}

    @property
    def dsn(self) -> str:
        return f"postgresql://orchestrator@127.0.0.1:{self.port}/postgres?sslmode=disable"

    def reset(self) -> int:
        """Break every connection as a router does that forgets them: RST; how many."""
        for pair in (living := self._take()):
            for stream in pair:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                stream.socket.close()
        return len(living)

    def lose_packets(self) -> int:
        """The present connections are like a cut cable: nothing is even acknowledged any more. How many."""
        drop_all = ctypes.create_string_buffer(bytes(8))  # one instruction of BPF, ret 0
        drop_all[0] = b"\x06"
        program = struct.pack("HL", 1, ctypes.addressof(drop_all))
        for client, _server in self._living.values():
            client.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        return len(self._living)

    def silence(self) -> int:
        """The present connections stay open and carry nothing any more; new ones work. How many."""
        return len(self._take())

    def _take(self) -> "list[tuple[trio.SocketStream, trio.SocketStream]]":
        """The connections that carry something, which they do no longer."""
        living, self._living = self._living, {}
        for scope in living:
            scope.cancel()
        return list(living.values())

    async def _serve(self, client: trio.SocketStream) -> None:
        try:
            server = await trio.open_tcp_stream("127.0.0.1", self.to_port)
        except OSError:
            return
        scope = trio.CancelScope()
        self._living[scope] = (client, server)
        async with client, server:
            with scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_copy, client, server)
                    nursery.start_soon(_copy, server, client)
            self._living.pop(scope, None)
            if scope.cancelled_caught and client.socket.fileno() >= 0:
                await trio.sleep_forever()  # silent, and still open

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
            self.port = listener.socket.getsockname()[1]
            task_status.started()
            await trio.serve_listeners(self._serve, [listener], handler_nursery=nursery)


async def _copy(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    try:
        while data := await source.receive_some(CHUNK):
            await sink.send_all(data)
        await sink.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
        await sink.aclose()


@asynccontextmanager
async def open_wire(server: Server) -> AsyncIterator[Wire]:
    wire = Wire(server.port)
    async with trio.open_nursery() as nursery:
        await nursery.start(wire.run)
        yield wire
        nursery.cancel_scope.cancel()
