"""What is wrong, since when, and what a person should do about it: rows of the status document."""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from orchestrator.actors.actor import ActorState
from orchestrator.alerts import runbook
from orchestrator.cache.cache import Cache
from orchestrator.clock import Clock
from orchestrator.db import comparison, models, notes, post_figures
from orchestrator.db.alerts import Severity
from orchestrator.db.pool import CROWDED_SHARE, LONG_S, Database
from orchestrator.health.checks import Checks
from orchestrator.health.memory import REMEDY, WORDS, MemoryView, Step
from orchestrator.learning.pool import KEEPER, Level, key_of
from orchestrator.snapshot import Snapshot

OVERDUE_S = 1800.0
"""A post that has been due for so many real seconds is a problem; `posting` runs every 300 s."""
CROWDED_S = 5.0
"""For so long nearly all database connections may be in use."""
QUEUE_LIMIT, WAIT_LIMIT_S = 10, 300.0
"""So many runs may wait for a browser context, and each for so long."""
POOL_REMEDY = "The log's slow_query and slow_transaction say which"

CACHE_CONNECTIONS = 4
"""Of the five that there may be."""

ROLLED_BACK_FOR = timedelta(days=1)
"""For so long a model that was rolled back is told."""
ROLLED_BACK_SHOWN = 10

POSTING, RECONCILIATION = "posting", "reconciliation"

CHECK_DOWN, BREAKER_OPEN = "check_down", "breaker_open"
OF_POSTS = frozenset(
    {
        "posts_put_off",
        "post_overdue",
        "site_differs",
        "posts_for_a_person",
        "posts_of_no_account",
        "model_rolled_back",
        "opportunities_few",
        "opportunities_dropped",
    }
)
"""The kinds that `of_posts` and `of_opportunities` find: while the database is away nobody knows of them."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """What makes a problem one that people outside are told of."""

    name: str
    subject: str = ""
    """Such as a job; empty: what the problem says."""
    severity: Severity = Severity.WARNING


def problem(what: str, since: str | None, remedy: str, kind: Kind | None = None) -> Row:
    """One row. `what` tells problems apart, so that nothing in it changes while the problem stays.

    With a kind it is one that people outside are told of: `name` and `subject` tell it apart whatever `what`
    says.
    """
    row = {"what": what, "since": since, "remedy": remedy}
    if kind is not None:
        subject = kind.subject or what
        row |= {"name": kind.name, "subject": subject, "severity": kind.severity.value}
        row["runbook"] = runbook.link(kind.name, subject)
    return row


def of_checks(checks: Checks, breakers: Collection[str] = ()) -> list[Row]:
    """The parts that are down, critical ones first; `breakers` are those that show an outside party."""
    down = sorted(checks.down, key=lambda result: not result.is_critical)
    return [
        problem(
            f"{result.name} is down: {result.detail}",
            iso(checks.down_since.get(result.name)),
            result.remedy,
            Kind(
                BREAKER_OPEN if result.name in breakers else CHECK_DOWN,
                result.name,
                Severity.CRITICAL if result.is_critical else Severity.WARNING,
            ),
        )
        for result in down
    ]


def of_leaks(database: Database, clock: Clock) -> list[Row]:
    """Connections to the database that somebody does not give back."""
    return [
        problem(
            f"a database connection is not given back: {held.work} of {held.owner}",
            iso(clock.now() - clock.span(held.held_s)),
            "The log's connection_held_too_long says where it was asked for; if it does not end, restart",
            Kind("connection_held"),
        )
        for held in database.statistics().holders
        if held.is_leak
    ]


def of_pool(database: Database, clock: Clock) -> list[Row]:
    """A pool that is too small, or a database that is too slow, now or in the last `strain.MEMORY_S`."""
    found, rows = database.statistics(), []
    if found.crowded_s > CROWDED_S:
        what = f"more than {CROWDED_SHARE:.0%} of the {found.max_size} database connections are in use"
        since = iso(clock.now() - clock.span(found.crowded_s))
        rows.append(problem(what, since, POOL_REMEDY, Kind("connections_scarce", "database")))
    for excess, what, kind in (
        (
            found.long_wait,
            "a work waited for a database connection for",
            Kind("connection_wait", "database"),
        ),
        (found.long_query, "a statement of the database took", Kind("query_slow", "database")),
    ):
        if excess is not None:
            since = iso(clock.now() - clock.span(time.monotonic() - excess.first_at))
            what = f"{what} more than {LONG_S:g} s: {excess.work}"
            rows.append(problem(what, since, POOL_REMEDY, kind))
    return rows


def of_queue(snapshot: Snapshot, clock: Clock) -> list[Row]:
    """Too many who wait for a browser context, and those who wait for too long."""
    rows = []
    if len(snapshot.queue) > QUEUE_LIMIT:
        what, remedy = (
            f"more than {QUEUE_LIMIT} runs wait for a browser context",
            "See: orchestrator ctl queue",
        )
        rows.append(problem(what, None, remedy, Kind("queue_long", "allocator")))
    for waiter in snapshot.queue:
        if waiter.waited_s > WAIT_LIMIT_S:
            what = f"{waiter.holder} has waited for a browser context for more than {WAIT_LIMIT_S / 60:g} min"
            since = iso(clock.now() - clock.span(waiter.waited_s))
            remedy = f"See: orchestrator ctl why {waiter.holder}"
            rows.append(problem(what, since, remedy, Kind("queue_wait", waiter.holder)))
    return rows


def of_memory(view: MemoryView | None) -> list[Row]:
    """What has been given up for want of memory."""
    if view is None or view.step is Step.NONE:
        return []
    severity = Severity.CRITICAL if view.step is Step.REFUSED else Severity.WARNING
    kind = Kind("memory_short", "memory", severity)
    return [problem(f"memory is short: {WORDS[view.step]}", iso(view.since), REMEDY, kind)]


def of_cache(cache: Cache) -> list[Row]:
    """Connections to the cache's server: so many are in use at once only when it is slow."""
    if cache.figures.connections <= CACHE_CONNECTIONS:
        return []
    what = f"more than {CACHE_CONNECTIONS} connections to the cache are in use"
    remedy = "See whether its server is slow; what waits for a connection goes on without the cache"
    return [problem(what, None, remedy, Kind("cache_connections", "cache"))]


