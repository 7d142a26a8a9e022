"""From a database that is back to the daemon's first write, and to its being ready, on a running demo.

The server is back when a bare connection gets an answer, or writes again; the daemon's first write is the
next renewal of its lease.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import asyncpg
import psutil

from bench.daemon import Daemon, is_ready, running_demo
from bench.figure import Aim, Figure, Report, spread
from orchestrator.db.embedded import DATABASE, USER

AIM = Aim(10, "s")
AWAY_S = 15.0
"""For so long the server is frozen, or takes no writes: longer than the lease lasts."""
LIMIT_S = 120.0
LOOK_EVERY_S = 0.02

Strike = Callable[["Server"], Awaitable[None]]


class Server:
    """The demo's PostgreSQL, from outside."""

    def __init__(self, daemon: Daemon, state_dir: Path) -> None:
        self._daemon = daemon
        self._sockets = str(state_dir / "postgres" / "run")

    async def ask(self, query: str) -> object:
        connection = await asyncpg.connect(host=self._sockets, user=USER, database=DATABASE, timeout=LIMIT_S)
        try:
            return await connection.fetchval(query)
        finally:
            connection.terminate()

    async def renewals(self) -> object:
        return await self.ask("SELECT renewals FROM daemon_lease")

    def signal(self, number: signal.Signals, *, children: bool = False) -> None:
        postmaster = self._postmaster()
        for process in [postmaster, *(postmaster.children() if children else ())]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _postmaster(self) -> psutil.Process:
        children = psutil.Process(self._daemon.process.pid).children()
        return next(child for child in children if child.name() == "postgres")

    async def set_read_only(self, value: str) -> None:
        await self.ask(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
        await self.ask("SELECT pg_reload_conf()")


async def _restart(server: Server) -> None:
    server.signal(signal.SIGINT)
    await _until_it_answers(server)


async def _kill(server: Server) -> None:
    server.signal(signal.SIGKILL)
    await _until_it_answers(server)


async def _until_it_answers(server: Server) -> None:
    await asyncio.sleep(0.5)  # the end of the old one
    end_at = time.monotonic() + LIMIT_S
    while time.monotonic() < end_at:
        try:
            await server.ask("SELECT 1")
            return
        except (OSError, asyncpg.PostgresError):
            await asyncio.sleep(LOOK_EVERY_S)
    raise RuntimeError("the server is not back")


async def _freeze(server: Server) -> None:
    server.signal(signal.SIGSTOP, children=True)
    await asyncio.sleep(AWAY_S)
    server.signal(signal.SIGCONT, children=True)


async def _demote(server: Server) -> None:
    await server.set_read_only("on")
    await asyncio.sleep(AWAY_S)
    await server.set_read_only("off")


STRIKES: dict[str, Strike] = {
    "a restart": _restart,
    "kill -9": _kill,
    f"standing still for {AWAY_S:g} s": _freeze,
    f"taking no writes for {AWAY_S:g} s": _demote,
}


def measure(directory: Path, rounds: int) -> Report:
    state_dir = directory / "recovery"
    state_dir.mkdir(mode=0o755)
    figures = []
    with running_demo(state_dir) as daemon:
        server = Server(daemon, state_dir)
        for what, strike in STRIKES.items():
            taken = [asyncio.run(_take(daemon, server, strike)) for _ in range(rounds)]
            writes, readies = [one for one, _ in taken], [other for _, other in taken]
            figures.append(
                Figure(
                    f"database back after {what}: to the daemon's first write, the longest",
                    max(writes),
                    f"{spread(writes)} s; ready after {spread(readies)} s",
                    aim=AIM,
                    unit="s",
                )
            )
    return Report(figures, [f"recovery: {rounds} rounds of each fault"])


async def _take(daemon: Daemon, server: Server, strike: Strike) -> tuple[float, float]:
    """Seconds to the first write, and to being ready."""
    await strike(server)
    back_at = time.monotonic()
    before = await server.renewals()
    while await server.renewals() == before:
        await _pause(back_at)
    write_s = time.monotonic() - back_at
    while not await asyncio.to_thread(is_ready, daemon.http_port):
        await _pause(back_at)
    return write_s, time.monotonic() - back_at


async def _pause(since: float) -> None:
    if time.monotonic() - since > LIMIT_S:
        raise RuntimeError(f"the daemon has not recovered within {LIMIT_S:g} s")
    await asyncio.sleep(LOOK_EVERY_S)
