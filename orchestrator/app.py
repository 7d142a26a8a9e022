"""Builds and wires everything: start, gate, run, drain.

The order of a life: lock the state directory → answer on HTTP → database and browser side by side →
take the fence, settle what an earlier daemon left → control socket → gate → actors → drain → close all
in the reverse order.
"""

import itertools
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import TextIO

import structlog
import trio

from orchestrator import aio, jobs
from orchestrator.actors.actor import Actor, ActorState, History, LastRun, Surroundings
from orchestrator.actors.job import Job
from orchestrator.actors.runlog import DatabaseRunLog
from orchestrator.actors.supervisor import Supervisor
from orchestrator.allocator import Allocator
from orchestrator.browser.pool import ContextPool, open_pool
from orchestrator.clock import Clock
from orchestrator.content.writer import Writer
from orchestrator.control.server import serve_control
from orchestrator.control.verbs import verbs_of
from orchestrator.db import posts, runs, sessions
from orchestrator.db.embedded import open_embedded
from orchestrator.db.fence import Fence, open_fence
from orchestrator.db.migrate import migrate
from orchestrator.db.pool import Database, open_database
from orchestrator.db.runs import StoredHistory
from orchestrator.errors import BrowserError, ControlError, DatabaseUnavailableError, SettingsError
from orchestrator.health import figures
from orchestrator.health.checks import Check, Checks, look_at_disk
from orchestrator.health.modes import BROWSER, DATABASE, Modes
from orchestrator.health.status import House
from orchestrator.jobs import reconciliation
from orchestrator.jobs.tools import Account, Tools
from orchestrator.log import configure
from orchestrator.metrics import Metrics
from orchestrator.model import CheckResult, Ending, Mode, Outcome
from orchestrator.retry import RetryRule
from orchestrator.settings import Settings
from orchestrator.sites.profile import load_profile
from orchestrator.sites.session import SiteAccount
from orchestrator.state import hold_state_dir
from orchestrator.web.api import make_app
from orchestrator.web.serve import serve_http

REBUILD_DELAY = RetryRule(retries=0, base_s=0.2, cap_s=10.0)
"""Between two tries to rebuild a broken slot; there is no last one."""
CONNECT_DELAY = RetryRule(retries=0, base_s=0.2, cap_s=5.0)
"""Between two tries to reach the database at start."""

log = structlog.get_logger("app")

Face = Callable[[House], Awaitable[None]]
"""Something that shows the house while it lives; cancelled at the end."""


def run(settings: Settings, face: Face | None = None, log_stream: TextIO | None = None) -> None:
    """Live until SIGTERM or SIGINT; logs go to `log_stream`, standard error by default.

    Raises an OrchestratorError, alone or in an exception group, when it can't go on.
    """
    configure(settings.log, log_stream, secrets=settings.secrets())
    trio.run(_live, settings, face)


async def _live(settings: Settings, face: Face | None) -> None:
    with hold_state_dir(settings.state_dir) as owner:
        daemon = _Daemon(settings, owner)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(daemon.watch_signals)
            await nursery.start(daemon.serve_http)
            if face is not None:
                nursery.start_soon(face, daemon.house)
            await daemon.live()
            nursery.cancel_scope.cancel()
    log.info("ended")


