"""Drives the breaker and its reference model through the same random steps and compares them after each.

Calls, the party, the keeper's task and the clock are under the walk's control: time is moved from one moment
at which something is due to the next, or (a stall) past several before any task may run.
"""

import contextlib
import datetime as dates
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from random import Random
from unittest.mock import patch

import pytest
import structlog
import trio
import trio.testing

from orchestrator import breaker as code
from orchestrator.breaker import Breaker, BreakerRule, BreakerState, BreakerView, Permit, Transition, judge_by
from orchestrator.errors import BreakerOpenError, PostRefusedError, SiteError, SiteUnavailableError
from tests.model.breaker_reference import TICK_S, Call, Figures, Reference

WALK_STEPS = 400
"""Then comes another breaker, with another rule."""

# ── the outside ─────────────────────────────────────────────────────────────────────────────────

AWAY = SiteUnavailableError("no answer")
ENDS: dict[str, tuple[BaseException | None, str, str]] = {
    "success": (None, "success", ""),
    "refused": (PostRefusedError("no"), "success", ""),
    "failure": (AWAY, "failure", "no answer"),
    "bug": (ZeroDivisionError("bug"), "neutral", "ZeroDivisionError: bug"),
    "cancel": (trio.Cancelled._create(source="unknown"), "neutral", ""),
}


class Party:
    """Who is called: `mood` is one of ENDS; `answers_after` ticks, or None for never."""

    def __init__(self) -> None:
        self.mood = "success"
        self.answers_after: int | None = 0

    @property
    def verdict(self) -> tuple[str, str]:
        return ENDS[self.mood][1:]

    async def probe(self) -> None:
        """What the keeper asks."""
        await trio.sleep(math.inf if self.answers_after is None else self.answers_after * TICK_S)
        error = ENDS[self.mood][0]
        if error is not None:
            raise error.with_traceback(None)  # or each raise would lengthen the one before


class Dice(Random):
    """Draws one of five even parts of a range: the model draws the same from an equal seed."""

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) * self.randrange(5) / 4


class WallClock:
    """The machine's wall clock, set at will."""

    def __init__(self) -> None:
        self.shows = 1.8e9

    def __call__(self) -> float:
        return self.shows


@contextlib.contextmanager
def wall_shows(wall: WallClock) -> Iterator[None]:
    """`wall` in place of the machine's wall clock for Python code: `time.time` and `time.time_ns`, and the
    `now`, `utcnow` and `today` of `datetime`; in their own modules and where the breaker has imported them.

    Not for `time.localtime`, `time.gmtime` and `time.clock_gettime`.
    """

    class Moments(dates.datetime):
        @classmethod
        def now(cls, tz: dates.tzinfo | None = None) -> "Moments":
            return cls.fromtimestamp(wall(), tz)

        @classmethod
        def utcnow(cls) -> "Moments":
            return cls.fromtimestamp(wall(), dates.UTC).replace(tzinfo=None)

    stands_for = ((time.time, wall), (time.time_ns, lambda: int(wall() * 1e9)), (dates.datetime, Moments))
    with contextlib.ExitStack() as patches:
        for module in (time, dates, code):
            for name, value in list(vars(module).items()):
                for real, ours in stands_for:
                    if value is real:
                        patches.enter_context(patch.object(module, name, ours))
        yield


# ── invariants ──────────────────────────────────────────────────────────────────────────────────


def invariants_hold(breaker: Breaker) -> None:
    rule, probes = breaker.rule, breaker._probes
    deadlines = [permit.deadline for permit in probes]
    assert not probes or breaker._state is BreakerState.HALF_OPEN, "I1"
    assert all(permit.generation == breaker._generation for permit in probes), "I1"
    assert len(probes) <= rule.probes, "I1"
    assert deadlines == sorted(deadlines), "I1"
    assert breaker._state is not BreakerState.CLOSED or breaker._failures < rule.failures, "I2"
    if breaker._state is BreakerState.OPEN:
        assert rule.open_s / 2 <= breaker._open_until - breaker._since <= rule.open_max_s, "I3"


def never_more_probes_than_allowed(out: int, view: BreakerView, rule: BreakerRule) -> None:
    assert out <= view.probes <= rule.probes, f"{out} probes of callers are out, {view.probes} in all"


def stale_results_change_nothing(before: BreakerView, after: BreakerView) -> None:
    assert before == after, f"a result of an older generation made {after} of {before}"


def closed_again_in_time(view: BreakerView, within: int) -> None:
    assert view.state is BreakerState.CLOSED, f"{view} after {within * TICK_S:g} s with a healthy party"


