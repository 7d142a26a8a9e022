"""The status document: everything that people ask of the daemon, as plain data.

The control socket and the live view show this one document. Its keys are listed in
`docs/control.md`; all values are JSON.
"""

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import trio

import orchestrator
from orchestrator.actors.actor import Actor, ActorState
from orchestrator.actors.job import Job
from orchestrator.actors.supervisor import Supervisor
from orchestrator.alerts.desk import Desk
from orchestrator.allocator import Allocator
from orchestrator.breakers import Breakers
from orchestrator.cache.cache import Cache
from orchestrator.clock import Clock
from orchestrator.db import comparison, post_figures
from orchestrator.db.fence import Fence
from orchestrator.db.pool import Database
from orchestrator.errors import DatabaseError
from orchestrator.health import memory, problems
from orchestrator.health.checks import Checks
from orchestrator.health.memory import MemoryView, Step
from orchestrator.health.modes import DATABASE, Modes
from orchestrator.health.problems import iso
from orchestrator.learning import cached
from orchestrator.llm.model import LanguageModel
from orchestrator.model import AccountCondition, CheckState, Mode, Post
from orchestrator.snapshot import Snapshot

RECENT_POSTS = 12
STORED_PATIENCE_S = 10.0
"""For all that the database holds: people ask for the status just when it hangs."""

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SwitchedOff:
    """A job that has no actor, because of the settings."""

    job: Job
    why: str
    """Such as "switched off in the settings"."""
    way_on: str
    """What a person does to have it back."""


@dataclass(slots=True)
class House:
    """The parts that the status speaks of. Parts that are not there yet are None; `app` fills them in."""

    clock: Clock
    checks: Checks
    modes: Modes
    allocator: Allocator
    cache: Cache
    database: Database | None = None
    supervisor: Supervisor | None = None
    breakers: Breakers | None = None
    alerts: Desk | None = None
    model: LanguageModel | None = None
    """None, too, where the settings name none."""
    scopes: tuple[str, ...] = ()
    """The sites whose audiences are learned."""
    accounts: tuple[str, ...] = ()
    """The accounts, those too that are switched off or about to go."""
    off: frozenset[str] = frozenset()
    """Those of them that no work is done for."""
    site_of: Mapping[str, str] = field(default_factory=dict)
    """The site of each of them."""
    roster: Callable[[], Awaitable[list[Document]]] | None = None
    """Reads how each of them fares; a key's meaning stands in `docs/control.md`."""
    conditions: Callable[[], Mapping[AccountCondition, int]] = dict
    """How many of them are in each condition."""
    account_orders: Mapping[str, Callable[[Document, str], Awaitable[str]]] = field(default_factory=dict)
    """What may be ordered of accounts, by verb; each gets the args and who asks, and says what holds."""
    min_health: int = 0
    """Below it an account is spared."""
    fence: Fence | None = None
    """By what right this daemon changes posts."""
    settle_s: float = 0.0
    """Real seconds for which a site may still be taking a post after the press."""
    is_reference: Callable[[str, str], bool] = lambda _account, _text: True
    """Whether a text can be the site's name of one of the account's posts."""
    address_of: Callable[[str, str], str | None] = lambda _account, _reference: None
    """Where people see what the site of an account calls so."""
    check_reply: Callable[[str, str, str], None] = lambda _account, _target, _text: None
    """Raises ReplyImpossibleError when the account can't answer that post with that text."""
    replies_need_approval: bool = True
    switched_off: tuple[SwitchedOff, ...] = ()
    steps: list[tuple[str, float]] = field(default_factory=list)
    """What the start has done so far, and how long each step took in seconds."""
    note: str = ""
    """Why the start takes long, when it does."""
    ready_s: float | None = None
    """From the start to the open gate."""
    memory: dict[str, int] = field(default_factory=dict)
    """Bytes of each part, as last measured."""
    memory_view: MemoryView | None = None
    clients: dict[str, int] = field(default_factory=dict)
    """How many clients are connected now, by `http` and `control`."""
    page: str = ""
    """The live page's address with the token, for people who may have it; empty before it is served."""
    links: dict[str, str] = field(default_factory=dict)
    """Addresses that people may open, by name."""
    reload: Callable[[str], Awaitable[str]] | None = None
    """Reads the settings again in somebody's name, and says what has changed."""
    started_at: float = field(default_factory=trio.current_time)

    def count_clients(self, place: str, count: int) -> None:
        """How many clients `http` or `control` has now."""
        self.clients[place] = count

    def why_not(self, job: Job) -> str | None:
        """Why a run of `job` that began now would be skipped, None when it would not."""
        step = self.memory_view.step if self.memory_view is not None else Step.NONE
        return self.modes.why_not(job) or (None if job.is_upkeep else memory.why_not(step, job.priority))


