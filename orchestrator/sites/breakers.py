"""A breaker before each site: which of them may be asked now, who was turned away, what people see of it.

A breaker is named `site:NAME`, after the site's name in the settings.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from random import Random

import structlog

from orchestrator.breaker import TRANSITIONS, Breaker, BreakerRule, BreakerState, Transition, Verdict
from orchestrator.breaker import BreakerView as View
from orchestrator.errors import (
    BreakerOpenError,
    ControlError,
    PostUnclearError,
    SiteError,
    SiteUnavailableError,
)
from orchestrator.metrics import Metrics
from orchestrator.settings import Settings

PREFIX = "site:"
ADMITTING = frozenset({BreakerState.CLOSED, BreakerState.FORCED_CLOSED})
"""Where visits go through."""

OnChange = Callable[[Transition, Collection[str]], None]
"""Told of each change, and of the jobs that were turned away and may come back; must not block or raise."""

log = structlog.get_logger("breakers")


class Order(StrEnum):
    """What an operator may ask of a breaker."""

    OPEN = "open"
    CLOSE = "close"
    AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Standing:
    """A breaker as people see it, and who has forced it, if anybody has."""

    view: View
    forced_by: str


def judge(error: Exception) -> Verdict:
    """A site that gives no answer has failed; one that says no, whatever to, is alive.

    A submit without a clear answer is the failure that lies behind it. Anything else is not the site's.
    """
    if isinstance(error, PostUnclearError):
        is_silent = isinstance(error.__cause__, SiteUnavailableError)
        return Verdict.FAILURE if is_silent else Verdict.NEUTRAL
    if isinstance(error, SiteUnavailableError):
        return Verdict.FAILURE
    return Verdict.SUCCESS if isinstance(error, SiteError) else Verdict.NEUTRAL


def make_breakers(
    settings: Settings, *, rng: Random, metrics: Metrics, on_change: OnChange
) -> "SiteBreakers":
    """A breaker for each site that has an account."""
    given = settings.breakers
    # A probe ends by itself: the browser's start and a visit have limits of their own.
    probe_s = settings.browser.launch_timeout_s + settings.browser.visit_timeout_s
    rule = BreakerRule(given.failures, given.open_s, given.open_max_s, probe_s=probe_s)
    sites = sorted({account.site for account in settings.accounts})
    return SiteBreakers(sites, rule, rng=rng, metrics=metrics, on_change=on_change)


class SiteBreakers:
    """One breaker a site. Made inside trio."""

    def __init__(
        self, sites: Iterable[str], rule: BreakerRule, *, rng: Random, metrics: Metrics, on_change: OnChange
    ) -> None:
        self._metrics = metrics
        self._on_change = on_change
        self._by_name = {
            name: Breaker(name, rule, judge, rng=rng, on_change=self._changed)
            for name in (PREFIX + site for site in sites)
        }
        self._turned_away: defaultdict[str, set[str]] = defaultdict(set)
        self._forced_by: dict[str, str] = {}
        for name in self._by_name:
            metrics.declare_breaker(name, TRANSITIONS.items())
            metrics.breaker_state.labels(breaker=name, state=BreakerState.CLOSED).set(1)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._by_name)

    def of(self, site: str) -> Breaker:
        return self._by_name[PREFIX + site]

    # ── for jobs ────────────────────────────────────────────────────────────────────────────────

    def check(self, site: str, job: str) -> None:
        """Raises BreakerOpenError when `site` is not to be asked now; `job` is then told when it may be."""
        with self._counted(site, job):
            self.of(site).check()

    @contextmanager
    def permit(self, site: str, job: str) -> Iterator[None]:
        """`with` it around one visit, whose end is the verdict. Raises as `check` does."""
        with ExitStack() as stack:
            with self._counted(site, job):
                stack.enter_context(self.of(site).permit())
            yield

    @contextmanager
    def _counted(self, site: str, job: str) -> Iterator[None]:
        try:
            yield
        except BreakerOpenError as error:
            self._metrics.breaker_rejected.labels(breaker=error.breaker).inc()
            self._turned_away[error.breaker].add(job)
            raise

    # ── for people ──────────────────────────────────────────────────────────────────────────────

    def standing(self, name: str) -> Standing:
        return Standing(self._by_name[name].view(), self._forced_by.get(name, ""))

    def standings(self) -> list[Standing]:
        return [self.standing(name) for name in self._by_name]

    def look(self, name: str) -> str:
        """What a health check says of the site. Raises SiteUnavailableError while it is not to be asked."""
        view, who = self._by_name[name].view(), self._forced_by.get(name, "an operator")
        way_back = f"orchestrator ctl breaker {name} {Order.AUTO}"
        match view.state:
            case BreakerState.CLOSED if view.failures:
                return f"failures in a row: {view.failures}, the last: {view.last_error}"
            case BreakerState.CLOSED:
                return "may be asked"
            case BreakerState.FORCED_CLOSED:
                return f"is asked whatever comes of it, by order of {who}; until: {way_back}"
            case BreakerState.FORCED_OPEN:
                raise SiteUnavailableError(
                    f"nobody goes there, by order of {who}", remedy=f"Go on with: {way_back}"
                )
        reason = f"it does not answer: {view.last_error}" if view.last_error else "it has yet to answer"
        looks = (
            f"looked at again in {view.next_probe_in_s:.0f} s" if view.next_probe_in_s else "looked at now"
        )
        raise SiteUnavailableError(
            reason,
            remedy=f"Nothing is tried there until it answers; it is {looks}. See: orchestrator ctl breakers",
        )

    def obey(self, name: str, order: str, who: str) -> None:
        """Carry out an operator's order. Raises ControlError for a breaker or an order that is not there."""
        if name not in self._by_name:
            known = ", ".join(self._by_name) or "none, since no account is set"
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

    # ── told by the breakers ────────────────────────────────────────────────────────────────────

    def _changed(self, change: Transition) -> None:
        for state in BreakerState:
            self._metrics.breaker_state.labels(breaker=change.breaker, state=state).set(state is change.new)
        self._metrics.breaker_moved(change.breaker, change.old, change.new)
        tell = log.warning if change.new in (BreakerState.OPEN, BreakerState.FORCED_OPEN) else log.info
        tell("breaker_changed", breaker=change.breaker, was=change.old, state=change.new, why=change.why)
        may_return = self._turned_away.pop(change.breaker, set()) if change.new in ADMITTING else set()
        self._on_change(change, may_return)
