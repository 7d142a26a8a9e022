"""Whether an outside party (a site, the database, an API) may be asked now.

Words
    permit      the right to make one call; belongs to the generation in which it was given
    generation  the time between two changes of state; a number that only grows
    verdict     what a call that ended says of the party: success, failure, or nothing (neutral)
    probe       a permit given while half-open; it has a deadline
    keeper      the task that runs `keep`: it probes by itself

Rules; each has a function of its own below
    1  `rule.failures` failures in a row open the breaker; a success between them counts anew,
       a neutral end changes nothing                                              `_call_ended`
    2  open: no call until the open time is over, then half-open                  `_catch_up`
    3  half-open: never more than `rule.probes` probes at once; the first verdict
       closes it or opens it again, a neutral end makes room for another probe    `_may_call`, `_probe_ended`
    4  a probe that is not back at its deadline has failed, whatever it says later `_catch_up`
    5  what a permit of an older generation says changes nothing                  `_give_back`
    6  each opening in a row lasts twice as long, up to `rule.open_max_s`, less a
       random part of up to half; closing begins anew                             `_open`
    7  recovery needs no traffic: the keeper probes as soon as the open time is
       over, and nobody takes its place                                           `keep`, `permit`
    8  forced open or closed by an operator: verdicts and time change nothing     `force_open`, `force_closed`

Every change of state is one synchronous step on the trio thread, so there is no lock. Times are
seconds of `trio.current_time()`, which no change of the wall clock moves. What time alone changes
(rules 2 and 4) is made up for by whoever looks next, as of the moment at which it was due.

Why failures in a row: a failure rate needs a minimum of calls to mean anything (Resilience4j's default
is 100), and this daemon makes a few a minute. Envoy's outlier detection counts in a row too (5 by
default) and lengthens the time out with each repetition up to a cap. A party that answers every other
call stays closed: it is alive, and retries get through.

Invariants, true whenever no method of this module is running
    I1  a permit is in `_probes` implies the breaker is half-open and the permit of its generation;
        `_probes` holds at most `rule.probes`, oldest deadline first
    I2  closed implies `_failures` < `rule.failures`
    I3  open implies `_since + rule.open_s / 2` <= `_open_until` <= `_since + rule.open_max_s`
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import NoReturn, TypeAlias

import structlog
import trio

from orchestrator.errors import BreakerOpenError, Failure, OrchestratorError

log = structlog.get_logger("breaker")


class BreakerState(StrEnum):
    """Where a breaker stands; `TRANSITIONS` has every way from one to the next."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    FORCED_CLOSED = "forced_closed"


#               failures            time
#      closed ───────────► open ◄────────► half_open        from each of them an operator
#        ▲                       failure       │            forces open or closed
#        └─────────────────────────────────────┘
#                        success
#   forced_open ──► half_open (auto) | forced_closed        forced_closed ──► closed (auto) | forced_open
FORCED = frozenset({BreakerState.FORCED_OPEN, BreakerState.FORCED_CLOSED})
TRANSITIONS: dict[BreakerState, frozenset[BreakerState]] = {
    BreakerState.CLOSED: FORCED | {BreakerState.OPEN},
    BreakerState.OPEN: FORCED | {BreakerState.HALF_OPEN},
    BreakerState.HALF_OPEN: FORCED | {BreakerState.CLOSED, BreakerState.OPEN},
    BreakerState.FORCED_OPEN: frozenset({BreakerState.HALF_OPEN, BreakerState.FORCED_CLOSED}),
    BreakerState.FORCED_CLOSED: frozenset({BreakerState.CLOSED, BreakerState.FORCED_OPEN}),
}


