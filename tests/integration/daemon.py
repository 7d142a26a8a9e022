"""The real program as a process of its own, and what its tests ask it, its site and its database."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import trio

from orchestrator import aio
from orchestrator.control import client
from orchestrator.db.pool import Database, open_database
from orchestrator.errors import NoDaemonError
from orchestrator.settings import DatabaseSettings
from tests import rows

T = TypeVar("T")

PATIENCE_S = 60.0
"""How long a condition may take to come true: a limit for faults, not a figure. The machine may be busy."""
POLL_S = 0.1
LOG_LINES = 30
"""Of the daemon's log, shown when a condition does not come true."""
SPEED = 1200.0
"""A shown hour takes three real seconds."""
SETTLE_S = 45.0
"""In real seconds; the least that is allowed."""
QUICK = {
    "ORCHESTRATOR_CONTENT__HORIZON_H": "1",
    "ORCHESTRATOR_JOBS__PLAN__EVERY_S": str(1.0 * SPEED),
    "ORCHESTRATOR_JOBS__LEARN__EVERY_S": str(2.0 * SPEED),
    "ORCHESTRATOR_JOBS__RECONCILIATION__EVERY_S": str(0.5 * SPEED),
    "ORCHESTRATOR_POSTING__SETTLE_S": str(SETTLE_S),
    "ORCHESTRATOR_LEARNING__SETTLE_H": "0.5",
}
"""So that posts come, and are learned from, within seconds."""
READERS = ("account_discovery", "harvester", "opportunity_review", "scrape_priority", "scrape_background")
"""Read others' posts and draft replies to them; on this clock they would come every 0.5 to 9 s.

Posting waits for no context then (0.0 s for six leases), but they take so much of the processor that its run
took 9 s instead of 4 where the machine was busy anyway: tests of posting would take twice as long.
"""
WITH_READERS = {f"ORCHESTRATOR_JOBS__{name.upper()}__ENABLED": "true" for name in READERS}
QUICK |= dict.fromkeys(WITH_READERS, "false")
UNFINISHED = "SELECT state, detail FROM posts WHERE state <> 'published' AND in_reply_to IS NULL"
"""Replies wait for a person; those that nobody approves are withdrawn, which is no failure."""

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Daemon:
    """A running `orchestrator demo`."""

    process: trio.Process
    state_dir: Path
    output: Path
    dsn: str | None = None
    """Of a server of the test's own; None: it is the daemon's."""

    # ── what it says ────────────────────────────────────────────────────────────────────────────

    async def ask(self, verb: str, **args: str | int) -> Document:
        """A verb on the control socket; raises ControlError."""
        path = self.state_dir / "control.sock"
        answer: Document = await trio.to_thread.run_sync(partial(client.request, path, verb, args))
        return answer

    async def status(self) -> Document:
        """The status document; empty while nobody listens."""
        try:
            return await self.ask("status")
        except NoDaemonError:
            return {}

    async def job(self, name: str) -> Document:
        """The job's part of the status; empty while there is none."""
        found = [job for job in (await self.status()).get("jobs", []) if job["name"] == name]
        return found[0] if found else {}

    async def mode(self) -> str:
        return str((await self.status()).get("mode", ""))

    async def wait_for_mode(self, mode: str) -> None:
        async def has_come() -> bool:
            assert self.process.returncode is None, f"the daemon has ended: {self.said()}"
            return await self.mode() == mode

        await wait_until(has_come, f"the daemon is {mode}", self.said)

    async def readyz(self) -> tuple[int, Document]:
        address = (await self.status())["links"]["health"]
        async with httpx.AsyncClient() as http:
            response = await http.get(address)
        return response.status_code, response.json()

    def said(self) -> str:
        """Its last words, and the last lines of its log."""
        log = self.state_dir / "daemon.log"
        lines = log.read_text().splitlines()[-LOG_LINES:] if log.exists() else []
        return "\n".join([self.output.read_text()[-2000:], *lines])

    # ── its site ────────────────────────────────────────────────────────────────────────────────

    async def ledger(self) -> dict[str, str]:
        """Text by reference of every post that the site has accepted; no text may be there twice."""
        listed = (await self._admin("GET", "ledger"))["posts"]
        texts = [(entry["account"], entry["text"]) for entry in listed]
        assert len(set(texts)) == len(texts), "a post was published twice"
        return {entry["reference"]: entry["text"] for entry in listed}

    async def answers(self) -> list[tuple[str, str]]:
        """Account and target of every reply that the site has accepted."""
        listed = (await self._admin("GET", "ledger"))["posts"]
        return [(entry["account"], entry["in_reply_to"]) for entry in listed if entry["in_reply_to"]]

    async def set_faults(self, **faults: Document) -> None:
        await self._admin("POST", "faults", faults)

    async def faults_left(self) -> int:
        """How often the faults that are on will still strike."""
        return sum(fault["times"] for fault in (await self._admin("GET", "faults")).values())

    async def sign_out_everyone(self) -> None:
        await self._admin("POST", "sign-out-everyone", {})

    async def _admin(self, method: str, page: str, body: Document | None = None) -> Document:
        site = (await self.status())["links"]["site"]
        token = await trio.Path(self.state_dir / "site-admin-token").read_text()
        headers = {"authorization": f"Bearer {token.strip()}"}
        async with httpx.AsyncClient(base_url=site, headers=headers) as http:
            response = await http.request(method, f"/admin/{page}", json=body)
        assert response.status_code == 200, response.text
        found: Document = response.json()
        return found

    # ── its database ────────────────────────────────────────────────────────────────────────────

    async def query(self, query: str) -> list[rows.Row]:
        async with self._database() as database:
            return await rows.fetch(database, query)

    async def published(self) -> dict[str, str]:
        """Text by reference of every post that the database holds as published."""
        found = await self.query("SELECT reference, text FROM posts WHERE state = 'published'")
        return {row["reference"]: row["text"] for row in found}

    @asynccontextmanager
    async def _database(self) -> AsyncIterator[Database]:
        ours = f"postgresql://orchestrator@/orchestrator?host={self.state_dir / 'postgres' / 'run'}"
        dsn = self.dsn or ours
        async with aio.open_bridge(), open_database(dsn, DatabaseSettings()) as database:
            yield database

    # ── its end ─────────────────────────────────────────────────────────────────────────────────

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def interrupt_group(self) -> None:
        """What Ctrl-C in a terminal does: it signals every process of the group."""
        os.killpg(self.process.pid, signal.SIGINT)

    async def ended(self) -> int:
        """Wait for the end, which runs under way hold up by half a minute; the exit code."""
        with trio.fail_after(2 * PATIENCE_S):
            return await self.process.wait()

    def family(self) -> list[psutil.Process]:
        """The daemon's descendants: browser, driver, database, site."""
        return psutil.Process(self.process.pid).children(recursive=True)