def usage(house: House) -> Document:
    """What the daemon uses: memory as last weighed, connections now. Quick, and asks nobody."""
    database = house.database.statistics() if house.database is not None else None
    return {
        "version": orchestrator.__version__,
        "uptime_s": round(trio.current_time() - house.started_at, 1),
        "memory": {f"{part}_bytes": size for part, size in house.memory.items()},
        "connections": {
            "http": house.clients.get("http", 0),
            "control": house.clients.get("control", 0),
            "database": {
                "used": database.in_use if database is not None else 0,
                "idle": database.idle if database is not None else 0,
                "most": database.max_size if database is not None else 0,
            },
            "cache": house.cache.figures.connections,
        },
    }


async def read_status(house: House) -> Document:
    """The whole document; without what the database holds, while it is down or has no tables yet."""
    status = read_live(house)
    has_tables = house.supervisor is not None  # which is made of what they hold
    if house.database is not None and has_tables and not house.checks.is_down(DATABASE):
        with trio.move_on_after(STORED_PATIENCE_S) as patience:
            await _add_stored(status, house, house.database)
        if patience.cancelled_caught:
            house.database.doubt()
            what = f"the database did not answer within {STORED_PATIENCE_S:g} s"
            status["problems"].append(problems.problem(what, None, "See whether it still runs"))
    status["summary"] = summary(status)
    return status


async def read_problems(house: House) -> tuple[list[Document], bool]:
    """What is wrong, and whether that is all: nothing is known of posts while the database is down."""
    live = read_live(house)
    found: list[Document] = live["problems"]
    if house.database is None or house.checks.is_down(DATABASE):
        return found, False
    try:
        of_posts = await problems.of_posts(
            house.database, house.clock, house.accounts, live["jobs"], house.off
        )
        of_posts += await problems.of_opportunities(house.database, house.clock, house.scopes)
    except DatabaseError:
        return found, False  # the check of the database says so
    return found + of_posts, True


def read_live(house: House) -> Document:
    """What is known without asking the database."""
    supervisor = house.supervisor
    snapshot = house.allocator.snapshot()
    jobs = [job_row(actor, snapshot) for actor in supervisor.actors.values()] if supervisor else []
    jobs += [off_row(off) for off in house.switched_off]
    leaks = problems.of_leaks(house.database, house.clock) if house.database is not None else []
    strain = problems.of_pool(house.database, house.clock) if house.database is not None else []
    breakers = house.breakers.names if house.breakers is not None else ()
    status: Document = {
        "version": orchestrator.__version__,
        "mode": house.modes.mode.value,
        "pid": os.getpid(),
        "uptime_s": trio.current_time() - house.started_at,
        "clock": {"now": house.clock.now().isoformat(timespec="seconds"), "speed": house.clock.speed},
        "is_paused": supervisor is not None and supervisor.is_paused,
        "note": house.note,
        "ready_s": house.ready_s,
        "startup": [{"step": step, "duration_s": duration_s} for step, duration_s in house.steps],
        "problems": [
            *problems.of_checks(house.checks, breakers),
            *problems.of_memory(house.memory_view),
            *problems.of_cache(house.cache),
            *leaks,
            *strain,
            *problems.of_queue(snapshot, house.clock),
            *problems.of_jobs(jobs),
        ],
        "checks": [asdict(result) for result in house.checks.results.values()],
        **allocator_rows(snapshot),
        **breaker_rows(house.breakers),
        **cache_rows(house.cache),
        "jobs": jobs,
        "memory": {f"{part}_bytes": size for part, size in house.memory.items()},
        "shedding": shedding_row(house.memory_view),
        "links": dict(house.links),
    }
    status["summary"] = summary(status)
    return status