def of_jobs(jobs: Iterable[Row]) -> list[Row]:
    """Jobs that stand still, and those that gave up and have done nothing since."""
    found = []
    for job in jobs:
        name, gave_up = job["name"], job["gave_up"]
        if job["state"] == ActorState.FAILED:
            kind = Kind("job_failed", name, Severity.CRITICAL)
            found.append(problem(f"job {name} has failed", job["since"], job["why"], kind))
            continue
        if job["is_stuck"]:
            what = f"job {name} is stuck: it has not gone on when it had to"
            kind = Kind("job_stuck", name, Severity.CRITICAL)
            found.append(problem(what, job["since"], "Restart the daemon, and report the bug", kind))
        if job["overdue_s"] > 0:
            since = job["last_success_at"]
            what = f"job {name} is overdue: no success {f'since {since}' if since else 'yet'}"
            kind = Kind("job_overdue", name)
            found.append(problem(what, since, f"See: orchestrator ctl why {name}", kind))
        if gave_up is not None:
            again = f"It is tried again at its next turn, or now with: orchestrator ctl run {name}"
            remedy = job["why"] if job["state"] == ActorState.PAUSED else again
            kind = Kind("job_gave_up", name)
            found.append(problem(f"job {name} gave up: {gave_up['detail']}", gave_up["at"], remedy, kind))
    return found


async def of_posts(
    database: Database,
    clock: Clock,
    accounts: Sequence[str],
    jobs: Iterable[Row],
    off: Collection[str] = (),
) -> list[Row]:
    """Posts that do not get on, and models that knew less of them than was thought. Raises DatabaseError.

    Accounts that are `off` make no posts late: somebody wants them to wait.
    """
    by_name = {job["name"]: job for job in jobs}
    working = [name for name in accounts if name not in off]
    put_off, reason = await database.run(post_figures.put_off, working)
    doubt = await database.run(post_figures.in_doubt, accounts)
    due_at = await database.run(post_figures.oldest_due, working, clock.now())
    found = []
    if put_off:
        remedy = "Mend that, then: orchestrator ctl run posting"
        kind = Kind("posts_put_off", "posts")
        found.append(problem(f"{_count(put_off)} put off: {reason}", None, remedy, kind))
    if due_at is not None and clock.real_seconds((clock.now() - due_at).total_seconds()) > OVERDUE_S:
        remedy = _standstill(by_name, POSTING) or "See: orchestrator ctl why posting"
        kind = Kind("post_overdue", "posts")
        found.append(problem("the oldest due post is not out yet", iso(due_at), remedy, kind))
    found += _of_doubt(doubt, by_name) + await _of_comparison(database, accounts)
    return found + await _of_models(database, clock)


