"""What may be asked on the control socket: the fixed table of verbs."""

import os
import pwd
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from orchestrator.actors.actor import Actor, ActorState
from orchestrator.actors.supervisor import Supervisor
from orchestrator.breakers import Order
from orchestrator.control import (
    accounts,
    insights,
    lessons,
    models,
    opportunities,
    paces,
    pools,
    posts,
    slowdowns,
)
from orchestrator.control.peers import Caller, Level
from orchestrator.control.server import Verb
from orchestrator.db import breakers as kept_orders
from orchestrator.db import runs
from orchestrator.db.decisions import Approval
from orchestrator.db.pool import Database
from orchestrator.errors import ControlError, DatabaseError, NotKeptError, NotReadyError
from orchestrator.health.problems import POSTING, RECONCILIATION
from orchestrator.health.status import (
    House,
    SwitchedOff,
    allocator_rows,
    breaker_rows,
    cache_rows,
    read_live,
    read_status,
    why,
    why_off,
)
from orchestrator.jobs import harvester, metrics_scraper, reply_learning
from orchestrator.llm.report import document
from orchestrator.model import PostKind


def verbs_of(house: House, drain: Callable[[str], None]) -> Mapping[str, Verb]:
    """The verbs of a running daemon; `drain(who)` begins the end."""
    desk = _Desk(house, drain)
    job, breaker = {"job": str}, {"breaker": str, "order": str}
    table = (
        Verb("status", Level.VIEW, desk.status),
        Verb("jobs", Level.VIEW, desk.jobs),
        Verb("queue", Level.VIEW, desk.queue),
        Verb("why", Level.VIEW, desk.why, job, required=frozenset(job)),
        Verb("posts", Level.VIEW, desk.posts, {"state": str, "account": str, "limit": int}),
        Verb("post", Level.VIEW, desk.post, {"post": int}, required=frozenset({"post"})),
        Verb("resolve", Level.OPERATE, desk.resolve, _DECISION, required=frozenset({"post", "decision"})),
        Verb("accounts", Level.VIEW, desk.accounts, {"account": str, "limit": int}),
        *(_account_order(desk, verb) for verb in accounts.LEVELS),
        Verb("insights", Level.VIEW, desk.insights, {"account": str}),
        Verb("models", Level.VIEW, desk.models),
        Verb("replies", Level.VIEW, desk.replies, {"state": str, "account": str, "limit": int}),
        Verb("opportunities", Level.VIEW, desk.opportunities, {"limit": int}),
        Verb("draft", Level.OPERATE, desk.draft, _DRAFT, required=frozenset(_DRAFT)),
        Verb("edit", Level.OPERATE, desk.edit, _EDIT, required=frozenset({"post"})),
        Verb("approve", Level.OPERATE, desk.approve, {"post": int}, required=frozenset({"post"})),
        Verb("reject", Level.OPERATE, desk.reject, {"post": int}, required=frozenset({"post"})),
        Verb("alerts", Level.VIEW, desk.alerts),
        Verb("budget", Level.VIEW, desk.budget),
        Verb("breakers", Level.VIEW, desk.breakers),
        Verb("cache", Level.VIEW, desk.cache),
        Verb("breaker", Level.OPERATE, desk.breaker, breaker, required=frozenset(breaker)),
        Verb("pause", Level.OPERATE, desk.pause, job),
        Verb("resume", Level.OPERATE, desk.resume, job),
        Verb("run", Level.OPERATE, desk.run, job, required=frozenset(job)),
        Verb("reload", Level.ADMIN, desk.reload),
        Verb("page", Level.OPERATE, desk.page),
        Verb("drain", Level.ADMIN, desk.drain),
    )
    return {verb.name: verb for verb in table}


def _account_order(desk: "_Desk", verb: str) -> Verb:
    """An order that concerns one account; a new one comes with its password."""

    async def carry_out(caller: Caller, args: Args) -> Args:
        return await accounts.order(desk.house, verb, name_of(caller), args)

    is_new = verb == "account_add"
    required = accounts.NEW if is_new else {"account": str}
    parameters = {**required, **(accounts.OPTIONS if is_new else {})}
    secret = frozenset({accounts.PASSWORD}) & parameters.keys()
    return Verb(verb, accounts.LEVELS[verb], carry_out, parameters, frozenset(required), secret)


def asker(verbs: Mapping[str, Verb], via: str) -> Callable[[str, dict[str, Any]], Awaitable[Any]]:
    """Asks verbs for another face than the socket, which looks after who may ask; never for ADMIN's."""
    caller = Caller(os.geteuid(), os.getpid(), Level.OPERATE, via)

    async def ask(name: str, args: dict[str, Any]) -> Any:
        verb = verbs[name]
        assert verb.level <= caller.level
        return await verb.handler(caller, args)

    return ask