def summary(status: Document) -> str:
    """The one line for 3 a.m.: what is wrong and what to do, or that all is well."""
    mode, wrong = status["mode"], status["problems"]
    if wrong:
        more = f"And {len(wrong) - 1} more" if len(wrong) > 1 else ""
        return f"{mode.capitalize()}: {_sentences(wrong[0]['what'], wrong[0]['remedy'], more)}"
    if mode == Mode.STARTING and status["note"]:
        return f"Starting: {status['note']}."
    if mode == Mode.STARTING:
        pending = [c["name"] for c in status["checks"] if c["state"] != CheckState.UP]
        return f"Starting; waiting for {', '.join(pending) or 'the jobs'}."
    if mode == Mode.DRAINING:
        return "Draining: no new runs start; the daemon ends when the present ones have."
    paused = [job["name"] for job in status["jobs"] if job["state"] == ActorState.PAUSED]
    if paused or status["is_paused"]:
        what = "" if status["is_paused"] else f": {', '.join(paused)}"
        return f"Paused by an operator{what}. Go on with: orchestrator ctl resume"
    running = [job["name"] for job in status["jobs"] if job["state"] == ActorState.RUNNING]
    off = [job["name"] for job in status["jobs"] if job["state"] == ActorState.OFF]
    more = f" Switched off: {', '.join(off)}." if off else ""
    return f"All is well. {'Running: ' + ', '.join(running) if running else 'Nothing runs now'}.{more}"


def _sentences(*texts: str) -> str:
    return " ".join(text if text[-1] in ".!?…" else f"{text}." for text in texts if text)


def allocator_rows(snapshot: Snapshot) -> Document:
    return {
        "slots": [asdict(slot) for slot in snapshot.slots],
        "queue": [asdict(waiter) for waiter in snapshot.queue],
    }


def shedding_row(view: MemoryView | None) -> Document | None:
    """What is given up for want of memory; None before the first look."""
    if view is None:
        return None
    return {
        "step": view.step.label,
        "since": iso(view.since),
        "used_bytes": view.used_bytes,
        "limits": asdict(view.limits),
        "renderers": [asdict(renderer) for renderer in view.renderers],
    }


def breaker_rows(breakers: Breakers | None) -> Document:
    standings = breakers.standings() if breakers is not None else []
    return {"breakers": [{**asdict(one.view), "forced_by": one.forced_by} for one in standings]}


def cache_rows(cache: Cache) -> Document:
    """How the cache is used."""
    namespaces = [
        {"name": name, "level_s": cache.level_s(name), **asdict(tally), "hit_rate": tally.hit_rate}
        for name, tally in sorted(cache.tallies.items())
    ]
    return {"cache": {"place": cache.place, **asdict(cache.figures), "namespaces": namespaces}}


def job_row(actor: Actor, snapshot: Snapshot) -> Document:
    """One job as people see it."""
    history = actor.history
    waits = any(waiter.holder == actor.job.name for waiter in snapshot.queue)
    is_waiting = actor.state is ActorState.WAITING
    return {
        "name": actor.job.name,
        "priority": actor.job.priority,
        "uses_browser": actor.job.uses_browser,
        "state": "queued" if waits else actor.state.value,
        "since": iso(actor.since),
        "next_at": iso(actor.next_at) if is_waiting else None,
        "overdue_s": actor.overdue_s,
        "is_stuck": actor.is_stuck,
        "beat": actor.beat and {"said": actor.beat.said, "ago_s": trio.current_time() - actor.beat.at},
        "last": history.last
        and {
            "ending": history.last.outcome.ending.value,
            "detail": history.last.outcome.detail,
            "at": iso(history.last.started_at),
            "duration_s": history.last.duration_s,
        },
        "gave_up": history.gave_up
        and {"detail": history.gave_up.outcome.detail, "at": iso(history.gave_up.started_at)},
        "last_success_at": iso(history.last_success_at),
        "runs": {ending.value: count for ending, count in history.endings.items()},
        "why": why(actor, snapshot)[0],
    }


def off_row(off: SwitchedOff) -> Document:
    """A job that is switched off, as people see it."""
    return {
        "name": off.job.name,
        "priority": off.job.priority,
        "uses_browser": off.job.uses_browser,
        "state": ActorState.OFF.value,
        "since": None,
        "next_at": None,
        "overdue_s": 0.0,
        "is_stuck": False,
        "beat": None,
        "last": None,
        "gave_up": None,
        "last_success_at": None,
        "runs": {},
        "why": why_off(off),
    }


def why_off(off: SwitchedOff) -> str:
    return f"{off.why[:1].upper()}{off.why[1:]}. {off.way_on}."


