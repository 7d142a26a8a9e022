"""The status document: everything that people ask of the daemon, as plain data.

The control socket and the live view show this one document. Its keys are listed in
`docs/control.md`; all values are JSON.
"""

import os
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import trio

import orchestrator
from orchestrator.actors.actor import Actor, ActorState
from orchestrator.actors.supervisor import Supervisor
from orchestrator.allocator import Allocator, Snapshot
from orchestrator.clock import Clock
from orchestrator.db import learned, posts
from orchestrator.db.pool import Database
from orchestrator.errors import DatabaseError
from orchestrator.health.checks import Checks
from orchestrator.health.modes import DATABASE, Modes
from orchestrator.model import CheckState, Ending, Mode, Post, PostState

RECENT_POSTS = 12

Document = dict[str, Any]


@dataclass(slots=True)
class House:
    """The parts that the status speaks of. Parts that are not there yet are None; `app` fills them in."""

    clock: Clock
    checks: Checks
    modes: Modes
    allocator: Allocator
    database: Database | None = None
    supervisor: Supervisor | None = None
    scopes: tuple[str, ...] = ()
    """The sites whose audiences are learned."""
    steps: list[tuple[str, float]] = field(default_factory=list)
    """What the start has done so far, and how long each step took in seconds."""
    note: str = ""
    """Why the start takes long, when it does."""
    ready_s: float | None = None
    """From the start to the open gate."""
    memory: dict[str, int] = field(default_factory=dict)
    """Bytes of daemon, driver and browser, as last measured."""
    links: dict[str, str] = field(default_factory=dict)
    """Addresses that people may open, by name."""
    started_at: float = field(default_factory=trio.current_time)


async def read_status(house: House) -> Document:
    """The whole document; with the database down, the parts that it holds are left out."""
    status = read_live(house)
    if house.database is not None and not house.checks.is_down(DATABASE):
        try:
            status |= await _read_stored(house, house.database)
            status["problems"] += _post_problems(status, *await house.database.run(posts.put_off))
        except DatabaseError as error:
            status["problems"].append(_problem(str(error), None, error.remedy))
    status["summary"] = summary(status)
    return status


def read_live(house: House) -> Document:
    """What is known without asking the database."""
    supervisor = house.supervisor
    snapshot = house.allocator.snapshot()
    jobs = [job_row(actor, snapshot) for actor in supervisor.actors.values()] if supervisor else []
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
        "problems": _problems(house, jobs),
        "checks": [asdict(result) for result in house.checks.results.values()],
        **allocator_rows(snapshot),
        "jobs": jobs,
        "memory": {f"{part}_bytes": size for part, size in house.memory.items()},
        "links": dict(house.links),
    }
    status["summary"] = summary(status)
    return status


def summary(status: Document) -> str:
    """The one line for 3 a.m.: what is wrong and what to do, or that all is well."""
    mode, problems = status["mode"], status["problems"]
    if problems:
        more = f"And {len(problems) - 1} more" if len(problems) > 1 else ""
        return f"{mode.capitalize()}: {_sentences(problems[0]['what'], problems[0]['remedy'], more)}"
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
    return f"All is well. {'Running: ' + ', '.join(running) if running else 'Nothing runs now'}."


def _sentences(*texts: str) -> str:
    return " ".join(text if text[-1] in ".!?…" else f"{text}." for text in texts if text)


def allocator_rows(snapshot: Snapshot) -> Document:
    return {
        "slots": [asdict(slot) for slot in snapshot.slots],
        "queue": [asdict(waiter) for waiter in snapshot.queue],
    }


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
        "since": _iso(actor.since),
        "next_at": _iso(actor.due_at) if is_waiting else None,
        "last": history.last
        and {
            "ending": history.last.outcome.ending.value,
            "detail": history.last.outcome.detail,
            "at": _iso(history.last.started_at),
            "duration_s": history.last.duration_s,
        },
        "last_success_at": _iso(history.last_success_at),
        "runs": {ending.value: count for ending, count in history.endings.items()},
        "why": why(actor, snapshot)[0],
    }