Args = dict[str, Any]

_DRAFT = {"account": str, "to": str, "text": str}
_EDIT = {"post": int, "text": str, "due_at": str}
_DECISION = {"post": int, "decision": str, "reference": str}


class _Desk:
    def __init__(self, house: House, drain: Callable[[str], None]) -> None:
        self.house = house
        self._drain = drain

    async def status(self, _caller: Caller, _args: Args) -> Args:
        return await read_status(self.house)

    async def jobs(self, _caller: Caller, _args: Args) -> Args:
        live = read_live(self.house)
        return {"jobs": live["jobs"], "clock": live["clock"]}

    async def queue(self, _caller: Caller, _args: Args) -> Args:
        return allocator_rows(self.house.allocator.snapshot())

    async def why(self, _caller: Caller, args: Args) -> Args:
        if (off := self._off(args["job"])) is not None:
            return {"job": off.job.name, "lines": [why_off(off)]}
        actor = self._supervisor.find(args["job"])
        lines = why(actor, self.house.allocator.snapshot(), self.house.why_not(actor.job))
        if actor.job.name == RECONCILIATION:
            lines += await posts.findings(self.house)
        if actor.job.name == POSTING:
            lines += await paces.lines(self.house)
        if actor.job.name == metrics_scraper.NAME:
            lines += await slowdowns.lines(self.house)
        if actor.job.name == harvester.NAME:
            lines += await pools.lines(self.house)
        if actor.job.name == reply_learning.NAME:
            lines += await lessons.lines(self.house)
        return {"job": actor.job.name, "lines": lines}

    async def posts(self, _caller: Caller, args: Args) -> Args:
        return await posts.listed(self.house, args)

    async def post(self, _caller: Caller, args: Args) -> Args:
        return await posts.shown(self.house, args)

    async def resolve(self, caller: Caller, args: Args) -> Args:
        return await posts.resolve(self.house, name_of(caller), args)

    async def accounts(self, _caller: Caller, args: Args) -> Args:
        return await accounts.listed(self.house, args)

    async def insights(self, _caller: Caller, args: Args) -> Args:
        return await insights.told(self.house, args)

    async def models(self, _caller: Caller, _args: Args) -> Args:
        return await models.told(self.house)

    async def replies(self, _caller: Caller, args: Args) -> Args:
        return await posts.listed(self.house, args, PostKind.REPLIES)

    async def opportunities(self, _caller: Caller, args: Args) -> Args:
        return await opportunities.listed(self.house, args)

    async def draft(self, caller: Caller, args: Args) -> Args:
        return await posts.draft(self.house, name_of(caller), args)

    async def edit(self, caller: Caller, args: Args) -> Args:
        return await posts.edit(self.house, name_of(caller), args)

    async def approve(self, caller: Caller, args: Args) -> Args:
        return await posts.judge(self.house, name_of(caller), args["post"], Approval.APPROVE)

    async def reject(self, caller: Caller, args: Args) -> Args:
        return await posts.judge(self.house, name_of(caller), args["post"], Approval.REJECT)

    async def alerts(self, _caller: Caller, _args: Args) -> Args:
        alerts = self.house.alerts
        if alerts is None:
            raise _still_starting()
        now = self.house.clock.now().isoformat(timespec="seconds")
        return {"alerts": alerts.rows(), "destinations": alerts.destinations, "clock": {"now": now}}

    async def budget(self, _caller: Caller, _args: Args) -> Args:
        database = self.house.database
        if database is None or self.house.supervisor is None:
            raise _still_starting()
        return await document(self.house.model, database, self.house.clock)

    async def breakers(self, _caller: Caller, _args: Args) -> Args:
        return breaker_rows(self.house.breakers)

    async def cache(self, _caller: Caller, _args: Args) -> Args:
        return cache_rows(self.house.cache)

    async def breaker(self, caller: Caller, args: Args) -> Args:
        name, order = args["breaker"], args["order"]
        breakers = self.house.breakers
        if breakers is None or self.house.supervisor is None:
            raise _still_starting()
        who, now = name_of(caller), self.house.clock.now()
        breakers.obey(name, order, who)
        what = f"order to {name}"
        if order == Order.AUTO:
            await self._remember(lambda database: database.run(kept_orders.forget, name), what)
            state = breakers.standing(name).view.state.replace("_", "-")
            return {"message": f"{name} decides again; it is {state} now."}
        await self._remember(lambda database: database.run(kept_orders.keep, name, order, who, now), what)
        says = "It is asked in any case"
        if order == Order.OPEN:
            keeps = breakers.keeps(name)
            says = f"{keeps[0].upper()}{keeps[1:]}; calls under way end by themselves"
        return {"message": f"{name} is forced {order}. {says}. Back: orchestrator ctl breaker {name} auto"}

    async def pause(self, caller: Caller, args: Args) -> Args:
        job = args.get("job")
        self._check_on(job)
        who, now = name_of(caller), self.house.clock.now()
        names = self._supervisor.pause(job)
        await self._remember(
            lambda database: database.run(runs.pause, names, who, now), f"pause of {job or 'all'}"
        )
        what = f"job {job}" if job else "all jobs but the upkeep"
        return {"message": f"Paused {what}; runs under way end by themselves."}

    async def resume(self, _caller: Caller, args: Args) -> Args:
        job = args.get("job")
        self._check_on(job)
        was_at_rest = any(map(_is_at_rest, self._meant(job)))
        self._supervisor.resume(job)
        await self._remember(lambda database: database.run(runs.resume, job), f"resume of {job or 'all'}")
        if not was_at_rest:
            return {"message": f"Job {job} was not paused." if job else "No job was paused."}
        return {"message": f"Resumed {f'job {job}' if job else 'all jobs'}."}

    async def run(self, caller: Caller, args: Args) -> Args:
        job = args["job"]
        self._check_on(job)
        actor = self._supervisor.find(job)
        if actor.is_draining:
            raise NotReadyError("the daemon is ending and starts no more runs", remedy="Start it again first")
        message = _run_message(actor, self.house.why_not(actor.job))
        self._supervisor.run_now(job, name_of(caller))
        return {"message": f"{message}; see: orchestrator ctl why {job}"}

    async def reload(self, caller: Caller, _args: Args) -> Args:
        if self.house.reload is None and self.house.modes.is_starting:
            raise _still_starting()
        if self.house.reload is None:
            text = "the settings of this daemon, a demo say, can't be read again"
            raise ControlError(text, remedy="Restart it")
        return {"message": await self.house.reload(name_of(caller))}

    async def page(self, _caller: Caller, _args: Args) -> Args:
        return {"url": self.house.page}

    async def drain(self, caller: Caller, _args: Args) -> Args:
        self._drain(name_of(caller))
        supervisor = self.house.supervisor
        running = ", ".join(supervisor.running if supervisor else []) or "none"
        return {"message": f"Draining; the daemon ends when the runs under way have ended (now: {running})."}

    def _meant(self, job: str | None) -> list[Actor]:
        """The actor of the job, or all of them."""
        return [*self._supervisor.actors.values()] if job is None else [self._supervisor.find(job)]

    def _off(self, job: str) -> SwitchedOff | None:
        return next((off for off in self.house.switched_off if off.job.name == job), None)

    def _check_on(self, job: str | None) -> None:
        if job is not None and (off := self._off(job)) is not None:
            raise ControlError(f"job {job} is {off.why}", remedy=off.way_on)

    async def _remember(self, write: Callable[[Database], Awaitable[None]], what: str) -> None:
        """Keep an order across restarts. Raises NotKeptError, which says what holds, when that fails."""
        holds = f"the {what} holds, but not across a restart"
        if self.house.database is None:
            raise NotKeptError(f"{holds}: there is no database yet")
        try:
            await write(self.house.database)
        except DatabaseError as error:
            raise NotKeptError(f"{holds}: {error}", remedy=error.remedy) from error

    @property
    def _supervisor(self) -> Supervisor:
        if self.house.supervisor is None:
            raise _still_starting()
        return self.house.supervisor


def _still_starting() -> ControlError:
    return NotReadyError("the daemon is still starting", remedy="See: orchestrator ctl status")


def _is_at_rest(actor: Actor) -> bool:
    """Whether only a person gets the job going again."""
    return actor.is_paused or actor.state is ActorState.FAILED


def _run_message(actor: Actor, why_not: str | None) -> str:
    """What becomes of a run that is asked for now."""
    name = actor.job.name
    if why_not is not None:
        return f"Job {name} would be skipped now: {why_not}"
    if actor.state is ActorState.RUNNING:
        return f"Job {name} runs now, and once more when that run has ended"
    if actor.is_paused:
        return f"Job {name} runs once as soon as it may, and stays paused"
    return f"Job {name} runs as soon as it may"


def name_of(caller: Caller) -> str:
    """How it came, if not through the socket; else the caller's login name, or its uid."""
    if caller.via:
        return caller.via
    try:
        return pwd.getpwuid(caller.uid).pw_name
    except KeyError:
        return f"uid {caller.uid}"
