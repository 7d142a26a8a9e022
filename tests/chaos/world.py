"""A world to break: the real daemon with its browser and database, a site, and what starts them again."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from pathlib import Path

import psutil
import trio

from orchestrator import aio, crash, jobs
from orchestrator.clock import Clock
from orchestrator.db.pool import Database, open_database
from orchestrator.errors import ControlError
from orchestrator.jobs import retention
from orchestrator.settings import DatabaseSettings
from tests import rows
from tests.chaos import stepped
from tests.chaos.site import Site
from tests.fixtures_db import start_server_process
from tests.integration.daemon import Daemon, processes_of, wait_until

SPEED = 1200.0
"""A shown hour takes three real seconds."""
SETTLE_S = 45.0
LEASE_TTL_S = 4.0
READY_S, GONE_S = 120.0, 20.0
"""How long a start, and the end of everything after a kill, may take on a busy machine."""
SMALL_DISK_MB = 300
STEPS = "steps"
"""The file that says how far the daemon's clock has jumped."""
PUBLISHERS = ("posting", "reply_posting")


class Kind(StrEnum):
    """What is special about a world."""

    PLAIN = "plain"
    SHARED = "shared"
    """The database is a server of its own, for more than one daemon."""
    SMALL = "small"
    """On a disk of SMALL_DISK_MB, which only root can make."""
    STEPPED = "stepped"
    """The daemon's wall clock can be made to jump while it runs."""

    def why_not(self) -> str:
        """Why there can be none on this machine; empty when there can."""
        if self == Kind.SMALL and os.geteuid() != 0:
            return "only root can mount a small disk"
        return ""


_OF_POSTS = {"plan": 2, "posting": 0.25, "reply_posting": 2, "reconciliation": 5, "health_monitor": 5}
_EVERY_S = {name: _OF_POSTS.get(name, 20) for name in jobs.NAMES if name != retention.NAME}
"""Real seconds between two runs. What does not publish runs seldom: it only costs the cycles their time."""


