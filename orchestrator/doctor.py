"""`orchestrator doctor`: looks at everything that the daemon needs, by hand, and says what to do about each.

With a daemon there is one who knows already: it is asked. Without one each part is tried as the daemon would
use it. Nothing is made in the state directory that was not there: what needs one gets a temporary one.
"""

import os
import pwd
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import trio

from orchestrator import aio, wiring
from orchestrator.alerts import runbook
from orchestrator.alerts.sender import check_destinations
from orchestrator.browser.launcher import is_sandboxed
from orchestrator.browser.pool import ContextPool, open_pool
from orchestrator.cache.redis import RedisStore
from orchestrator.clock import Clock
from orchestrator.control import client
from orchestrator.control.find import find_socket
from orchestrator.db import moment
from orchestrator.db.migrate import count_missing
from orchestrator.db.pool import Database
from orchestrator.db.sessions import SessionTable
from orchestrator.errors import (
    DatabaseUnavailableError,
    NoDaemonError,
    SettingsError,
    SiteError,
    SiteUnavailableError,
    StateDirectoryError,
)
from orchestrator.health import machine
from orchestrator.health.checks import Check, Checks, Disk
from orchestrator.health.modes import BROWSER, DATABASE
from orchestrator.health.problems import CHECK_DOWN
from orchestrator.metrics import Metrics
from orchestrator.model import CheckResult, CheckState, Mode
from orchestrator.settings import Settings
from orchestrator.settings.cache import CACHE
from orchestrator.sites.breakers import breaker_of
from orchestrator.sites.profile import Profile
from orchestrator.sites.session import look_at_site
from orchestrator.state import hold_state_dir

DATABASE_S = 180.0
"""For our own server too, which after a crash first reads its log."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. Without a daemon `mode` is empty."""

    checks: Sequence[Row]
    mode: str = ""
    pid: int | None = None
    problems: Sequence[Row] = field(default_factory=list)
    """Of the daemon, besides the checks that are down."""

    @property
    def is_well(self) -> bool:
        is_up = all(check["state"] == CheckState.UP for check in self.checks)
        return is_up and not self.problems and self.mode in ("", Mode.READY)

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        daemon = {"pid": self.pid, "mode": self.mode} if self.mode else None
        checks, problems = list(self.checks), list(self.problems)
        return {"is_well": self.is_well, "daemon": daemon, "checks": checks, "problems": problems}


def ask_daemon(config: Path | None) -> Report | None:
    """What the running daemon says of itself; None when there is none.

    Raises ControlError when one is there and can't be asked.
    """
    try:
        status = client.request(find_socket(os.environ, config), "status")
    except NoDaemonError:
        return None
    shown = {f"{check['name']} is down: {check['detail']}" for check in status["checks"]}
    return Report(
        [_row(CheckResult(**check)) for check in status["checks"]],
        status["mode"],
        status["pid"],
        [problem for problem in status["problems"] if problem["what"] not in shown],
    )


def wrong_settings(error: SettingsError) -> Report:
    """Settings that can't be read: nothing else can be looked at."""
    return Report([_row(CheckResult("settings", CheckState.DOWN, True, 0.0, str(error), error.remedy))])


async def examine(settings: Settings) -> Report:
    """Look at everything, without a daemon."""
    checks = Checks(Clock(), Metrics())
    with _scratch() as scratch:
        doctor = _Doctor(settings, checks, scratch)
        async with aio.open_bridge():
            await doctor.look()
    return Report([_row(result) for result in checks.results.values()])


def _row(result: CheckResult) -> dict[str, Any]:
    is_down = result.state == CheckState.DOWN
    return asdict(result) | {"runbook": runbook.link(CHECK_DOWN, result.name) if is_down else ""}