class _Daemon:
    """One life of the daemon.

    `_drains` is set once, by whoever ends it first; `_scope` is cancelled when there is nothing to wait
    for, or no time.
    """

    def __init__(self, settings: Settings, owner: str) -> None:
        self._settings = settings
        self._owner = owner
        self._rng = Random()
        self._metrics = Metrics()
        clock = Clock(settings.clock.speed, settings.clock.real_epoch, settings.clock.shown_epoch)
        checks = Checks(clock, self._metrics)
        self._send_broken, self._broken = trio.open_memory_channel[int](settings.allocator.capacity)
        self.house = House(clock, checks, Modes(checks, self._metrics), self._make_allocator())
        self._scope = trio.CancelScope()
        self._drains = trio.Event()
        self._browser_tried = trio.Event()
        self._is_in_doubt = False

    # ── ends ────────────────────────────────────────────────────────────────────────────────────

    async def watch_signals(self) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                self._on_signal(signal.Signals(number).name)

    def _on_signal(self, name: str) -> None:
        if self._drains.is_set():
            log.warning("hurried", by=name)
            self._scope.cancel()
        else:
            self.drain(name)

    def drain(self, who: str) -> None:
        """Begin the end: what runs may finish, nothing new starts."""
        log.info("draining", by=who, deadline_s=self._settings.shutdown_deadline_s)
        self._drains.set()
        self.house.modes.drain()
        if self.house.supervisor is None or self.house.modes.is_starting:
            self._scope.cancel()
        else:
            self.house.supervisor.drain()
            self._scope.deadline = trio.current_time() + self._settings.shutdown_deadline_s

    # ── the life ────────────────────────────────────────────────────────────────────────────────

    async def serve_http(self, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        house, settings = self.house, self._settings.http

        def look() -> tuple[bool, dict[str, object]]:
            return house.modes.is_ready, {
                "mode": house.modes.mode,
                "checks": [
                    {
                        "name": result.name,
                        "state": result.state,
                        "is_critical": result.is_critical,
                        "duration_s": round(result.duration_s, 4),
                        "detail": result.detail,
                        "remedy": result.remedy,
                    }
                    for result in house.checks.results.values()
                ],
            }

        app = make_app(look=look, metrics=self._render_metrics, hosts=[settings.host])
        await serve_http(app, settings.host, settings.port, task_status=task_status)

    async def live(self) -> None:
        """Everything behind HTTP, until drained."""
        settings = self._settings
        store = _SessionTable(self.house)
        with self._scope:
            async with (
                aio.open_bridge(),
                open_pool(
                    settings.browser,
                    state_dir=settings.state_dir,
                    store=store,
                    capacity=settings.allocator.capacity,
                ) as pool,
                trio.open_nursery() as starting,
            ):
                self._add_checks(pool)
                starting.start_soon(self._try_browser)  # beside the database: each takes a while
                async with self._open_database() as database:
                    await self._live_with(database, pool)
        if self._scope.cancelled_caught:
            log.warning("cut_off", reason="the deadline has passed, or a second signal came")

    async def _live_with(self, database: Database, pool: ContextPool) -> None:
        settings = self._settings
        async with open_fence(database, self._owner, settings.database.lease_ttl_s) as fence:
            with self._step("records of the last run"):
                await self._settle_the_past(database, fence)
            tools = self._make_tools(database, pool, fence)
            supervisor = await self._make_supervisor(tools)
            async with trio.open_nursery() as keepers:
                keepers.start_soon(fence.keep, database)
                keepers.start_soon(self._rebuild_slots, pool)
                await keepers.start(self._serve_control)
                await self._open_gate()
                await supervisor.run()
                keepers.cancel_scope.cancel()

    # ── start ───────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        """One step of the start, timed for people."""
        start = trio.current_time()
        yield
        duration_s = trio.current_time() - start
        self.house.steps.append((name, duration_s))
        log.info("started", step=name, duration_s=round(duration_s, 3))

    def _add_checks(self, pool: ContextPool) -> None:
        checks, state_dir = self.house.checks, self._settings.state_dir

        async def browser() -> str:
            await pool.probe()
            return f"{pool.statistics().browser} shows a page"

        checks.add(Check("settings", self._look_at_settings, is_critical=False))
        checks.add(Check("disk", lambda: look_at_disk(state_dir)))
        checks.add(Check(DATABASE, self._look_at_database))
        checks.add(Check(BROWSER, browser, limit_s=self._settings.browser.launch_timeout_s + 10))
        checks.add(Check("jobs", self._look_at_jobs))

    async def _look_at_settings(self) -> str:
        count = len(self._settings.accounts)
        if not count:
            raise SettingsError(
                "no account to post for", remedy="Add accounts to the settings; see docs/sites.md"
            )
        return f"{count} accounts on {len(self._settings.sites)} sites"

    async def _look_at_database(self) -> str:
        if self.house.database is None:
            raise DatabaseUnavailableError("not connected yet")
        await self.house.database.ping()
        found = self.house.database.statistics()
        return f"takes writes; {found.in_use} of {found.max_size} connections in use"

    async def _look_at_jobs(self) -> str:
        supervisor = self.house.supervisor
        if supervisor is None:
            raise ControlError("the jobs have not been set up")
        failed = [name for name, a in supervisor.actors.items() if a.state is ActorState.FAILED]
        return f"{len(supervisor.actors)} jobs{', failed: ' + ', '.join(failed) if failed else ''}"

    async def _try_browser(self) -> None:
        """The browser gets its tries (A1.1); when all fail the daemon starts without it and keeps trying."""
        gate = self._settings.gate
        with self._step(BROWSER):
            rule = RetryRule(gate.attempts - 1, gate.base_s, gate.cap_s)
            await self.house.checks.insist(BROWSER, rule, self._rng)
        self._browser_tried.set()

    @asynccontextmanager
    async def _open_database(self) -> AsyncIterator[Database]:
        settings = self._settings.database
        async with AsyncExitStack() as stack:
            with self._step("database"):
                if settings.dsn is None:
                    server = await stack.enter_async_context(
                        open_embedded(self._settings.state_dir / "postgres")
                    )
                    dsn = server.dsn
                else:
                    dsn = settings.dsn.get_secret_value()
                database = await self._connect(stack, dsn)
            with self._step("migrations"):
                await migrate(database)
            self.house.database = database
            yield database

    async def _connect(self, stack: AsyncExitStack, dsn: str) -> Database:
        """Try for `gate.database_wait_s`; then what can't be reached is a fault that ends the start."""
        give_up_at = trio.current_time() + self._settings.gate.database_wait_s
        for tried in itertools.count(1):
            try:
                return await stack.enter_async_context(open_database(dsn, self._settings.database))
            except DatabaseUnavailableError as error:
                delay_s = CONNECT_DELAY.delay_s(tried, self._rng)
                if trio.current_time() + delay_s > give_up_at:
                    raise
                log.warning("database_unreachable", error=str(error), retry_in_s=round(delay_s, 2))
                await trio.sleep(delay_s)
        raise AssertionError("unreachable")

    async def _settle_the_past(self, database: Database, fence: Fence) -> None:
        """What an earlier daemon did not live to finish."""
        now = self.house.clock.now()
        interrupted = await database.run(runs.interrupt_orphans, fence.number, now)
        recovered = await database.run(posts.recover, fence.number, now)
        if interrupted or recovered.requeued or recovered.ambiguous:
            log.warning(
                "settled_the_past",
                runs_interrupted=interrupted,
                posts_requeued=recovered.requeued,
                posts_ambiguous=recovered.ambiguous,
            )
        self._is_in_doubt = recovered.ambiguous > 0

    def _make_tools(self, database: Database, pool: ContextPool, fence: Fence) -> Tools:
        settings = self._settings
        profiles = {
            name: load_profile(site.profile, base_url=site.base_url) for name, site in settings.sites.items()
        }
        accounts = {
            account.name: Account(
                account,
                SiteAccount(account.name, account.username, account.read_password(), profiles[account.site]),
            )
            for account in settings.accounts
        }
        self.house.scopes = tuple(sorted({account.site for account in settings.accounts}))
        return Tools(
            settings=settings,
            clock=self.house.clock,
            rng=self._rng,
            database=database,
            fence=fence,
            allocator=self.house.allocator,
            pool=pool,
            writer=Writer(settings.content),
            accounts=accounts,
            metrics=self._metrics,
            wake=self._wake,
        )

    async def _make_supervisor(self, tools: Tools) -> Supervisor:
        listed = jobs.with_settings(
            jobs.all_jobs(tools, partial(self._look, tools.pool)), self._settings.jobs
        )
        surroundings = Surroundings(
            clock=self.house.clock,
            rng=self._rng,
            run_log=DatabaseRunLog(tools.database, tools.fence.number),
            why_not=self.house.modes.why_not,
            on_end=self._on_run_end,
        )
        stored = await tools.database.run(runs.histories)
        actors = [Actor(job, surroundings, _history(stored.get(job.name))) for job in listed]
        supervisor = Supervisor(actors, self._metrics, self._rng)
        for name in sorted(await tools.database.run(runs.paused)):
            if name == runs.EVERYTHING:
                supervisor.pause(None)
            elif name in supervisor.actors:
                supervisor.pause(name)
        for job in listed:
            self._metrics.declare_job(job.name)
        self.house.supervisor = supervisor
        if self._is_in_doubt:
            self._wake(reconciliation.NAME, "an earlier daemon left ambiguous posts")
        return supervisor

    async def _serve_control(self, *, task_status: trio.TaskStatus[Path] = trio.TASK_STATUS_IGNORED) -> None:
        settings = self._settings
        path = settings.control.socket or settings.state_dir / "control.sock"
        await serve_control(path, verbs_of(self.house, self.drain), settings.control, task_status=task_status)

    async def _open_gate(self) -> None:
        """Wait until every check has had its tries; then ready or degraded."""
        async with trio.open_nursery() as nursery:
            for name in self.house.checks.results:
                if name != BROWSER:
                    nursery.start_soon(self.house.checks.look, name)
            await self._browser_tried.wait()
        self.house.modes.start()
        self.house.ready_s = trio.current_time() - self.house.started_at
        log.info(str(self.house.modes.mode), after_s=round(self.house.ready_s, 3))

    # ── run ─────────────────────────────────────────────────────────────────────────────────────

    async def _look(self, pool: ContextPool) -> list[CheckResult]:
        """The health monitor's round."""
        house, was = self.house, self.house.modes.mode
        results = await house.checks.look_at_all()
        await figures.measure(self._metrics, house, pool)
        if house.modes.mode is not was:
            log.warning("mode_changed", was=was, mode=house.modes.mode)
        if house.modes.mode is Mode.READY and was is Mode.DEGRADED:
            self._wake_the_skipped()
        return results

    def _wake_the_skipped(self) -> None:
        assert self.house.supervisor is not None
        for name, actor in self.house.supervisor.actors.items():
            last = actor.history.last
            if last is not None and last.outcome.ending is Ending.SKIPPED:
                self._wake(name, "the house has recovered")

    def _wake(self, job: str, reason: str) -> None:
        if self.house.supervisor is not None:
            self.house.supervisor.wake(job, reason)

    async def _rebuild_slots(self, pool: ContextPool) -> None:
        async with trio.open_nursery() as nursery:
            async for slot in self._broken:
                nursery.start_soon(self._rebuild, pool, slot)

    async def _rebuild(self, pool: ContextPool, slot: int) -> None:
        for tried in itertools.count(1):
            try:
                await pool.rebuild(slot)
                break
            except BrowserError as error:
                delay_s = REBUILD_DELAY.delay_s(min(tried, 10), self._rng)
                log.warning("slot_not_rebuilt", slot=slot, error=str(error), retry_in_s=round(delay_s, 2))
                await trio.sleep(delay_s)
        self.house.allocator.mend(slot)
        log.info("slot_rebuilt", slot=slot)

    def _make_allocator(self) -> Allocator:
        return Allocator(
            self._settings.allocator,
            on_grant=partial(figures.lease_granted, self._metrics),
            on_end=partial(figures.lease_ended, self._metrics),
            on_broken=self._send_broken.send_nowait,
        )

    def _on_run_end(self, job: Job, outcome: Outcome, duration_s: float) -> None:
        figures.run_ended(self._metrics, self.house, job, outcome, duration_s)
        if self.house.supervisor is not None:
            self.house.supervisor.job_ended(job.name, outcome)

    def _render_metrics(self) -> bytes:
        figures.observe(self._metrics, self.house)
        return self._metrics.render()


class _SessionTable:
    """The pool's store of sign-in states: the database, once there is one."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def load(self, account: str) -> bytes | None:
        return await self._database.run(sessions.load, account)

    async def save(self, account: str, state: bytes) -> None:
        await self._database.run(sessions.save, account, state, self._house.clock.now())

    @property
    def _database(self) -> Database:
        if self._house.database is None:
            raise DatabaseUnavailableError("not connected yet")
        return self._house.database


def _history(stored: StoredHistory | None) -> History:
    if stored is None:
        return History()
    last = None
    if stored.outcome is not None and stored.started_at is not None and stored.finished_at is not None:
        duration_s = (stored.finished_at - stored.started_at).total_seconds()
        last = LastRun(stored.outcome, stored.started_at, duration_s)
    return History(last, stored.started_at, stored.last_success_at, stored.endings)