@asynccontextmanager
async def running(
    state_dir: Path, *options: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Daemon]:
    """`orchestrator demo` on the directory; whatever of it is left at the end is killed."""
    output = state_dir / "output"
    async with trio.open_nursery() as nursery:
        with output.open("a") as file:
            process: trio.Process = await nursery.start(
                partial(
                    trio.run_process,
                    demo_command(state_dir, *options),
                    stdout=file,
                    stderr=file,
                    check=False,
                    env={**os.environ, **QUICK, **(environment or {})},
                    start_new_session=True,
                )
            )
        try:
            yield Daemon(process, state_dir, output, (environment or {}).get("ORCHESTRATOR_DATABASE__DSN"))
        finally:
            for left in processes_of(state_dir):
                with suppress(psutil.NoSuchProcess):
                    left.kill()
            nursery.cancel_scope.cancel()


def demo_command(state_dir: Path, *options: str) -> list[str]:
    ports = ["--http-port", "0", "--site-port", "0"]
    return [
        *(sys.executable, "-m", "orchestrator", "demo", "--plain", "--state-dir", str(state_dir)),
        *("--speed", f"{SPEED:g}", *ports, *options),
    ]


async def run_to_end(
    command: list[str], environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[bytes]":
    """A program that ends by itself."""
    with trio.fail_after(PATIENCE_S):
        return await trio.run_process(
            command,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env={**os.environ, **QUICK, **(environment or {})},
        )


def processes_of(state_dir: Path) -> list[psutil.Process]:
    """Every living process that has to do with the directory: by its arguments, place or temporary files."""
    return [process for process in psutil.process_iter() if _belongs(process, str(state_dir))]


def _belongs(process: psutil.Process, place: str) -> bool:
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        is_named = (
            any(place in text for text in process.cmdline())
            or place in process.cwd()
            or place in process.environ().get("TMPDIR", "")
        )
        return is_named and process.status() != psutil.STATUS_ZOMBIE
    return False


def living(processes: list[psutil.Process]) -> list[str]:
    """The names of those that still run."""
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.name())
    return found


async def wait_until(
    condition: Callable[[], Awaitable[T]],
    what: str,
    explain: Callable[[], object] = str,
    patience_s: float = PATIENCE_S,
) -> T:
    """Ask until the answer is true; fails after `patience_s`, naming `what` and the last answer."""
    deadline = trio.current_time() + patience_s
    while not (answer := await condition()):
        assert trio.current_time() < deadline, f"not within {patience_s:g} s: {what}. {answer} {explain()}"
        await trio.sleep(POLL_S)
    return answer


async def check_that_nothing_is_lost_or_doubled(daemon: Daemon) -> None:
    """Once no more posts are planned, each one is out, once, and no job stands still."""
    await daemon.ask("pause", job="plan")

    async def is_settled() -> bool:
        await daemon.ask("run", job="posting")  # in whose stead nobody waits for its turn
        found = await daemon.query(UNFINISHED)
        assert not [row for row in found if row["state"] == "failed"], found
        return not found

    patience_s = PATIENCE_S + 2 * SETTLE_S
    await wait_until(is_settled, "every post is published", daemon.said, patience_s)
    assert await daemon.published() == await daemon.ledger()
    assert not [job["name"] for job in (await daemon.status())["jobs"] if job["state"] == "failed"]
