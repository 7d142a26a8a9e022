"""Builds and wires the house, in which `start` has put the pool of contexts: gate, run, drain.

The order of a life: answer on HTTP and on the control socket → database and browser side by side → take
the fence, settle what an earlier daemon left → gate → actors → drain → close all in the reverse order.
"""

import itertools
import math
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from urllib.parse import quote

import structlog
import trio
from pydantic import SecretStr

from orchestrator import jobs, wiring
from orchestrator.actors.actor import Surroundings
from orchestrator.actors.history import SUCCESSES
from orchestrator.actors.job import Job
from orchestrator.actors.runlog import DatabaseRunLog
from orchestrator.actors.supervisor import Supervisor
from orchestrator.alerts.desk import Desk
from orchestrator.alerts.parties import destination_parties
from orchestrator.alerts.sender import open_senders
from orchestrator.allocator import Allocator, Lease, LeaseEnd
from orchestrator.breaker import Transition
from orchestrator.breakers import ADMITTING, Breakers, Probe
from orchestrator.browser.pool import ContextPool
from orchestrator.cache.parts import cache_parties, make_cache
from orchestrator.clock import Clock
from orchestrator.content.feeds import Feeds, feed_parties
from orchestrator.content.writer import Writer
from orchestrator.control.accounts import orders_of
from orchestrator.control.server import serve_control
from orchestrator.control.verbs import asker, verbs_of
from orchestrator.db import accounts as account_records
from orchestrator.db import moment
from orchestrator.db.fence import Fence, open_fence
from orchestrator.db.migrate import migrate
from orchestrator.db.pool import Database, Observer
from orchestrator.db.sessions import SessionTable
from orchestrator.errors import (
    ControlError,
    DatabaseError,
    DatabaseUnavailableError,
    OrchestratorError,
    ReplyImpossibleError,
    SettingsError,
)
from orchestrator.health import figures, machine
from orchestrator.health.checks import RECHECK_S, Check, Checks, Disk
from orchestrator.health.claims import claims
from orchestrator.health.keeper import MemoryKeeper
from orchestrator.health.modes import BROWSER, DATABASE, Modes
from orchestrator.health.problems import OF_POSTS
from orchestrator.health.status import House, read_problems, usage
from orchestrator.jobs import OwnJob, alert_delivery, reconciliation
from orchestrator.jobs.accounts import Accounts
from orchestrator.jobs.alert_delivery import AlertTools
from orchestrator.jobs.health import Health
from orchestrator.jobs.registry import Registry
from orchestrator.jobs.roster import conditions, roster
from orchestrator.jobs.standing import Standing
from orchestrator.jobs.tools import Tools
from orchestrator.keys import read_keys
from orchestrator.learning import cached
from orchestrator.llm.model import Books, open_model
from orchestrator.metrics import Metrics
from orchestrator.model import CheckResult, Ending, Outcome
from orchestrator.retry import RetryRule
from orchestrator.service.manager import CONTROL, Manager
from orchestrator.service.reload import Reload
from orchestrator.service.reload import follow as follow_reloads
from orchestrator.service.report import Report
from orchestrator.settings import JobSettings, Settings
from orchestrator.settings.cache import CACHE
from orchestrator.settings.live import Reread
from orchestrator.settings.llm import LANGUAGE_MODEL
from orchestrator.sites.breakers import site_parties
from orchestrator.sites.profile import Profile
from orchestrator.sites.session import SignInWatch, look_at_site, open_site
from orchestrator.state import read_token
from orchestrator.web.api import allowed_hosts, is_host_allowed, make_app
from orchestrator.web.feed import connection as feed_connection
from orchestrator.web.feed.connection import Gate
from orchestrator.web.feed.feed import Feed
from orchestrator.web.feed.look import Look
from orchestrator.web.feed.timeline import Timeline
from orchestrator.web.guard import Token, is_open_to_read
from orchestrator.web.serve import Upgrade, serve_http
from orchestrator.web.v1.routes import make_routes

PROBLEMS_EVERY_S = 30.0
"""Between two looks at all problems, which also begin at once when a check or a job fails."""
REBUILD_DELAY = RetryRule(retries=0, base_s=0.2, cap_s=10.0)
"""Between two tries to rebuild a broken slot; there is no last one."""
log = structlog.get_logger("app")