@dataclass(slots=True)
class World:
    """Invariant: `daemon` is the one that works; it is None, or its process may have ended."""

    place: Path
    nursery: trio.Nursery
    database: Database
    """As the campaign sees it: with connections of its own."""
    dsn: str | None = None
    """Of a server beside the daemons; None: the daemon's own."""
    kind: Kind = Kind.PLAIN
    site: Site = field(init=False)
    clock: Clock = field(default_factory=lambda: Clock(SPEED, time.time(), time.time()))
    daemon: Daemon | None = None
    jumped_h: float = 0.0
    """How far the daemon's clock has jumped while it ran."""
    is_kept: bool = False
    """Its files stay, to be looked into."""

    def __post_init__(self) -> None:
        self.site = Site(self.place / "site")

    # ── the daemon ──────────────────────────────────────────────────────────────────────────────

    async def start(self, crash_at: str = "", by: str = "kill", name: str = "daemon") -> Daemon:
        """Start a daemon, and the site if it does not run; it may die at `crash_at`."""
        if not self.site.is_running:
            await self.site.start(self.clock)
        config, state_dir = self.place / "settings.toml", self.place / name
        config.write_text(self._settings())
        state_dir.mkdir(exist_ok=True)
        environ = {**os.environ, "ORCHESTRATOR_STATE_DIR": str(state_dir)}
        if crash_at:
            environ |= {crash.AT: crash_at, crash.BY: by}
        module = "orchestrator"
        if self.kind == Kind.STEPPED:
            module = "tests.chaos.stepped"
            self.jump_clock(0)
            environ[stepped.STEPS] = str(self.place / STEPS)
        with (state_dir / "daemon.log").open("a") as file:
            process: trio.Process = await self.nursery.start(
                partial(
                    trio.run_process,
                    [sys.executable, "-m", module, "run", "--config", str(config)],
                    stdout=file,
                    stderr=file,
                    check=False,
                    env=environ,
                    start_new_session=True,
                )
            )
        return Daemon(process, state_dir, state_dir / "daemon.log")

    def _settings(self) -> str:
        accounts = "".join(
            f'[[accounts]]\nname = "{name}"\nsite = "murmur"\nusername = "{name}"\n'
            f'password = "{password}"\nposts_per_day = 500\nreplies_per_day = 500\n'
            for name, password in self.site.passwords.items()
        )
        dsn = f'dsn = "{self.dsn}"\n' if self.dsn is not None else ""
        return (
            f"{accounts}"
            f'[sites.murmur]\nprofile = "microblog"\nbase_url = "{self.site.url}"\n'
            f"[http]\nport = 0\n"
            f"[clock]\nspeed = {self.clock.speed}\nreal_epoch = {self.clock.real_epoch!r}\n"
            f"shown_epoch = {self.clock.shown_epoch!r}\n"
            f"[database]\nlease_ttl_s = {LEASE_TTL_S}\n{dsn}"
            f"[posting]\nsettle_s = {SETTLE_S}\nstuck_s = 180\n"
            f"[content]\nhorizon_h = 1\nqueue_target = 4\n"
            f"[pacing]\nstart_per_hour = 12\nmax_per_hour = 12\n"
            f"[learning]\nsettle_h = 3\n"
            + "".join(f"[jobs.{name}]\nevery_s = {every_s * SPEED}\n" for name, every_s in _EVERY_S.items())
        )

    async def be_ready(self) -> Daemon:
        """Start whatever does not run, wait until it is ready, and post."""
        if not self.site.is_running:
            await self.site.start(self.clock)
        if self.daemon is None or self.daemon.process.returncode is not None:
            self.daemon = await self.start()
        daemon = self.daemon

        async def is_ready() -> bool:
            assert daemon.process.returncode is None, f"the daemon has ended: {daemon.said()}"
            return await daemon.mode() == "ready"

        await wait_until(is_ready, "the daemon is ready", daemon.said, READY_S)
        await self.ask_posting("resume")
        return daemon

    async def ask_posting(self, verb: str) -> None:
        """Pause or resume the jobs that publish, as soon as that can be written down."""
        daemon = self.daemon
        assert daemon is not None

        async def is_done() -> bool:
            with suppress(ControlError):  # the database is away for the moment
                for job in PUBLISHERS:
                    await daemon.ask(verb, job=job)
                return True
            return False

        await wait_until(is_done, f"{verb} of posting", daemon.said, READY_S)

    async def answer(self) -> None:
        """Draft an answer of each account to another one's latest post, and approve it: both may fail."""
        assert self.daemon is not None
        ledger = await self.site.ledger()
        for name in self.site.passwords:
            answered = {entry["in_reply_to"] for entry in ledger if entry["account"] == name}
            targets = [
                entry["reference"]
                for entry in ledger
                if entry["account"] != name and entry["in_reply_to"] is None
            ]
            if targets and targets[-1] not in answered:
                with suppress(ControlError):  # it may have a reply that is not out yet
                    said = await self.daemon.ask("draft", account=name, to=targets[-1], text=f"{name} agrees")
                    await self.daemon.ask("approve", post=said["reply"])

    async def end(self) -> None:
        """Drain the daemon, if there is one."""
        daemon, self.daemon = self.daemon, None
        if daemon is not None and daemon.process.returncode is None:
            daemon.signal(signal.SIGTERM)
            with trio.fail_after(READY_S):
                await daemon.process.wait()
            await self.nothing_left(daemon)

    async def kill(self) -> None:
        """`kill -9` the daemon; whatever belongs to it must end by itself."""
        daemon, self.daemon = self.daemon, None
        assert daemon is not None
        daemon.signal(signal.SIGKILL)
        await self.dead(daemon)

    async def dead(self, daemon: Daemon, patience_s: float = GONE_S) -> int:
        """Wait until the daemon has ended, and everything with it; its exit code."""

        async def has_ended() -> bool:
            return daemon.process.returncode is not None

        await wait_until(has_ended, "the daemon has ended", daemon.said, patience_s)
        await self.nothing_left(daemon)
        assert daemon.process.returncode is not None
        return daemon.process.returncode

    async def nothing_left(self, daemon: Daemon) -> None:
        async def is_gone() -> bool:
            return not processes_of(daemon.state_dir)

        await wait_until(is_gone, "nothing is left", lambda: processes_of(daemon.state_dir), GONE_S)

    async def stopped(self, daemon: Daemon, patience_s: float) -> None:
        """Wait until the daemon has stopped itself."""

        async def has_stopped() -> bool:
            assert daemon.process.returncode is None, f"the daemon has ended: {daemon.said()}"
            return psutil.Process(daemon.process.pid).status() == psutil.STATUS_STOPPED

        await wait_until(has_stopped, "the daemon has stopped itself", daemon.said, patience_s)

    # ── what is asked of it ─────────────────────────────────────────────────────────────────────

    async def query(self, query: str) -> list[rows.Row]:
        return await rows.fetch(self.database, query)

    def said_times(self, *events: str) -> int:
        """How often the logs of all daemons of this world have had these events."""
        logs = self.place.glob("*/daemon.log")
        return sum(log.read_text().count(f'"event": "{event}"') for log in logs for event in events)

    async def is_posting(self) -> bool:
        assert self.daemon is not None
        with suppress(ControlError):
            return (await self.daemon.job("posting")).get("state") == "running"
        return False

    async def has_posted(self) -> None:
        """Wait until the site has one post more than now."""
        last = max((entry["sequence"] for entry in await self.site.ledger()), default=0)

        async def has_more() -> bool:
            return bool(await self.site.ledger(last))

        assert self.daemon is not None
        await wait_until(has_more, "a further post is out", self.daemon.said, READY_S)

    # ── its clock ───────────────────────────────────────────────────────────────────────────────

    def step_clock(self, hours: float) -> None:
        """For site and daemon alike, from their next start on."""
        self.clock = replace(self.clock, shown_epoch=self.clock.shown_epoch + hours * 3600)

    def jump_clock(self, hours: float) -> None:
        """For the running daemon alone, and those after it."""
        self.jumped_h += hours
        new = self.place / f"{STEPS}.new"
        new.write_text(str(self.jumped_h * 3600 / SPEED))
        new.rename(self.place / STEPS)

    def kill_everything(self) -> None:
        for process in processes_of(self.place):
            if process.pid != os.getpid():
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        self.site.kill()


