"""Database, cache and browser, up and down in every combination and order: modes and jobs follow (A1.3).

The real checks, modes and their recovery, over parts that the test breaks and mends; in virtual time.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import pytest
import trio
import trio.testing

from orchestrator.errors import BrowserError, CacheUnavailableError, DatabaseUnavailableError
from orchestrator.health import problems
from orchestrator.health.checks import RECHECK_S, Check, Checks
from orchestrator.health.modes import BROWSER, DATABASE, Modes
from orchestrator.metrics import Metrics
from orchestrator.model import Mode
from orchestrator.retry import RetryRule
from orchestrator.testing.clock import WallClock
from tests.fakes import Part, a_job

CACHE = "cache"
ERRORS = {
    DATABASE: DatabaseUnavailableError("no answer"),
    CACHE: CacheUnavailableError("no answer"),
    BROWSER: BrowserError("it died"),
}
ALL = frozenset(ERRORS)
COMBINATIONS = [frozenset(up) for count in range(4) for up in itertools.combinations(sorted(ALL), count)]
"""Which parts are up."""
JOBS = (
    a_job("posting", uses_browser=True),
    a_job("plan"),
    a_job("browsing", uses_browser=True, needs_database=False),
    a_job("idle", needs_database=False),
)
ROUND_S = 60.0
"""As `health_monitor` looks at everything."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What must follow from the parts that are up."""

    mode: Mode
    is_ready: bool
    jobs: frozenset[str]


TABLE = {
    frozenset({DATABASE, CACHE, BROWSER}): Expected(
        Mode.READY, True, frozenset({"posting", "plan", "browsing", "idle"})
    ),
    frozenset({DATABASE, BROWSER}): Expected(
        Mode.DEGRADED, True, frozenset({"posting", "plan", "browsing", "idle"})
    ),
    frozenset({DATABASE, CACHE}): Expected(Mode.DEGRADED, False, frozenset({"plan", "idle"})),
    frozenset({DATABASE}): Expected(Mode.DEGRADED, False, frozenset({"plan", "idle"})),
    frozenset({CACHE, BROWSER}): Expected(Mode.DEGRADED, False, frozenset({"browsing", "idle"})),
    frozenset({BROWSER}): Expected(Mode.DEGRADED, False, frozenset({"browsing", "idle"})),
    frozenset({CACHE}): Expected(Mode.DEGRADED, False, frozenset({"idle"})),
    frozenset(): Expected(Mode.DEGRADED, False, frozenset({"idle"})),
}


class House:
    """The three parts, and what the daemon makes of them."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.checks = Checks(WallClock().clock(), self.metrics)
        self.modes = Modes(self.checks, self.metrics)
        self.parts = {name: Part() for name in ERRORS}
        for name, part in self.parts.items():
            self.checks.add(Check(name, part.probe, is_critical=name != CACHE))

    def set(self, up: frozenset[str]) -> None:
        for name, part in self.parts.items():
            part.error = None if name in up else ERRORS[name]

    async def live(self) -> None:
        """What the daemon does: look at all once a minute, and often at what is down."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.checks.watch_for_recovery, self.modes.publish)
            while True:
                await self.checks.look_at_all()
                self.modes.publish()
                await trio.sleep(ROUND_S)

    def check(self, up: frozenset[str]) -> None:
        expected = TABLE[up]
        assert self.modes.mode is expected.mode
        assert self.modes.is_ready == expected.is_ready
        assert {job.name for job in JOBS if self.modes.why_not(job) is None} == expected.jobs
        assert {row["subject"] for row in problems.of_checks(self.checks)} == ALL - up
        found = self.metrics.registry.get_sample_value
        assert [mode for mode in Mode if found("orchestrator_mode", {"mode": mode})] == [expected.mode]
        assert {name for name in ALL if found("orchestrator_check_up", {"check": name})} == up


def test_the_table_has_each_combination() -> None:
    assert set(TABLE) == set(COMBINATIONS)


@pytest.mark.parametrize(
    ("before", "after"),
    list(itertools.product(COMBINATIONS, repeat=2)),
    ids=lambda up: "+".join(sorted(up)) or "nothing",
)
async def test_from_each_combination_to_each_other_all_follows_by_itself(
    before: frozenset[str], after: frozenset[str], autojump_clock: trio.testing.MockClock
) -> None:
    house = House()
    house.set(before)
    house.modes.start()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.live)
        await trio.sleep(1)
        house.check(before)
        house.set(after)
        # What has come back is found by the next look at what is down, what has gone by the next round.
        await trio.sleep(ROUND_S if before - after else RECHECK_S + 0.1)
        house.check(after)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("part", sorted(ALL))
async def test_a_part_that_flaps_is_followed_each_time_and_loses_nothing(
    part: str, autojump_clock: trio.testing.MockClock
) -> None:
    house = House()
    house.modes.start()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.live)
        await trio.sleep(1)
        for _ in range(20):
            house.set(ALL - {part})
            await trio.sleep(ROUND_S)
            house.check(ALL - {part})
            house.set(ALL)
            await trio.sleep(RECHECK_S + 0.1)
            house.check(ALL)
        nursery.cancel_scope.cancel()


def flaps(seed: int) -> Iterator[frozenset[str]]:
    """A random walk over the combinations."""
    rng = Random(seed)
    return (rng.choice(COMBINATIONS) for _ in range(50))


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_flaps_in_between_the_end_is_what_the_parts_are(
    seed: int, autojump_clock: trio.testing.MockClock
) -> None:
    house, rng = House(), Random(seed)
    house.modes.start()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.live)
        for up in flaps(seed):
            house.set(up)
            await trio.sleep(rng.uniform(0, 5))
        await trio.sleep(ROUND_S + RECHECK_S)
        house.check(up)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("up", COMBINATIONS, ids=lambda up: "+".join(sorted(up)) or "nothing")
async def test_the_gate_opens_in_each_combination_and_says_starting_until_then(
    up: frozenset[str], autojump_clock: trio.testing.MockClock
) -> None:
    house = House()
    house.set(up)
    rule = RetryRule(2, 1.0, 30.0)
    for name in sorted(ALL):
        assert (house.modes.mode, house.modes.is_ready) == (Mode.STARTING, False)
        await house.checks.insist(name, rule, Random(1))
    assert {part.looks for name, part in house.parts.items() if name not in up} <= {3}
    house.modes.start()
    house.check(up)


@pytest.mark.parametrize("up", COMBINATIONS, ids=lambda up: "+".join(sorted(up)) or "nothing")
async def test_draining_stays_draining_whatever_comes_back(
    up: frozenset[str], autojump_clock: trio.testing.MockClock
) -> None:
    house = House()
    house.modes.start()
    house.modes.drain()
    house.set(up)
    await house.checks.look_at_all()
    assert (house.modes.mode, house.modes.is_ready) == (Mode.DRAINING, False)