Change = tuple[Transition, Collection[str]]
"""A breaker's change, and the jobs that may come back."""

Timed = Callable[[Mapping[str, JobSettings]], list[Job]]
"""Makes the jobs as their settings want them."""

Face = Callable[[House], Awaitable[None]]
"""Something that shows the house while it lives; cancelled at the end."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """What `start` has made before the house is built."""

    settings: Settings
    clock: Clock
    owner: str
    """The daemon's name, which goes with its state directory."""
    pool: ContextPool
    sessions: SessionTable
    started_at: float
    """In seconds of trio's clock."""
    signals: trio.MemoryReceiveChannel[int]
    """SIGTERM and SIGINT, also those that came before the house was built."""
    hide: Callable[[SecretStr], None]
    """Keeps a secret out of the log, and out of what `redact` returns, from now on."""
    redact: Callable[[str], str] = str
    """A text without the secrets that are known by now."""
    manager: Manager = Manager()
    """Who started us, and wants to be told how we are."""
    reread: Reread | None = None
    """None: SIGHUP ends us."""
    more_jobs: Sequence[OwnJob] = ()
    """Jobs besides those of the house and of installed packages."""


async def live(beginning: Beginning, face: Face | None) -> None:
    """Live until SIGTERM or SIGINT. Raises an OrchestratorError, alone or in an exception group."""
    daemon = _Daemon(beginning)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(daemon.watch_signals)
        port = await nursery.start(daemon.serve_http)
        host = beginning.settings.http.host
        daemon.house.links["health"] = f"http://{_in_url(host)}:{port}/readyz"
        daemon.house.page = (
            f"http://{_in_url(host)}:{port}/#token={quote(daemon.secret.get_secret_value(), safe='')}"
        )
        await nursery.start(daemon.serve_control)
        if daemon.report is not None:
            nursery.start_soon(daemon.report.run)
        if face is not None:
            nursery.start_soon(face, daemon.house)
        await daemon.live()
        nursery.cancel_scope.cancel()


def _is_in_terminal() -> bool:
    """Whether a SIGHUP comes from a terminal that is being closed."""
    return sys.stdin is not None and sys.stdin.isatty()


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_reference(accounts: Accounts, name: str, text: str) -> bool:
    """Whether `text` can be the site's name of a post; of an account that is not there nobody knows."""
    account = accounts.here.get(name)
    return account is None or account.site.profile.is_reference(text)


def _check_reply(accounts: Accounts, name: str, target: str, text: str) -> None:
    """Raises ReplyImpossibleError when the account can't answer that post with that text."""
    account = accounts.here.get(name)
    if account is None:
        raise ReplyImpossibleError(f"{name} can't be used now", remedy="See: orchestrator ctl accounts")
    account.check_reply(target, text)


def _address_of(accounts: Accounts, name: str, reference: str) -> str | None:
    """Where people see a post; None of an account that is not there."""
    account = accounts.here.get(name)
    if account is None:
        return None
    profile = account.site.profile
    return profile.url(profile.post.path, reference=reference)


