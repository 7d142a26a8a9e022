"""The house's breakers, one for each outside party: which may be asked, who waits, what people see.

A party is added with a name, which its breaker, its health check, its metrics and its settings bear; when
that happens does not matter: an operator's order that was kept, and the probes, find a late one too.
"""

import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import TypeAlias

import structlog
import trio

from orchestrator.breaker import TRANSITIONS, Breaker, BreakerRule, BreakerState, Judge, Transition
from orchestrator.breaker import BreakerView as View
from orchestrator.errors import BreakerOpenError, ControlError, PartyUnavailableError
from orchestrator.metrics import Metrics
from orchestrator.settings import BreakersSettings

ADMITTING = frozenset({BreakerState.CLOSED, BreakerState.FORCED_CLOSED})
"""Where calls go through."""

Probe: TypeAlias = Callable[[], Awaitable[object]]
"""Asks a party whether it is well, as `Breaker.keep` wants it."""

OnChange: TypeAlias = Callable[[Transition, Collection[str]], None]
"""Told of each change, and of the jobs that may come back; must not block or raise."""

log = structlog.get_logger("breakers")


class Order(StrEnum):
    """What an operator may ask of a breaker."""

    OPEN = "open"
    CLOSE = "close"
    AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody outside who is asked by way of a breaker."""

    name: str
    rule: BreakerRule
    judge: Judge
    keeps: str
    """What follows for people while it is left alone, such as "nobody goes there"."""
    probe: Probe | None = None
    """None: there is no cheap way to ask, so the next call is the probe, and jobs are woken to make it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A breaker as people see it, and who has forced it, if anybody has."""

    view: View
    forced_by: str


def rule_for(settings: BreakersSettings, name: str, probe_s: float) -> BreakerRule:
    """The figures of one party; `probe_s` is for settings that name none."""
    given = settings.of(name)
    return BreakerRule(given.failures, given.open_s, given.open_max_s, probe_s=given.probe_s or probe_s)


class Breakers:
    """One breaker a party. Made inside trio; `run` makes the probes.

    `on_add` is told the name of each party that is added.
    """

    def __init__(
        self,
        *,
        rng: Random,
        metrics: Metrics,
        on_change: OnChange,
        on_add: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._rng = rng
        self._metrics = metrics
        self._on_change = on_change
        self._on_add = on_add
        self._parties: dict[str, Party] = {}
        self._by_name: dict[str, Breaker] = {}
        self._turned_away: defaultdict[str, set[str]] = defaultdict(set)
        """By breaker, the jobs that were refused a call."""
        self._failed: defaultdict[str, set[str]] = defaultdict(set)
        """By breaker, the jobs whose latest call came to nothing."""
        self._forced_by: dict[str, str] = {}
        self._orders: dict[str, tuple[str, str]] = {}
        """Kept orders to parties that are not there, and who gave them."""
        self._moved: defaultdict[str, trio.Event] = defaultdict(trio.Event)
        """Set when the breaker changes its state; replaced each time."""
        self._nursery: trio.Nursery | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._by_name)

    def of(self, name: str) -> Breaker:
        return self._by_name[name]

    def add(self, party: Party) -> None:
        """From now on the party has a breaker. Raises ValueError for a name that is there."""
        name = party.name
        if name in self._parties:
            raise ValueError(f"there is a breaker {name!r} already")
        self._parties[name] = party
        self._by_name[name] = Breaker(name, party.rule, party.judge, rng=self._rng, on_change=self._changed)
        self._metrics.declare_breaker(name, TRANSITIONS.items())
        self._metrics.breaker_state.labels(breaker=name, state=BreakerState.CLOSED).set(1)
        self._on_add(name)
        if name in self._orders:
            self.obey(name, *self._orders.pop(name))
        if self._nursery is not None:
            self._nursery.start_soon(self._keep, party)

    async def run(self) -> None:
        """Bring breakers back for ever, those of parties that are added later too."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                for party in self._parties.values():
                    nursery.start_soon(self._keep, party)
                await trio.sleep_forever()
            finally:
                self._nursery = None

    # ── for jobs ────────────────────────────────────────────────────────────────────────────────

    def check(self, name: str, job: str) -> None:
        """Raises BreakerOpenError when the party is not to be asked now; `job` is told when it may be."""
        with self._counted(name, job):
            self.of(name).check()

    @contextmanager
    def permit(self, name: str, job: str) -> Iterator[None]:
        """`with` it around one call, whose end is the verdict. Raises as `check` does.

        A job whose call comes to nothing is told like one that is turned away: it may have given up by then.
        """
        with ExitStack() as stack:
            with self._counted(name, job):
                stack.enter_context(self.of(name).permit())
            self._failed[name].add(job)  # before the verdict, which may be the one that opens the breaker
            yield
            self._failed[name].discard(job)

    @contextmanager
    def _counted(self, name: str, job: str) -> Iterator[None]:
        try:
            yield
        except BreakerOpenError:
            self._metrics.breaker_rejected.labels(breaker=name).inc()
            self._turned_away[name].add(job)
            raise

    # ── for people ──────────────────────────────────────────────────────────────────────────────

    def standing(self, name: str) -> Standing:
        return Standing(self._by_name[name].view(), self._forced_by.get(name, ""))

    def standings(self) -> list[Standing]:
        return [self.standing(name) for name in self._by_name]

    def keeps(self, name: str) -> str:
        """What follows for people while the party is left alone."""
        return self._parties[name].keeps

    def look(self, name: str) -> str:
        """What a health check says of the party. Raises PartyUnavailableError while it is not to be asked."""
        view, who = self._by_name[name].view(), self._forced_by.get(name, "an operator")
        keeps, way_back = self.keeps(name), f"orchestrator ctl breaker {name} {Order.AUTO}"
        match view.state:
            case BreakerState.CLOSED if view.failures:
                return f"failures in a row: {view.failures}, the last: {view.last_error}"
            case BreakerState.CLOSED:
                return "may be asked"
            case BreakerState.FORCED_CLOSED:
                return f"is asked whatever comes of it, by order of {who}; until: {way_back}"
            case BreakerState.FORCED_OPEN:
                raise PartyUnavailableError(f"{keeps}, by order of {who}", remedy=f"Go on with: {way_back}")
        reason = f"it does not answer: {view.last_error}" if view.last_error else "it has yet to answer"
        when = f"again in {view.next_probe_in_s:.0f} s" if view.next_probe_in_s else "now"
        raise PartyUnavailableError(
            reason,
            remedy=f"Until it answers {keeps}; it is asked {when}. See: orchestrator ctl breakers",
        )

    def obey(self, name: str, order: str, who: str) -> None:
        """Carry out an operator's order. Raises ControlError for a breaker or an order that is not there."""
        if name not in self._by_name:
            known = ", ".join(self._by_name) or "none, since no site is set"
            raise ControlError(f"there is no breaker {name!r}", remedy=f"Breakers: {known}")
        if order not in list(Order):
            raise ControlError(f"a breaker takes no order {order!r}", remedy=f"Orders: {', '.join(Order)}")
        breaker = self._by_name[name]
        self._forced_by[name] = who
        match Order(order):
            case Order.OPEN:
                breaker.force_open()
            case Order.CLOSE:
                breaker.force_closed()
            case Order.AUTO:
                del self._forced_by[name]
                breaker.unforce()

    def restore(self, orders: Iterable[tuple[str, str, str]]) -> None:
        """Carry out kept orders (breaker, order, who); those to parties that are not there, when they are."""
        for name, order, who in orders:
            if name in self._by_name:
                self.obey(name, order, who)
            else:
                self._orders[name] = order, who

    # ── the way back ────────────────────────────────────────────────────────────────────────────

    async def _keep(self, party: Party) -> None:
        breaker = self._by_name[party.name]
        if party.probe is None:
            await self._look_when_due(breaker)
        else:
            await breaker.keep(party.probe)

    async def _look_when_due(self, breaker: Breaker) -> None:
        """Look at the breaker when its open time is over, which makes it half-open and tells the jobs."""
        while True:
            moved = self._moved[breaker.name]
            next_s = breaker.view().next_probe_in_s
            if moved is self._moved[breaker.name]:  # else the look has moved it
                with trio.move_on_after(next_s or math.inf):
                    await moved.wait()

    def _changed(self, change: Transition) -> None:
        name, new = change.breaker, change.new
        for state in BreakerState:
            self._metrics.breaker_state.labels(breaker=name, state=state).set(state is new)
        self._metrics.breaker_moved(name, change.old, new)
        tell = log.warning if new in (BreakerState.OPEN, BreakerState.FORCED_OPEN) else log.info
        tell("breaker_changed", breaker=name, was=change.old, state=new, why=change.why)
        self._moved[name].set()
        self._moved[name] = trio.Event()
        may_come = self._jobs_of(name) if new in self._admitting(name) else set()
        self._on_change(change, may_come)

    def _admitting(self, name: str) -> frozenset[BreakerState]:
        """Where jobs may come; without a probe one of them has to make it."""
        return ADMITTING if self._parties[name].probe is not None else ADMITTING | {BreakerState.HALF_OPEN}

    def _jobs_of(self, name: str) -> set[str]:
        return self._turned_away.pop(name, set()) | self._failed.pop(name, set())