class Verdict(StrEnum):
    """What the end of a call says of the party."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"


Judge: TypeAlias = Callable[[Exception], Verdict]


def judge_by(*kinds: type[OrchestratorError]) -> Judge:
    """Errors of `kinds` are the party's own: transient ones are failures, others are answers of one alive.

    Any further error is neutral: a bug of ours, or the failure of another party within the same call.
    """

    def judge(error: Exception) -> Verdict:
        if not isinstance(error, kinds):
            return Verdict.NEUTRAL
        return Verdict.FAILURE if error.failure is Failure.TRANSIENT else Verdict.SUCCESS

    return judge


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """When a breaker opens, and how it comes back. Raises ValueError for figures that can't work."""

    failures: int = 5
    """In a row, until it opens."""
    open_s: float = 10.0
    open_max_s: float = 300.0
    """How long it stays open at most: `open_s` the first time, twice as long each further time."""
    probes: int = 1
    """At once, while half-open."""
    probe_s: float = 30.0
    """A probe that is not back after this has failed."""

    def __post_init__(self) -> None:
        if min(self.failures, self.probes) < 1 or self.probe_s <= 0 or not 0 < self.open_s <= self.open_max_s:
            raise ValueError(
                f"a breaker needs failures, probes and times above 0, open_s up to open_max_s: {self}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Permit:
    """The right to make one call."""

    generation: int
    deadline: float
    """Of a probe; infinite for any other call, since nothing is held for it."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of state."""

    breaker: str
    old: BreakerState
    new: BreakerState
    why: str


@dataclass(frozen=True, slots=True)
class BreakerView:
    """A breaker as people see it."""

    name: str
    state: BreakerState
    in_state_s: float
    failures: int
    """In a row: calls and probes."""
    probes: int
    """Out at this moment."""
    next_probe_in_s: float | None
    """Seconds; None while none is due."""
    last_error: str
    """The latest failure that counted, also when it is over; empty when there was none."""


class Breaker:
    """Guards one party. Made inside trio; `name` is for people.

    `judge` gives the verdict of an error that ended a call. `on_change` is called in the step in which
    the state changes; it must not block or raise.
    """

    def __init__(
        self,
        name: str,
        rule: BreakerRule,
        judge: Judge,
        *,
        rng: Random,
        on_change: Callable[[Transition], None] = lambda transition: None,
    ) -> None:
        self.name = name
        self.rule = rule
        self._judge = judge
        self._rng = rng
        self._on_change = on_change
        self._state = BreakerState.CLOSED
        self._since = trio.current_time()
        self._generation = 0
        self._failures = 0
        self._last_error = ""
        self._next_open_s = rule.open_s
        self._open_until = -math.inf
        self._probes: list[Permit] = []
        self._is_keeper_waiting = False
        self._changed = trio.Event()  # of the state, or a probe is back; replaced each time

    # ── for callers ─────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def permit(self) -> Iterator[Permit]:
        """`with` it around one call. Raises BreakerOpenError when the party is not to be asked now.

        How the block ends is the verdict: a success, an error by `judge`, a cancellation as neutral. So
        a time-out that shall count belongs inside the block, as an error of the party.
        """
        permit = self._take(self.rule.probes - self._is_keeper_waiting)
        verdict, line = Verdict.NEUTRAL, ""
        try:
            yield permit
            verdict = Verdict.SUCCESS
        except Exception as error:
            verdict, line = self._judged(error)
            raise
        finally:
            self._give_back(permit, verdict, line)

    def check(self) -> None:
        """Raises BreakerOpenError when `permit` would now; takes nothing and says nothing of the party."""
        self._check(self.rule.probes - self._is_keeper_waiting)

    def view(self) -> BreakerView:
        """The breaker at this moment."""
        now = self._catch_up()
        return BreakerView(
            name=self.name,
            state=self._state,
            in_state_s=now - self._since,
            failures=self._failures,
            probes=len(self._probes),
            next_probe_in_s=self._next_probe_in_s(now),
            last_error=self._last_error,
        )

    # ── for the daemon ──────────────────────────────────────────────────────────────────────────

    async def keep(self, probe: Callable[[], Awaitable[object]]) -> NoReturn:
        """Rule 7. Bring the breaker back by asking the party with `probe`, for ever; once in a breaker.

        `probe` is cancelled at its deadline. It has failed unless it returns, or raises an error that
        `judge` takes for an answer: one that can't tell must not be asked again at once.
        """
        while True:
            await self._wait_turn()
            await self._ask(probe)

    async def _wait_turn(self) -> None:
        self._is_keeper_waiting = True
        try:
            while not self._may_probe():
                with trio.move_on_at(self._next_moment()):
                    await self._changed.wait()
        finally:
            self._is_keeper_waiting = False

    async def _ask(self, probe: Callable[[], Awaitable[object]]) -> None:
        permit = self._take(self.rule.probes)
        verdict, line = Verdict.NEUTRAL, ""
        try:
            with trio.move_on_at(permit.deadline):
                await probe()
                verdict = Verdict.SUCCESS
        except Exception as error:
            verdict, line = self._judged(error)
            if verdict is Verdict.NEUTRAL:
                log.exception("probe_failed", breaker=self.name)
                verdict, line = Verdict.FAILURE, _line(error)
        finally:
            self._give_back(permit, verdict, line)

    # ── for operators ───────────────────────────────────────────────────────────────────────────

    def force_open(self) -> None:
        """Rule 8. No call until `unforce` or `force_closed`."""
        self._force(BreakerState.FORCED_OPEN)

    def force_closed(self) -> None:
        """Rule 8. Every call, whatever comes of it, until `unforce` or `force_open`."""
        self._force(BreakerState.FORCED_CLOSED)

    def unforce(self) -> None:
        """The breaker decides again: after forced open by a probe, after forced closed it is closed."""
        if self._state is BreakerState.FORCED_OPEN:
            self._become(BreakerState.HALF_OPEN, trio.current_time(), "not forced any more")
        elif self._state is BreakerState.FORCED_CLOSED:
            self._become(BreakerState.CLOSED, trio.current_time(), "not forced any more")

    def _force(self, state: BreakerState) -> None:
        now = self._catch_up()
        if self._state is not state:
            self._become(state, now, "by an operator")

    # ── rules ───────────────────────────────────────────────────────────────────────────────────

    def _catch_up(self) -> float:
        """Rules 2 and 4. Whatever was due by now has happened; returns now."""
        now = trio.current_time()
        if self._probes and (deadline := self._probes[0].deadline) <= now:
            self._failed(f"a probe did not come back within {self.rule.probe_s:g} s")
            self._open(deadline)
        if self._state is BreakerState.OPEN and self._open_until <= now:
            self._become(BreakerState.HALF_OPEN, self._open_until, "the open time is over")
        return now

    def _may_call(self, probes: int) -> bool:
        """Rule 3. Whether there is a permit for a caller who may have one of `probes` probes."""
        if self._state is BreakerState.HALF_OPEN:
            return len(self._probes) < probes
        return self._state in {BreakerState.CLOSED, BreakerState.FORCED_CLOSED}

    def _call_ended(self, now: float, verdict: Verdict, line: str) -> None:
        """Rule 1."""
        if verdict is Verdict.SUCCESS:
            self._failures = 0
        elif verdict is Verdict.FAILURE:
            self._failed(line)
            if self._failures >= self.rule.failures:
                self._open(now)

    def _probe_ended(self, permit: Permit, now: float, verdict: Verdict, line: str) -> None:
        """Rule 3."""
        if verdict is Verdict.SUCCESS:
            self._become(BreakerState.CLOSED, now, "a probe succeeded")
        elif verdict is Verdict.FAILURE:
            self._failed(line)
            self._open(now)
        else:
            self._probes.remove(permit)
            self._wake_keeper()

    def _open(self, at: float) -> None:
        """Rule 6. The random part keeps breakers that opened together from probing together."""
        bound_s = self._next_open_s
        self._next_open_s = min(2 * bound_s, self.rule.open_max_s)
        self._open_until = at + self._rng.uniform(bound_s / 2, bound_s)
        self._become(
            BreakerState.OPEN, at, f"failures in a row: {self._failures}, the last: {self._last_error}"
        )

    # ── steps ───────────────────────────────────────────────────────────────────────────────────

    def _check(self, probes: int) -> float:
        now = self._catch_up()
        if not self._may_call(probes):
            raise BreakerOpenError(self.name, self._next_probe_in_s(now), self._last_error)
        return now

    def _take(self, probes: int) -> Permit:
        now = self._check(probes)
        if self._state is not BreakerState.HALF_OPEN:
            return Permit(self._generation, math.inf)
        permit = Permit(self._generation, now + self.rule.probe_s)
        self._probes.append(permit)
        return permit

    def _give_back(self, permit: Permit, verdict: Verdict, line: str) -> None:
        """Rule 5."""
        now = self._catch_up()
        if permit.generation != self._generation:
            return
        if self._state is BreakerState.HALF_OPEN:
            self._probe_ended(permit, now, verdict, line)
        elif self._state is BreakerState.CLOSED:
            self._call_ended(now, verdict, line)

    def _failed(self, line: str) -> None:
        self._failures += 1
        self._last_error = line

    def _become(self, new: BreakerState, at: float, why: str) -> None:
        assert new in TRANSITIONS[self._state]
        old, self._state, self._since = self._state, new, at
        self._generation += 1
        self._probes.clear()
        if new is BreakerState.CLOSED or new in FORCED:
            self._failures = 0
            self._next_open_s = self.rule.open_s
        self._wake_keeper()
        self._on_change(Transition(self.name, old, new, why))

    # ── the keeper's turn ───────────────────────────────────────────────────────────────────────

    def _may_probe(self) -> bool:
        self._catch_up()
        return self._state is BreakerState.HALF_OPEN and self._may_call(self.rule.probes)

    def _next_moment(self) -> float:
        """When time alone changes something."""
        if self._state is BreakerState.OPEN:
            return self._open_until
        return self._probes[0].deadline if self._probes else math.inf

    def _wake_keeper(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    # ── for people ──────────────────────────────────────────────────────────────────────────────

    def _judged(self, error: Exception) -> tuple[Verdict, str]:
        """The verdict of an error, and its line. A group is a failure if one of its errors is, else neutral
        if one is."""
        if not isinstance(error, ExceptionGroup):
            return self._judge(error), _line(error)
        parts = [self._judged(part) for part in error.exceptions]
        return min(parts, key=lambda part: _GRAVITY.index(part[0]))

    def _next_probe_in_s(self, now: float) -> float | None:
        if self._state is BreakerState.OPEN:
            return self._open_until - now
        return 0.0 if self._state is BreakerState.HALF_OPEN else None


_GRAVITY = (Verdict.FAILURE, Verdict.NEUTRAL, Verdict.SUCCESS)


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, OrchestratorError) else f"{type(error).__name__}: {text}"