class _Daemon:
    """One life of the daemon.

    `_drains` is set once, by whoever ends it first; `_scope` is cancelled when there is nothing to wait
    for, or no time.
    """

    def __init__(self, beginning: Beginning) -> None:
        self._settings = beginning.settings
        self._owner = beginning.owner
        self._pool = beginning.pool
        self._sessions = beginning.sessions
        self._signals = beginning.signals
        self._hide = beginning.hide
        self.secret = self._read_token()
        self._token = Token(self.secret.get_secret_value())
        self._more_jobs = beginning.more_jobs
        self._sockets = beginning.manager.sockets
        self._rng = Random()
        self._metrics = Metrics()
        self._timeline = Timeline()
        clock, capacity = beginning.clock, beginning.settings.allocator.capacity
        self._redact = beginning.redact
        checks = Checks(clock, self._metrics, self._redact)
        self._send_broken, self._broken = trio.open_memory_channel[int](capacity + 1)  # the keeper adds one
        self._send_change, self._changes = trio.open_memory_channel[Change](math.inf)
        self._breakers = Breakers(
            rng=self._rng,
            metrics=self._metrics,
            on_change=lambda *change: self._send_change.send_nowait(change),
            on_add=self._add_breaker_check,
        )
        cache = make_cache(self._settings, self._breakers, clock, self._metrics)
        self.house = House(clock, checks, Modes(checks, self._metrics), self._make_allocator(), cache)
        self.house.started_at = beginning.started_at
        self.house.breakers = self._breakers
        notifier = beginning.manager.notifier
        self.report = Report(self.house, notifier) if notifier is not None else None
        self._reread = beginning.reread
        self._send_reload, self._reloads = trio.open_memory_channel[None](1)
        self._adopter: Callable[[Settings], Awaitable[None]]
        self._senders = open_senders(beginning.settings.alerts)
        self._is_problem_new = trio.Event()
        self._keeper = MemoryKeeper(
            self._settings, self.house, self._pool, self._metrics, on_calmer=self._on_calmer
        )
        self._scope = trio.CancelScope()
        self._drains = trio.Event()
        self._browser_tried = trio.Event()
        self._mode = self.house.modes.mode
        self._down: set[str] = set()

    def _read_token(self) -> SecretStr:
        """What the HTTP API wants to be shown. Raises SettingsError and StateDirectoryError."""
        secret = self._settings.api.read_token() or SecretStr(read_token(self._settings.state_dir))
        self._hide(secret)
        return secret

    # ── ends ────────────────────────────────────────────────────────────────────────────────────

    async def watch_signals(self) -> None:
        async for number in self._signals:
            if number == signal.SIGHUP and self._reread is not None and not _is_in_terminal():
                with suppress(trio.WouldBlock):  # several at once are one, and so are those of the start
                    self._send_reload.send_nowait(None)
            else:
                self._on_signal(signal.Signals(number).name)

    def _on_signal(self, name: str) -> None:
        if self._drains.is_set():
            log.warning("hurried", by=name)
            self._scope.cancel()
        else:
            self.drain(name)

    def drain(self, who: str) -> None:
        """Begin the end: what runs may finish, nothing new starts."""
        if self._drains.is_set():
            return  # asked twice: the deadline stays
        log.info("draining", by=who, deadline_s=self._settings.shutdown_deadline_s)
        self._drains.set()
        self.house.modes.drain()
        self._tell_manager()
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
                "note": house.note,
                "memory": {f"{part}_bytes": size for part, size in house.memory.items()},
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

        hosts = [_in_url(settings.host), *settings.allowed_hosts]
        ask = asker(verbs_of(house, self.drain), "api")
        is_open = is_open_to_read(settings.host, settings.allowed_hosts)
        routes = make_routes(house, ask, self._token, is_open_to_read=is_open)
        app = make_app(
            look=look, weigh=lambda: usage(house), metrics=self._render_metrics, hosts=hosts, more=routes
        )
        feed = Feed(Look(house, self._timeline, ask), self._metrics)
        gate = Gate(feed, self._token, partial(is_host_allowed, hosts=allowed_hosts(hosts)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed.run)
            await serve_http(
                app,
                settings.host,
                settings.port,
                on_count=partial(house.count_clients, "http"),
                upgrade=Upgrade(feed_connection.PATH, gate.serve),
                task_status=task_status,
            )

    async def live(self) -> None:
        """Everything behind HTTP, until drained."""
        profiles = wiring.make_profiles(self._settings)
        accounts = wiring.make_accounts(self._settings, profiles)
        wiring.check_jobs(self._settings, self._more_jobs)
        with self._scope:
            async with trio.open_nursery() as starting:
                self._add_checks()
                self._add_sites(profiles)
                self._add_destinations(starting)
                self._add_cache()
                for party in feed_parties(self._settings):
                    self._breakers.add(party)
                starting.start_soon(self._try_browser)  # beside the database: each takes a while
                async with self._open_database() as database:
                    await self._live_with(database, profiles, accounts)
        if self._scope.cancelled_caught and not self.house.modes.is_starting:
            log.warning("cut_off", reason="the deadline has passed, or a second signal came")

    async def _live_with(
        self, database: Database, profiles: Mapping[str, Profile], accounts: Accounts
    ) -> None:
        settings = self._settings
        ttl_s = settings.database.lease_ttl_s
        async with (
            open_fence(database, self._owner, ttl_s, self._note) as fence,
            self._open_model(database, fence),
            trio.open_nursery() as keepers,
        ):
            keepers.start_soon(fence.keep, database)
            keepers.start_soon(database.watch_locks)
            self._note("")
            await keepers.start(self.house.cache.run)
            with self._step("migrations"):
                await migrate(database)
            with self._step("records"):
                is_in_doubt = await wiring.settle_the_past(database, fence, self.house.clock.now())
                tools = await self._make_tools(database, fence, accounts)
                registry = await self._open_registry(tools, profiles)
                supervisor = await self._make_supervisor(tools)
            if is_in_doubt:
                supervisor.wake(reconciliation.NAME, "an earlier daemon left ambiguous posts")
            keepers.start_soon(self._rebuild_slots)
            keepers.start_soon(registry.see_off)
            await self._open_gate()
            if self._reread is not None:
                self.house.reload = Reload(settings, self._reread.read, self._adopter, self.report).run
                keepers.start_soon(follow_reloads, self._reloads, self.house.reload)
            keepers.start_soon(self.house.checks.watch_for_recovery, self._follow_mode)
            keepers.start_soon(self._follow_database, database)
            keepers.start_soon(self._follow_breakers)
            keepers.start_soon(self._breakers.run)
            keepers.start_soon(self._follow_problems)
            await supervisor.run()
            await self._pool.save_sign_ins()
            keepers.cancel_scope.cancel()

    # ── start ───────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _step(self, name: str, start: float | None = None) -> Iterator[None]:
        """One step of the start, timed for people; `start` when it has begun before."""
        start = trio.current_time() if start is None else start
        yield
        duration_s = trio.current_time() - start
        self.house.steps.append((name, duration_s))
        log.info("started", step=name, duration_s=round(duration_s, 3))

    def _add_checks(self) -> None:
        pool, checks, disk = self._pool, self.house.checks, Disk(self._settings.state_dir)

        async def browser() -> str:
            await pool.probe()
            return f"{pool.statistics().browser} shows a page"

        checks.add(Check("settings", self._look_at_settings, is_critical=False))
        checks.add(Check("disk", disk.probe))
        checks.add(Check("files", machine.look_at_files, is_critical=False))
        checks.add(Check("shared_memory", machine.look_at_shared_memory, is_critical=False))
        checks.add(Check("clock", self._look_at_clock, is_critical=False))
        checks.add(Check(DATABASE, self._look_at_database))
        checks.add(Check(BROWSER, browser, limit_s=self._settings.browser.launch_timeout_s + 10))
        checks.add(Check("jobs", self._look_at_jobs))

    def _add_breaker_check(self, name: str) -> None:
        """The check that shows a breaker: not a critical one, since we are well."""

        async def look() -> str:
            return self._breakers.look(name)

        self.house.checks.add(Check(name, look, is_critical=False))

    def _add_sites(self, profiles: Mapping[str, Profile]) -> None:
        """A breaker for each site."""

        def probe_of(site: str) -> Probe:
            return partial(look_at_site, self._pool, profiles[site])

        parties = site_parties(self._settings, probe_of)
        for party in parties:
            self._breakers.add(party)
        self.house.modes.sites = tuple(party.name for party in parties)

    def _add_destinations(self, nursery: trio.Nursery) -> None:
        """A breaker for each destination of alerts; an address that is wrong ends the start."""
        for party in destination_parties(self._settings):
            self._breakers.add(party)
        for name, sender in self._senders.items():
            self._metrics.declare_destination(name)
            nursery.start_soon(sender.check)

    def _add_cache(self) -> None:
        """A breaker for the cache's server, if there is one, and the series of what is cached here."""
        for party in cache_parties(self._settings, self.house.cache):
            self._breakers.add(party)
        self.house.cache.declare(*cached.NAMESPACES)

    async def _look_at_settings(self) -> str:
        count = len(self.house.accounts) - len(self.house.off)
        if not count:
            remedy = "Add one: orchestrator ctl accounts add; see docs/accounts.md"
            raise SettingsError("no account to post for", remedy=remedy)
        return f"{count} accounts on {len(self._settings.sites)} sites"

    async def _look_at_database(self) -> str:
        if self.house.database is None:
            raise DatabaseUnavailableError("not connected yet")
        await wiring.ping(self.house.database, self._settings)
        if self.house.fence is not None:
            self.house.fence.check()
        found = self.house.database.statistics()
        return f"takes writes; {found.in_use} of {found.max_size} connections in use"

    async def _look_at_clock(self) -> str:
        database = self.house.database
        if database is None or self.house.checks.is_down(DATABASE):
            return machine.judge_clock(machine.now(), None)
        try:
            theirs = await database.run(moment.read, read_only=True)
        except DatabaseError:  # its own check says why
            return machine.judge_clock(machine.now(), None)
        return machine.judge_clock(machine.now(), theirs)

    async def _look_at_jobs(self) -> str:
        supervisor = self.house.supervisor
        if supervisor is None:
            raise ControlError("the jobs have not been set up")
        return supervisor.look()

    async def _try_browser(self) -> None:
        """The browser gets its tries (A1.1); when all fail the daemon starts without it and keeps trying."""
        gate = self._settings.gate
        with self._step(BROWSER, self.house.started_at):  # when its launch began
            rule = RetryRule(gate.attempts - 1, gate.base_s, gate.cap_s)
            await self.house.checks.insist(BROWSER, rule, self._rng)
        self._browser_tried.set()

    @asynccontextmanager
    async def _open_database(self) -> AsyncIterator[Database]:
        async with AsyncExitStack() as stack:
            with self._step("database"):
                observer = Observer(self._metrics.db_wait.observe, self._metrics.db_query.observe)
                opening = wiring.open_storage(self._settings, self._rng, observer)
                database = await stack.enter_async_context(opening)
            self.house.database = self._sessions.database = database
            try:
                yield database
            finally:
                self.house.database = self._sessions.database = None

    @asynccontextmanager
    async def _open_model(self, database: Database, fence: Fence) -> AsyncIterator[None]:
        """The language model, if the settings name one."""

        def running() -> list[str]:
            return self.house.supervisor.running if self.house.supervisor is not None else []

        books = Books(database, fence, self.house.clock)
        async with open_model(self._settings, books, self._breakers, self._metrics, running) as model:
            self.house.model = model
            if model is not None:
                self.house.checks.add(Check(f"{LANGUAGE_MODEL}_account", model.look, is_critical=False))
            yield

    async def _make_tools(self, database: Database, fence: Fence, accounts: Accounts) -> Tools:
        house, settings = self.house, self._settings
        house.fence, house.settle_s = fence, settings.posting.settle_s
        house.is_reference = partial(_is_reference, accounts)
        house.address_of = partial(_address_of, accounts)
        house.check_reply = partial(_check_reply, accounts)
        house.replies_need_approval = settings.posting.replies_need_approval
        await wiring.restore_orders(self._breakers, database)
        health = Health()
        health.recall(await database.run(account_records.marks))
        least = settings.upkeep.min_health
        standing = Standing(database, house.clock, fence, accounts, health, least)
        watch = SignInWatch(standing.before_sign_in, standing.after_sign_in)
        tools = Tools(
            settings=settings,
            clock=house.clock,
            rng=self._rng,
            database=database,
            fence=fence,
            allocator=house.allocator,
            open_site=partial(open_site, self._pool, watch=watch),
            writer=Writer(settings.content),
            accounts=accounts,
            breakers=self._breakers,
            metrics=self._metrics,
            cache=house.cache,
            wake=self._wake,
            model=house.model,
            feeds=Feeds(settings.content.feeds, self._breakers, settings.content.max_chars),
            health=health,
            sweep_contexts=partial(self._pool.sweep, settings.upkeep.idle_s, settings.upkeep.max_open),
        )
        house.roster, house.conditions = partial(roster, tools), partial(conditions, tools)
        house.min_health = least
        return tools

    async def _open_registry(self, tools: Tools, profiles: Mapping[str, Profile]) -> Registry:
        """The accounts of the settings, and those that people have added or switched off."""

        def on_change() -> None:
            house, accounts = self.house, tools.accounts
            house.accounts = (*accounts.here, *accounts.unusable)
            house.off = frozenset(house.accounts) - frozenset(accounts)
            house.site_of = {name: account.settings.site for name, account in accounts.here.items()}
            house.scopes = tuple(sorted({*house.site_of.values()}))

        keys = read_keys(self._settings.browser, self._settings.state_dir)
        for word in keys.words:
            self._hide(SecretStr(word))
        registry = Registry(tools, profiles, keys.fernet, self._hide, on_change, self._pool.forget)
        await registry.load()
        self.house.account_orders = orders_of(registry)
        return registry

    async def _make_supervisor(self, tools: Tools) -> Supervisor:
        house, settings = self.house, self._settings
        database, fence = tools.database, tools.fence
        await tools.recall_patience()
        await tools.expect_posts()
        surroundings = Surroundings(
            clock=house.clock,
            rng=self._rng,
            run_log=DatabaseRunLog(database, fence.number),
            why_not=house.why_not,
            on_end=self._on_run_end,
            open_window=tools.windows.open_at,
            redact=self._redact,
        )
        desk = Desk(settings.alerts, house.clock, self._rng, self._metrics, database, fence)
        await desk.load()
        house.alerts = desk
        alerts = AlertTools(desk, self._senders, self._breakers, self._metrics)
        every = jobs.all_jobs(tools, self._look, self._keeper.look, alerts, self._more_jobs)
        house.switched_off = wiring.switched_off(every, settings)
        off = [off.job.name for off in house.switched_off]
        listed = jobs.with_settings(every, settings.jobs, off)
        self._adopter = partial(self._adopt, tools, desk, partial(jobs.with_settings, every, without=off))
        house.supervisor = await wiring.make_supervisor(listed, surroundings, database, self._metrics)
        return house.supervisor

    async def serve_control(self, *, task_status: trio.TaskStatus[Path] = trio.TASK_STATUS_IGNORED) -> None:
        settings = self._settings
        path = settings.control.socket or settings.state_dir / "control.sock"
        await serve_control(
            path,
            verbs_of(self.house, self.drain),
            settings.control,
            on_count=partial(self.house.count_clients, "control"),
            handed=self._sockets.get(CONTROL),
            task_status=task_status,
        )

    async def _open_gate(self) -> None:
        """Wait until every check has had its tries; then ready or degraded."""
        async with trio.open_nursery() as nursery:
            for name in self.house.checks.results:
                if name != BROWSER:
                    nursery.start_soon(self.house.checks.look, name)
            await self._browser_tried.wait()
        self.house.modes.start()
        self._mode = self.house.modes.mode
        self._down = {result.name for result in self.house.checks.down}
        self._slow_down()
        self.house.ready_s = trio.current_time() - self.house.started_at
        log.info(str(self.house.modes.mode), after_s=round(self.house.ready_s, 3))
        self._tell_manager()

    # ── run ─────────────────────────────────────────────────────────────────────────────────────

    async def _look(self) -> list[CheckResult]:
        """The health monitor's round."""
        results = await self.house.checks.look_at_all()
        await figures.measure(self._metrics, self.house)
        self._follow_mode()
        return results

    def _follow_mode(self) -> None:
        was, self._mode = self._mode, self.house.modes.mode
        if self._mode is not was:
            log.warning("mode_changed", was=was, mode=self._mode)
            self.house.modes.publish()
            self._tell_manager()
        were_down, self._down = self._down, {result.name for result in self.house.checks.down}
        if were_down != self._down:
            self._is_problem_new.set()
            self._slow_down()
        if recovered := were_down - self._down:
            self._wake_the_unlucky(has_database=DATABASE in recovered)

    def _slow_down(self) -> None:
        """Without the cache more is asked of the database: what can wait asks less often (A1.3)."""
        assert self.house.supervisor is not None
        self.house.supervisor.slow_down("the cache's server is away" if CACHE in self._down else "")

    def _on_calmer(self) -> None:
        """Memory is less short: whoever was skipped for it has his turn."""
        self._wake_the_unlucky(has_database=False)

    def _wake_the_unlucky(self, *, has_database: bool) -> None:
        """Whoever was skipped has his turn, and when the database is back also who may have failed for it."""
        assert self.house.supervisor is not None
        for name, actor in self.house.supervisor.actors.items():
            ending = actor.history.last and actor.history.last.outcome.ending
            has_failed = has_database and actor.job.needs_database and ending is Ending.GIVEN_UP
            if ending is Ending.SKIPPED or has_failed:
                self._wake(name, "the house has recovered")

    async def _follow_database(self, database: Database) -> None:
        """Look at the database as soon as anybody could not use it."""
        while True:
            await database.doubted()
            if not self.house.checks.is_down(DATABASE):  # else it is being looked at
                await self.house.checks.look(DATABASE)
                self._follow_mode()
            await trio.sleep(RECHECK_S)

    async def _follow_breakers(self) -> None:
        """What follows from a breaker's change: mode, problem, jobs that may have their turn again."""
        async for change, may_come in self._changes:
            await self.house.checks.look(change.breaker)
            is_site = change.new in ADMITTING and change.breaker in self.house.modes.sites
            for job in sorted({*may_come, *(self._unlucky() if is_site else ())}):
                self._wake(job, f"{change.breaker} may be asked again")
            self._follow_mode()

    def _unlucky(self) -> list[str]:
        """The jobs whose last run on sites came to nothing, maybe in an earlier life of the daemon."""
        assert self.house.supervisor is not None
        return [
            name
            for name, actor in self.house.supervisor.actors.items()
            if actor.job.uses_browser
            and actor.history.last is not None
            and actor.history.last.outcome.ending not in SUCCESSES
        ]

    async def _follow_problems(self) -> None:
        """Raise and clear alerts as problems come and go, those too that only time makes."""
        assert self.house.alerts is not None
        while True:
            with trio.move_on_after(PROBLEMS_EVERY_S):
                await self._is_problem_new.wait()
            self._is_problem_new = trio.Event()
            if not self._drains.is_set():  # what ends now is not wrong
                found, is_all = await read_problems(self.house)
                claimed = claims(found, self.house.clock, self._settings.alerts)
                await self.house.alerts.note(claimed, unknown=() if is_all else OF_POSTS)
                if self.house.alerts.is_due():
                    self._wake(alert_delivery.NAME, "there is something to tell")
            await trio.sleep(1)  # many changes at once are one message

    async def _adopt(self, tools: Tools, desk: Desk, timed: Timed, settings: Settings) -> None:
        """Put settings into effect, of which only those differ that are live. Raises SettingsError."""
        senders = open_senders(settings.alerts)
        for sender in senders.values():
            await sender.check()
        listed = timed(settings.jobs)
        assert self._reread is not None
        self._reread.relog(settings)
        # Nothing fails from here on.
        self._settings = tools.settings = settings
        self.house.settle_s = settings.posting.settle_s
        self.house.replies_need_approval = settings.posting.replies_need_approval
        for party in destination_parties(settings):
            if party.name not in self._breakers.names:
                self._breakers.add(party)
        for name in senders:
            self._metrics.declare_destination(name)
        self._senders.update(senders)
        desk.adopt(settings.alerts)
        assert self.house.supervisor is not None
        for job in listed:
            self.house.supervisor.retime(job)
        self._is_problem_new.set()

    def _note(self, note: str) -> None:
        self.house.note = note
        self._tell_manager()

    def _tell_manager(self) -> None:
        if self.report is not None:
            self.report.nudge()

    def _wake(self, job: str, reason: str) -> None:
        if self.house.supervisor is not None:
            self.house.supervisor.wake(job, reason)

    async def _rebuild_slots(self) -> None:
        async with trio.open_nursery() as nursery:
            async for slot in self._broken:
                nursery.start_soon(self._rebuild, slot)

    async def _rebuild(self, slot: int) -> None:
        for tried in itertools.count(1):
            try:
                await self._pool.rebuild(slot)
                break
            except OrchestratorError as error:
                delay_s = REBUILD_DELAY.delay_s(min(tried, 10), self._rng)
                log.warning("slot_not_rebuilt", slot=slot, error=str(error), retry_in_s=round(delay_s, 2))
                await trio.sleep(delay_s)
        self.house.allocator.mend(slot)
        log.info("slot_rebuilt", slot=slot)

    def _make_allocator(self) -> Allocator:
        return Allocator(
            self._settings.allocator,
            on_grant=partial(figures.lease_granted, self._metrics),
            on_call_back=partial(figures.lease_called_back, self._metrics),
            on_end=self._on_lease_end,
            on_broken=self._send_broken.send_nowait,
        )

    def _on_lease_end(self, lease: Lease, end: LeaseEnd) -> None:
        figures.lease_ended(self._metrics, lease, end)
        self._timeline.note(lease, end, trio.current_time())

    def _on_run_end(self, job: Job, outcome: Outcome, duration_s: float) -> None:
        figures.run_ended(self._metrics, job, outcome, duration_s)
        if self.house.supervisor is not None:
            self.house.supervisor.job_ended(job.name, outcome)
        if outcome.ending is Ending.GIVEN_UP:
            self._is_problem_new.set()

    def _render_metrics(self) -> bytes:
        figures.observe(self._metrics, self.house)
        return self._metrics.render()
