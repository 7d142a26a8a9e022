"""Builds the parts of the house out of the settings: database, accounts, tools, actors."""

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random

import structlog
import trio

from orchestrator import crash, jobs
from orchestrator.actors.actor import Actor, Surroundings
from orchestrator.actors.graph import downstream_of
from orchestrator.actors.history import History, LastRun
from orchestrator.actors.job import Job
from orchestrator.actors.supervisor import Supervisor
from orchestrator.allocator import Lane, why_no_promise
from orchestrator.breakers import Breakers
from orchestrator.browser.pool import END_OF_USE_S
from orchestrator.clock import Clock
from orchestrator.crash import Step
from orchestrator.db import breakers as kept_orders
from orchestrator.db import doubts, runs, spending
from orchestrator.db.embedded import open_embedded
from orchestrator.db.fence import Fence
from orchestrator.db.migrate import check_fit
from orchestrator.db.pool import Database, Observer, open_database
from orchestrator.db.posts import Stamp
from orchestrator.db.runs import StoredHistory, StoredRun
from orchestrator.errors import DatabaseUnavailableError, SettingsError, StateDirectoryError
from orchestrator.health.status import SwitchedOff
from orchestrator.jobs import OwnJob, reconciliation, reply_posting
from orchestrator.jobs.accounts import Accounts
from orchestrator.jobs.registry import make_account
from orchestrator.metrics import Metrics
from orchestrator.retry import RetryRule
from orchestrator.settings import Settings
from orchestrator.settings.address import shown_address
from orchestrator.sites.profile import Profile, load_profile
from orchestrator.state import read_clock

CONNECT_DELAY = RetryRule(retries=0, base_s=0.2, cap_s=5.0)
"""Between two tries to reach the database at start."""

log = structlog.get_logger("app")


@asynccontextmanager
async def open_storage(
    settings: Settings, rng: Random, observer: Observer | None = None
) -> AsyncIterator[Database]:
    """The server that the settings name, or our own, connected.

    A server that can't be reached is tried for `gate.database_wait_s`, then DatabaseUnavailableError is
    raised; one that refuses us raises DatabaseRefusedError at once, and one that we can't work on
    DatabaseUnfitError.
    """
    place = _database_place(settings)
    async with _server(settings) as dsn, open_database(dsn, settings.database, place, observer) as database:
        await _reach(database, settings, rng)
        await check_fit(database)
        yield database


def _database_place(settings: Settings) -> str:
    """Where the user's database is, and which source says so; empty for our own."""
    if settings.database.dsn is None:
        return ""
    address = shown_address(settings.database.dsn.get_secret_value())
    return f"{address}; database.dsn {settings.source('database', 'dsn')}"


@asynccontextmanager
async def _server(settings: Settings) -> AsyncIterator[str]:
    if settings.database.dsn is not None:
        yield settings.database.dsn.get_secret_value()
    else:
        async with open_embedded(settings.state_dir / "postgres") as server:
            yield server.dsn


async def _reach(database: Database, settings: Settings, rng: Random) -> None:
    wait_s = settings.gate.database_wait_s
    give_up_at = trio.current_time() + wait_s
    for tried in itertools.count(1):
        try:
            await ping(database, settings)
            return
        except DatabaseUnavailableError as error:
            delay_s = CONNECT_DELAY.delay_s(tried, rng)
            if trio.current_time() + delay_s > give_up_at:
                text = f"{error} (tried for {wait_s:g} s)"
                raise DatabaseUnavailableError(text, remedy=error.remedy) from error
            log.warning("database_unreachable", error=str(error), retry_in_s=round(delay_s, 2))
        await trio.sleep(delay_s)


async def ping(database: Database, settings: Settings) -> None:
    """Check that the database takes writes now. Raises what `Database.ping` does, always with a remedy."""
    try:
        await database.ping()
    except DatabaseUnavailableError as error:
        if error.remedy:
            raise
        raise DatabaseUnavailableError(str(error), remedy=_remedy(settings)) from error


def _remedy(settings: Settings) -> str:
    if settings.database.dsn is not None:
        return "Start the server, or correct database.dsn"
    log_file = settings.state_dir / "postgres/postgres.log"
    return f"It is started again by itself; if that fails, {log_file} says why"


async def settle_the_past(database: Database, fence: Fence, now: datetime) -> bool:
    """Close what an earlier daemon did not live to finish; whether posts were left in doubt."""
    with crash.around(Step.SETTLE_PAST):
        interrupted = await database.run(runs.interrupt_orphans, fence.number, now)
        recovered = await database.run(doubts.recover, Stamp(fence.number, now))
        spent = await database.run(spending.settle_orphans, fence.number, now)
    if interrupted or recovered.requeued or recovered.ambiguous or spent:
        log.warning(
            "settled_the_past",
            runs_interrupted=interrupted,
            posts_requeued=recovered.requeued,
            posts_ambiguous=recovered.ambiguous,
            model_calls_counted_as_spent=spent,
        )
    return recovered.ambiguous > 0


def make_profiles(settings: Settings) -> dict[str, Profile]:
    """The sites' profiles by the sites' names. Raises ProfileError."""
    return {
        name: load_profile(site.profile, site.base_url, settings.browser.visit_timeout_s)
        for name, site in settings.sites.items()
    }