@asynccontextmanager
async def open_world(kind: Kind) -> AsyncIterator[World]:
    """A new world below the directory for temporary files."""
    place = Path(tempfile.mkdtemp(prefix="orchestrator-chaos-"))
    place.chmod(0o755)
    is_kept = False
    try:
        with _disk(place, kind), _server(place, kind) as dsn:
            ours = f"postgresql://orchestrator@/orchestrator?host={place / 'daemon' / 'postgres' / 'run'}"
            async with (
                trio.open_nursery() as nursery,
                aio.open_bridge(),
                open_database(dsn or ours, DatabaseSettings()) as database,
            ):
                world = World(place, nursery, database, dsn, kind)
                try:
                    yield world
                finally:
                    world.kill_everything()
                    is_kept = world.is_kept and kind != Kind.SMALL
                    nursery.cancel_scope.cancel()
    finally:
        if not is_kept:
            shutil.rmtree(place)


@contextmanager
def _server(place: Path, kind: Kind) -> Iterator[str | None]:
    if kind != Kind.SHARED:
        yield None
        return
    with start_server_process(place / "server") as (_, dsn):
        yield dsn


@contextmanager
def _disk(place: Path, kind: Kind) -> Iterator[None]:
    if kind != Kind.SMALL:
        yield
        return
    options = f"size={SMALL_DISK_MB}m,mode=0755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