def why(actor: Actor, snapshot: Snapshot) -> list[str]:
    """What the job is doing and why, as sentences; the first one is the short answer."""
    lines = [_why_state(actor)]
    for slot in snapshot.slots:
        if slot.lease is not None and slot.lease.holder == actor.job.name:
            lease = slot.lease
            lines.append(
                f"It has held slot {slot.slot} for {lease.held_s:.1f} s "
                f"and must give it back in {lease.left_s:.0f} s."
            )
            if lease.is_called_back:
                lines.append("The slot was called back: somebody with more right waits for it.")
    for waiter in snapshot.queue:
        if waiter.holder == actor.job.name:
            waited = f"Has waited {waiter.waited_s:.1f} s for a slot in lane {waiter.lane}"
            lines.insert(0, f"{waited}: {waiter.why}.")
    last = actor.history.last
    if last is not None:
        detail = f" ({last.outcome.detail})" if last.outcome.detail else ""
        when = last.started_at.strftime("%Y-%m-%d %H:%M:%S")
        lines.append(f"The last run began {when} UTC and ended {last.outcome.ending}{detail}.")
    return lines


def _why_state(actor: Actor) -> str:
    due = actor.due_at.strftime("%H:%M:%S UTC") if actor.due_at else "as soon as the start allows"
    match actor.state:
        case ActorState.PAUSED:
            return f"Paused by an operator. Go on with: orchestrator ctl resume {actor.job.name}"
        case ActorState.FAILED:
            return f"Failed: {actor.detail}. Start it again with: orchestrator ctl resume {actor.job.name}"
        case ActorState.BACKING_OFF:
            return f"Backs off after a failure: {actor.detail}."
        case ActorState.RUNNING:
            return f"Runs now, because of: {actor.detail}."
        case ActorState.OFF:
            return "Off: the daemon drains and starts no more runs."
        case _:
            woken = f", or when {' or '.join(actor.job.after)} is done" if actor.job.after else ""
            return f"Waits until {due}{woken}."


def _problems(house: House, jobs: list[Document]) -> list[Document]:
    problems = [
        {
            "what": f"{result.name} is down: {result.detail}",
            "since": _iso(house.checks.down_since.get(result.name)),
            "remedy": result.remedy,
        }
        for result in sorted(house.checks.down, key=lambda result: not result.is_critical)
    ]
    for job in jobs:
        last = job["last"]
        if job["state"] == ActorState.FAILED:
            problems.append(_problem(f"job {job['name']} has failed", job["since"], job["why"]))
        elif last and last["ending"] == Ending.GIVEN_UP:
            text = f"job {job['name']} gave up: {last['detail']}"
            problems.append(_problem(text, last["at"], "It is tried again at its next turn"))
    return problems


def _post_problems(status: Document, put_off: int, reason: str) -> list[Document]:
    problems = []
    if put_off:
        remedy = "They go out an hour after the last try at the latest, once that is mended"
        problems.append(_problem(f"{_posts(put_off)} put off: {reason}", None, remedy))
    if count := status["posts"][PostState.AMBIGUOUS]:
        remedy = "Reconciliation is looking on the site; see: orchestrator ctl why reconciliation"
        problems.append(_problem(f"{_posts(count)} ambiguous", None, remedy))
    return problems


def _posts(count: int) -> str:
    return f"{count} {'post is' if count == 1 else 'posts are'}"


def _problem(what: str, since: str | None, remedy: str) -> Document:
    return {"what": what, "since": since, "remedy": remedy}


async def _read_stored(house: House, database: Database) -> Document:
    counts = await database.run(posts.count_by_state)
    recent = await database.run(posts.recent, RECENT_POSTS)
    outcomes = await database.run(learned.count_outcomes)
    arms = [row for scope in house.scopes for row in await database.run(learned.arms, scope)]
    document: Document = {
        "posts": {state.value: count for state, count in counts.items()},
        "recent_posts": [_post_row(post, seen) for post, seen in recent],
        "learning": {
            "outcomes": outcomes,
            "arms": [
                {"dimension": d, "value": v, "pulls": a + b - 2.0, "mean": a / (a + b)} for d, v, a, b in arms
            ],
        },
    }
    return document


def _post_row(post: Post, seen: tuple[int, int, int] | None) -> Document:
    likes, replies, views = seen or (None, None, None)
    return {
        "id": post.id,
        "account": post.account,
        "text": post.text,
        "state": post.state.value,
        "due_at": _iso(post.due_at),
        "published_at": _iso(post.published_at),
        "reference": post.reference,
        "likes": likes,
        "replies": replies,
        "views": views,
        "topic": post.arms.topic,
        "format": post.arms.format,
        "hour": post.arms.hour,
        "detail": post.detail,
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