def why(actor: Actor, snapshot: Snapshot, why_not: str | None = None) -> list[str]:
    """What the job is doing and why, as sentences; the first one is the short answer.

    `why_not` is why a run that began now would be skipped.
    """
    is_queued = any(waiter.holder == actor.job.name for waiter in snapshot.queue)
    lines = [_why_state(actor, is_queued)]
    for line in snapshot.explain(actor.job.name):
        lines.insert(0 if line.startswith("Has waited") else len(lines), line)
    if why_not is not None and actor.state is ActorState.RUNNING:
        lines.append(f"A new run would be skipped: {why_not}.")
    elif why_not is not None:
        lines.insert(0, f"It would be skipped now: {why_not}.")
    if actor.slowed:
        lines.append(
            f"It runs half as often as else, and is not woken when another job is done: {actor.slowed}."
        )
    last = actor.history.last
    if last is not None:
        detail = f" ({last.outcome.detail})" if last.outcome.detail else ""
        when = last.started_at.strftime("%Y-%m-%d %H:%M:%S")
        lines.append(f"The last run began {when} UTC and ended {last.outcome.ending}{detail}.")
    return lines


def _why_state(actor: Actor, is_queued: bool) -> str:
    due = actor.due_at.strftime("%H:%M:%S UTC") if actor.due_at else "as soon as the start allows"
    match actor.state:
        case ActorState.PAUSED:
            return f"Paused by an operator. Go on with: orchestrator ctl resume {actor.job.name}"
        case ActorState.FAILED:
            return f"Failed: {actor.detail}. Start it again with: orchestrator ctl resume {actor.job.name}"
        case ActorState.BACKING_OFF:
            return f"Backs off after a failure: {actor.detail}."
        case ActorState.RUNNING if is_queued:
            return f"Its run has begun ({actor.detail}) and waits for a slot.{_last_words(actor)}"
        case ActorState.RUNNING:
            return f"Runs now, because of: {actor.detail}.{_last_words(actor)}"
        case ActorState.OFF:
            return "Off: the daemon drains and starts no more runs."
        case _ if actor.detail:
            return f"Waits {actor.detail}."
        case _:
            is_woken = actor.job.after and not actor.slowed
            woken = f", or when {' or '.join(actor.job.after)} is done" if is_woken else ""
            return f"Waits until {due}{woken}."


def _last_words(actor: Actor) -> str:
    beat = actor.beat
    return "" if beat is None else f" It said “{beat.said}” {trio.current_time() - beat.at:.0f} s ago."


async def _add_stored(status: Document, house: House, database: Database) -> None:
    try:
        status |= await _read_stored(house, database)
        status["problems"] += await problems.of_posts(
            database, house.clock, house.accounts, status["jobs"], house.off
        )
        status["problems"] += await problems.of_opportunities(database, house.clock, house.scopes)
    except DatabaseError as error:
        status["problems"].append(problems.problem(str(error), None, error.remedy))


async def _read_stored(house: House, database: Database) -> Document:
    counts = await database.run(post_figures.count_by_state)
    recent = await database.run(post_figures.recent, RECENT_POSTS)
    findings = await database.run(comparison.findings, house.accounts)
    outcomes = await cached.count_outcomes(house.cache, database)
    arms = [row for scope in house.scopes for row in await cached.arms(house.cache, database, scope)]
    document: Document = {
        "posts": {state.value: count for state, count in counts.items()},
        "recent_posts": [_post_row(house, post, seen) for post, seen in recent],
        "findings": [
            {"account": one.account, "at": iso(one.at), "lines": one.notes} for one in findings if one.notes
        ],
        "learning": {
            "outcomes": outcomes,
            "arms": [
                {"dimension": d, "value": v, "pulls": a + b - 2.0, "mean": a / (a + b)} for d, v, a, b in arms
            ],
        },
    }
    return document


def _post_row(house: House, post: Post, seen: tuple[int, int, int] | None) -> Document:
    likes, replies, views = seen or (None, None, None)
    return {
        "id": post.id,
        "account": post.account,
        "text": post.text,
        "state": post.state.value,
        "due_at": iso(post.due_at),
        "not_before": iso(post.not_before),
        "published_at": iso(post.published_at),
        "reference": post.reference,
        "address": house.address_of(post.account, post.reference) if post.reference else None,
        "likes": likes,
        "replies": replies,
        "views": views,
        "topic": post.arms.topic,
        "format": post.arms.format,
        "hour": post.arms.hour,
        "detail": post.detail,
    }