async def _of_models(database: Database, clock: Clock) -> list[Row]:
    """Models that were rolled back within a day."""
    since = clock.now() - ROLLED_BACK_FOR
    return [
        problem(
            f"model {version.version} of {version.scope} was rolled back: {version.why}",
            iso(version.state_since),
            "It is out of use already; see: orchestrator ctl models",
            Kind("model_rolled_back", f"{version.scope}/{version.version}"),
        )
        for version in await database.run(models.rolled_back, since, ROLLED_BACK_SHOWN)
    ]


async def _of_comparison(database: Database, accounts: Sequence[str]) -> list[Row]:
    """What the daily comparison with the sites has found wrong."""
    remedy = "Look at the site, delete what is too much, then: orchestrator ctl run reconciliation"
    return [
        problem(f"{found.account}: {line}", iso(found.at), remedy, Kind("site_differs"))
        for found in await database.run(comparison.findings, accounts)
        for line in found.wrong
    ]


async def of_opportunities(database: Database, clock: Clock, sites: Sequence[str]) -> list[Row]:
    """Pools of opportunities that are nearly empty, or were soon emptied. Raises DatabaseError."""
    found, now = [], clock.now()
    kept = await database.run(notes.recall_all, KEEPER, [key_of(site) for site in sites])
    for site in sites:
        level = Level.of(kept.get(key_of(site)))
        if level.is_low_for_long(now):
            what = f"fewer than {level.least} opportunities for replies are open on {site}"
            remedy = f"See: orchestrator ctl why {KEEPER}; else lower opportunities.target"
            found.append(problem(what, iso(level.low_since), remedy, Kind("opportunities_few", site)))
        if level.has_dropped(now):
            what = f"more than half of the opportunities for replies on {site} went within an hour"
            remedy = "See: orchestrator ctl opportunities"
            found.append(problem(what, None, remedy, Kind("opportunities_dropped", site)))
    return found


def _of_doubt(doubt: post_figures.InDoubt, jobs: Mapping[str, Row]) -> list[Row]:
    found = []
    if doubt.for_a_person:
        what = f"{_count(doubt.for_a_person)} ambiguous, and only a person can tell: {doubt.reason}"
        remedy = f"Look at the site, then: {_decide(doubt.first_for_a_person)}"
        found.append(problem(what, None, remedy, Kind("posts_for_a_person", "posts")))
    if doubt.strays:
        what = f"{_count(doubt.strays)} ambiguous, of accounts that the settings lack: {doubt.stray_accounts}"
        remedy = f"Put the account back and restart, or: {_decide(doubt.first_stray)}"
        found.append(problem(what, None, remedy, Kind("posts_of_no_account", "posts")))
    if doubt.looked_for:
        looking = "Reconciliation is looking on the site; see: orchestrator ctl why reconciliation"
        remedy = _standstill(jobs, RECONCILIATION) or looking
        found.append(problem(f"{_count(doubt.looked_for)} ambiguous", None, remedy))
    return found


def _decide(post_id: int | None) -> str:
    """How a person settles the first of the posts in doubt."""
    return f"orchestrator ctl post resolve {post_id} published|requeue|drop"


def _standstill(jobs: Mapping[str, Row], name: str) -> str:
    """Why a job does not run at all, and how it would again; empty when it does."""
    job = jobs.get(name)
    is_still = job is not None and job["state"] in (ActorState.PAUSED, ActorState.FAILED, ActorState.OFF)
    return f"Job {name}: {job['why']}" if job is not None and is_still else ""


def _count(count: int) -> str:
    return f"{count} {'post is' if count == 1 else 'posts are'}"


def iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