# ── the walk ────────────────────────────────────────────────────────────────────────────────────


@dataclass(eq=False)
class Held:
    """A call under way in both."""

    call: Call
    manager: AbstractContextManager[Permit]
    permit: Permit


class Walk:
    """Random steps of one breaker and its model."""

    def __init__(self, rng: Random, clock: trio.testing.MockClock, wall: WallClock) -> None:
        self.rng, self.clock, self.wall = rng, clock, wall
        figures = Figures(
            failures=rng.randint(1, 5),
            open=8 * rng.randint(1, 40),
            open_max=8 * rng.randint(40, 2000),
            probes=rng.choice((1, 1, 2, 3)),
            probe=rng.randint(1, 400),
        )
        dice = rng.getrandbits(32)
        self.model = Reference(figures, Random(dice))
        self.party = Party()
        self.transitions: list[Transition] = []
        self.rule = BreakerRule(
            figures.failures,
            figures.open * TICK_S,
            figures.open_max * TICK_S,
            figures.probes,
            figures.probe * TICK_S,
        )
        self.breaker = Breaker(
            "party", self.rule, judge_by(SiteError), rng=Dice(dice), on_change=self.transitions.append
        )
        self.held: list[Held] = []
        self.dropped: list[Held] = []
        self.is_stalled = False
        self.trail: deque[str] = deque(maxlen=16)

    async def step(self) -> None:
        """One random step in both, then both are compared; then the keeper has its turn, and again."""
        names, weights = zip(*STEPS.items(), strict=True)
        name = self.rng.choices(names, weights)[0]
        self.trail.append(name)
        was_stalled, self.is_stalled = self.is_stalled, False
        await getattr(self, name)()
        if self.is_stalled:
            return  # nobody looks, so that the next step meets the breaker as it was left
        self.compare()
        if was_stalled or self.model.is_kept:
            await self.settle()
            self.compare()

    async def settle(self) -> None:
        await trio.testing.wait_all_tasks_blocked()
        self.model.keeper_acts(self.party.answers_after, *self.party.verdict)

    def compare(self) -> None:
        invariants_hold(self.breaker)
        view, model = self.breaker.view(), self.model
        in_s = model.next_probe_in
        expected = BreakerView(
            "party",
            BreakerState(model.era.state),
            (model.now - model.era.began) * TICK_S,
            model.failures,
            len(model.probes),
            None if in_s is None else in_s * TICK_S,
            model.lines[-1],
        )
        assert view == expected, f"it is {view}, the model {expected}"
        assert [way.new for way in self.transitions] == [era.state for era in model.eras[1:]]
        out = [held for held in self.held + self.dropped if self.is_current(held) and held.call.deadline]
        never_more_probes_than_allowed(len(out), view, self.rule)

    def is_current(self, held: Held) -> bool:
        return held.permit.generation == len(self.transitions)

    # steps

    async def begin(self) -> None:
        held = self.try_to_begin()
        if held is not None:
            self.held.append(held)

    async def call(self) -> None:
        held = self.try_to_begin()
        if held is not None:
            self.finish(held, self.party.mood)

    async def end(self) -> None:
        if self.held:
            held = self.held.pop(self.rng.randrange(len(self.held)))
            self.finish(held, self.rng.choice((self.party.mood, *ENDS)))

    async def drop(self) -> None:
        if self.held:
            self.dropped.append(self.held.pop())

    async def late(self) -> None:
        if self.dropped:
            held = self.dropped.pop(self.rng.randrange(len(self.dropped)))
            self.finish(held, self.rng.choice((*ENDS,)))

    async def stale(self) -> None:
        """A result of an older generation, looked at by itself."""
        before = self.breaker.view()
        old = [held for held in self.held if not self.is_current(held)]
        if old:
            self.held.remove(old[0])
            self.finish(old[0], self.rng.choice((*ENDS,)))
            stale_results_change_nothing(before, self.breaker.view())

    async def force_open(self) -> None:
        self.breaker.force_open()
        self.model.force("forced_open")

    async def force_closed(self) -> None:
        self.breaker.force_closed()
        self.model.force("forced_closed")

    async def unforce(self) -> None:
        self.breaker.unforce()
        self.model.unforce()

    async def wait(self) -> None:
        await self.pass_ticks(self.rng.randint(0, 64))

    async def wait_long(self) -> None:
        await self.pass_ticks(self.rng.randint(0, 10_000))

    async def wait_until_due(self) -> None:
        moment = self.model.next_moment()
        if moment is not None:
            await self.pass_ticks(max(0, moment - self.model.now - self.rng.choice((0, 0, 1))))

    async def stall(self) -> None:
        """Time passes and no task runs, as when the machine is slow; what happens next comes first."""
        ticks = self.rng.choice((self.rng.randint(0, 64), self.rng.randint(0, 10_000)))
        self.clock.jump(ticks * TICK_S)
        self.model.go_to(self.model.now + ticks)
        self.is_stalled = True

    async def set_wall_clock(self) -> None:
        self.wall.shows += self.rng.uniform(-2, 2) * 86_400

    async def change_mood(self) -> None:
        self.party.mood = self.rng.choice(("success", "failure", "failure", "refused", "bug"))
        self.party.answers_after = self.rng.choice((0, self.rng.randint(0, 800), None))

    async def heal(self) -> None:
        """The party is healthy: without any call, the breaker is closed after open time and probe time.

        The second probe time is for one that began before and hangs; answers take up to half of one.
        """
        if not self.model.is_kept or self.model.era.state.startswith("forced"):
            return
        figures = self.model.figures
        self.party.mood, self.party.answers_after = "success", self.rng.randint(0, figures.probe // 2)
        within = figures.probe + figures.open_max + self.party.answers_after
        await self.settle()  # a stalled keeper has its turn first
        await self.pass_ticks(within)
        closed_again_in_time(self.breaker.view(), within)

    # their parts

    def try_to_begin(self) -> Held | None:
        manager = self.breaker.permit()
        may_call, retry_in = self.model.may_call(), self.model.next_probe_in
        if not may_call:
            with pytest.raises(BreakerOpenError) as refusal:
                manager.__enter__()
            assert refusal.value.retry_in_s == (None if retry_in is None else retry_in * TICK_S)
            return None
        permit = manager.__enter__()
        held = Held(self.model.begin(), manager, permit)
        if held.call.deadline is not None:
            assert permit.deadline == held.call.deadline * TICK_S
        return held

    def finish(self, held: Held, how: str) -> None:
        error, verdict, line = ENDS[how]
        held.manager.__exit__(None if error is None else type(error), error, None)
        self.model.end(held.call, verdict, line)

    async def pass_ticks(self, ticks: int) -> None:
        """Time passes in order: the keeper has its turn at each moment at which something is due."""
        target = self.model.now + ticks
        while (due := self.model.next_moment()) is not None and due <= target:
            await self.jump(max(due, self.model.now))
        await self.jump(target)

    async def jump(self, moment: int) -> None:
        self.clock.jump((moment - self.model.now) * TICK_S)
        self.model.go_to(moment)
        await self.settle()


STEPS = {
    "begin": 20, "call": 20, "end": 20, "drop": 3, "late": 2, "stale": 4,
    "force_open": 0.5, "force_closed": 0.5, "unforce": 8,
    "wait": 10, "wait_long": 2, "wait_until_due": 10, "stall": 6,
    "set_wall_clock": 2, "change_mood": 5, "heal": 2,
}  # fmt: skip


async def _walk(
    rng: Random, clock: trio.testing.MockClock, wall: WallClock, next_step: Iterator[int]
) -> None:
    walk = Walk(rng, clock, wall)
    async with trio.open_nursery() as nursery:
        if rng.random() < 0.75:
            walk.model.is_kept = True
            nursery.start_soon(walk.breaker.keep, walk.party.probe)
            await walk.settle()
        try:
            for _step in next_step:
                await walk.step()
        except Exception as error:
            error.add_note(f"the latest steps were {', '.join(walk.trail)}; {walk.model.figures}")
            raise
        finally:
            for held in walk.held + walk.dropped:
                walk.finish(held, "cancel")
            nursery.cancel_scope.cancel()


def run(steps: int, seed: int, progress: Callable[[int], None]) -> None:
    """Walk `steps` steps, telling `progress` the number of each; raises when breaker and model part.

    A walk of more steps begins with the very steps of a shorter one with the same seed.
    """
    rng, wall = Random(seed), WallClock()
    with _quiet(), wall_shows(wall):
        for first in range(0, steps, WALK_STEPS):
            clock = trio.testing.MockClock()
            trio.run(
                _walk, rng, clock, wall, _count(first, min(first + WALK_STEPS, steps), progress), clock=clock
            )


def _count(first: int, end: int, progress: Callable[[int], None]) -> Iterator[int]:
    for step in range(first, end):
        progress(step)
        yield step


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Probes that fail by a bug are logged, with their traces; here they are meant."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    try:
        yield
    finally:
        structlog.configure(**before)