def make_accounts(settings: Settings, profiles: Mapping[str, Profile]) -> Accounts:
    """The settings' accounts. Raises SettingsError (a password file that can't be read)."""
    return Accounts({one.name: make_account(one, profiles[one.site]) for one in settings.accounts})


def clock_of_record(settings: Settings) -> tuple[Clock, datetime | None]:
    """The clock that runs were recorded by, and the moment from which that is so; None: always.

    Raises StateDirectoryError for runs of a demo of which nobody knows how fast its clock ran.
    """
    mark = read_clock(settings.state_dir)
    if mark is None:
        return Clock(settings.clock.speed, settings.clock.real_epoch, settings.clock.shown_epoch), None
    if mark.speed is None:
        raise StateDirectoryError(
            f"{settings.state_dir} is a demo's, and does not say how fast the clock of its runs was",
            remedy="Start the demo there once more, or name a file with jobs (--jobs)",
        )
    return Clock(mark.speed), datetime.fromtimestamp(mark.since, UTC)


def switched_off(listed: list[Job], settings: Settings) -> tuple[SwitchedOff, ...]:
    """The jobs that the settings switch off, or leave nothing to do. Raises ProfileError."""
    idle = jobs.idle(settings)
    found = []
    for job in listed:
        if job.name in settings.jobs and not settings.jobs[job.name].enabled:
            source = settings.source("jobs", job.name, "enabled")
            way_on = f"Set jobs.{job.name}.enabled to true ({source}), then restart the daemon"
            found.append(SwitchedOff(job, "switched off in the settings", way_on))
        elif job.name in idle:
            way_on = "Add it (docs/sites.md has its keys), then restart the daemon"
            found.append(SwitchedOff(job, f"switched off: {idle[job.name]}", way_on))
    return tuple(found)


def check_jobs(settings: Settings, more: Sequence[OwnJob] = ()) -> None:
    """What can be said of the jobs before anything is started.

    Raises SettingsError for a name that is no job, for replies that nobody would settle, and when critical
    jobs could wait for a context longer than is promised; GraphError for dependencies that can't be.
    """
    if settings.allocator.cleanup_s < END_OF_USE_S:
        problem = (
            f"allocator.cleanup_s is {settings.allocator.cleanup_s:g} s, but a cancelled job takes up to "
            f"{END_OF_USE_S} s to give its context back: critical jobs could wait longer than critical_wait_s"
        )
        raise SettingsError(problem, remedy=f"Raise allocator.cleanup_s to at least {END_OF_USE_S}.")
    listed = jobs.declared(settings.jobs, more, jobs.idle(settings))
    downstream_of(listed)
    names = {job.name for job in listed}
    if reply_posting.NAME in names and reconciliation.NAME not in names:
        problem = "jobs.reconciliation.enabled must be true while reply_posting is on"
        remedy = "Switch jobs.reply_posting off too: nothing else settles replies in doubt."
        raise SettingsError(problem, remedy=remedy)
    critical = [job.name for job in listed if job.uses_browser and Lane.of(job.priority) is Lane.CRITICAL]
    if why := why_no_promise(settings.allocator, critical):
        of = [f"{own.name} is of {own.package}" for own in jobs.installed_jobs() if own.name in critical]
        said = f" ({', '.join(of)})" if of else ""
        remedy = f"Raise allocator.capacity, or give a job priority 1 or more{said}."
        if reply_posting.NAME in critical and len(critical) - 1 <= settings.allocator.capacity:
            remedy = (
                f"Set allocator.capacity to {len(critical)}, or, if no replies are to go out, "
                f"jobs.{reply_posting.NAME}.enabled to false."
            )
        raise SettingsError(why, remedy=remedy)


async def restore_orders(breakers: Breakers, database: Database) -> None:
    """Force the breakers that operators have forced, as pauses hold; one whose party is gone is left out."""
    breakers.restore(await database.run(kept_orders.kept))


async def make_supervisor(
    listed: list[Job], surroundings: Surroundings, database: Database, metrics: Metrics
) -> Supervisor:
    """An actor for each job, with the history and the pauses that the database keeps."""
    stored = await database.run(runs.histories, [job.name for job in listed])
    actors = [Actor(job, surroundings, _history(stored.get(job.name), surroundings.clock)) for job in listed]
    for job in listed:
        metrics.declare_job(job.name, uses_browser=job.uses_browser)
    supervisor = Supervisor(actors, metrics, surroundings)
    for name in await database.run(runs.paused) & supervisor.actors.keys():
        supervisor.pause(name)
    return supervisor


def _history(stored: StoredHistory | None, clock: Clock) -> History:
    if stored is None:
        return History()
    return History(
        _last_run(stored.last, clock),
        stored.last.started_at if stored.last is not None else None,
        stored.last_success_at,
        _last_run(stored.gave_up, clock),
        stored.endings,
        stored.first_start,
    )


def _last_run(stored: StoredRun | None, clock: Clock) -> LastRun | None:
    if stored is None:
        return None
    duration_s = clock.real_seconds((stored.finished_at - stored.started_at).total_seconds())
    return LastRun(stored.outcome, stored.started_at, duration_s)