class _Doctor:
    """One examination."""

    def __init__(self, settings: Settings, checks: Checks, scratch: Path) -> None:
        self._settings = settings
        self._checks = checks
        self._scratch = scratch
        self._profiles: Mapping[str, Profile] = {}

    async def look(self) -> None:
        for check in self._parts():
            self._checks.add(check)
        await self._checks.look_at_all()
        pool_of_contexts = open_pool(
            self._settings.browser,
            state_dir=self._scratch,
            store=SessionTable(Clock()),
            capacity=1,
        )
        async with pool_of_contexts as pool:
            limit_s = self._settings.browser.launch_timeout_s + 10
            self._checks.add(Check(BROWSER, partial(_browser, pool), limit_s=limit_s))
            if (await self._checks.look(BROWSER)).state is CheckState.UP:
                await self._look_at_sites(pool)

    def _parts(self) -> Iterator[Check]:
        """Everything but the browser and what only a browser can look at."""
        yield Check("settings", self._look_at_settings)
        yield Check("disk", self._disk)
        yield Check("files", machine.look_at_files, is_critical=False)
        yield Check("shared_memory", machine.look_at_shared_memory, is_critical=False)
        yield Check("clock", self._clock, is_critical=False, limit_s=DATABASE_S)
        yield Check(DATABASE, self._database, limit_s=DATABASE_S)
        if self._settings.cache.url is not None:
            yield Check(CACHE, self._cache, is_critical=False)

    async def _look_at_sites(self, pool: ContextPool) -> None:
        for name, profile in self._profiles.items():
            limit_s = self._settings.browser.visit_timeout_s + 10
            look = partial(_site, pool, name, profile)
            self._checks.add(Check(breaker_of(name), look, is_critical=False, limit_s=limit_s))
            await self._checks.look(breaker_of(name))

    async def _look_at_settings(self) -> str:
        settings = self._settings
        self._profiles = wiring.make_profiles(settings)
        accounts = wiring.make_accounts(settings, self._profiles)
        wiring.check_jobs(settings)
        await check_destinations(settings.alerts)
        if not accounts:
            raise SettingsError("no account to post for", remedy="Add accounts; see docs/sites.md")
        return f"{len(accounts)} accounts on {len(settings.sites)} sites"

    async def _disk(self) -> str:
        state_dir = self._settings.state_dir.absolute()
        if state_dir.exists():
            self._check_owner()
            return await Disk(state_dir).probe()
        above = next(place for place in state_dir.parents if place.exists())
        if not os.access(above, os.W_OK | os.X_OK):
            raise StateDirectoryError(
                f"there is no state directory {state_dir}, and {above} can't be written",
                remedy="Make it, for the daemon's user, or name another one in state_dir",
            )
        return f"{await Disk(self._scratch).probe()}; {state_dir} is made at the first start"

    async def _database(self) -> str:
        async with self._open_database() as database:
            start = trio.current_time()
            await wiring.ping(database, self._settings)
            took_s = trio.current_time() - start
            if took_s > self._settings.database.slow_s:
                raise DatabaseUnavailableError(
                    f"it is slow: a write of one row takes {took_s:.1f} s",
                    remedy="See what else its machine and its disk have to do",
                )
            missing = await count_missing(database)
        schema = f"; {missing} migrations are applied at the next start" if missing else ", is migrated"
        return f"takes writes in {took_s * 1000:.0f} ms{schema}"

    async def _clock(self) -> str:
        if self._settings.database.dsn is None:  # the same machine's
            return machine.judge_clock(machine.now(), machine.now())
        try:
            async with self._open_database() as database:
                theirs = await database.run(moment.read, read_only=True)
        except DatabaseUnavailableError:  # its own check says why
            return machine.judge_clock(machine.now(), None)
        return machine.judge_clock(machine.now(), theirs)

    @asynccontextmanager
    async def _open_database(self) -> AsyncIterator[Database]:
        """The settings' one, or our own: on its own data where there are some, else on an empty directory."""
        settings = self._settings
        once = settings.gate.model_copy(update={"database_wait_s": 0.0})
        settings = settings.model_copy(update={"gate": once})
        if settings.database.dsn is not None:
            async with wiring.open_storage(settings, Random()) as database:
                yield database
        elif (settings.state_dir / "postgres").exists():
            self._check_owner()
            with hold_state_dir(settings.state_dir):
                async with wiring.open_storage(settings, Random()) as database:
                    yield database
        else:
            tried = settings.model_copy(update={"state_dir": self._scratch})
            async with wiring.open_storage(tried, Random()) as database:
                yield database

    def _check_owner(self) -> None:
        """What another user makes in the state directory the daemon could not use."""
        state_dir = self._settings.state_dir
        owner = state_dir.stat().st_uid
        if owner != os.geteuid():
            name = _name_of(owner)
            raise StateDirectoryError(
                f"the state directory {state_dir} belongs to {name}, not to {_name_of(os.geteuid())}",
                remedy=f"Run: sudo -u {name} orchestrator doctor; or give it to the daemon's user with chown",
            )

    async def _cache(self) -> str:
        store = RedisStore(self._settings.cache)
        async with store.open():
            figures = await store.measure()
        return f"{figures.entries} keys"


async def _browser(pool: ContextPool) -> str:
    await pool.probe()
    sandbox = "" if is_sandboxed() else "; without its sandbox, since this is root"
    return f"{pool.statistics().browser} shows a page{sandbox}"


async def _site(pool: ContextPool, name: str, profile: Profile) -> str:
    try:
        await look_at_site(pool, profile)
    except SiteUnavailableError as error:
        remedy = f"See whether it is down; else correct sites.{name}.base_url"
        raise SiteUnavailableError(str(error), remedy=remedy) from error
    except SiteError as error:
        return f"it answers: {error}"
    return "its sign-in page answers"


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A directory that PostgreSQL's user can enter, too, when we are root."""
    place = Path(tempfile.mkdtemp(prefix="orchestrator-doctor-"))
    try:
        place.chmod(0o711)
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
