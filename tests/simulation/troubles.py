"""What goes wrong on a simulated day: outages, broken contexts, operators, set clocks, an unlucky job."""

from __future__ import annotations

from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING

import trio

from orchestrator.actors.job import Job
from orchestrator.actors.supervisor import RestartRule
from orchestrator.errors import SiteUnavailableError
from tests.simulation.checks import BugError

if TYPE_CHECKING:
    from tests.simulation.day import Day

SLOWEST_UNLUCKY_S = 3_600.0
"""The unlucky job runs at least so often: its streaks shall end within the day."""


class Misfortune(StrEnum):
    """What befalls the unlucky job."""

    BUG = "bug"
    SITE = "site"
    HANG = "hang"


class BadLuck:
    """One job a day fails several times in a row, around the number that it is forgiven."""

    def __init__(self, job: Job, rng: Random) -> None:
        self.job = job
        self._rng = rng
        self._kind = Misfortune.BUG
        self._left = 0
        self._chance = 1.0

    @property
    def is_over(self) -> bool:
        return self._left == 0

    def begin(self, kind: Misfortune, *, chance: float = 1.0) -> None:
        """A streak; with less than certainty some runs between go well."""
        forgiven = {
            Misfortune.BUG: RestartRule().budget,
            Misfortune.SITE: self.job.retry_rule.retries,
            Misfortune.HANG: 0,
        }[kind]
        self._kind, self._chance = kind, chance
        self._left = max(1, forgiven + self._rng.choice([-1, 0, 1, 2]))

    def falls_on(self, name: str) -> bool:
        """Whether the run of that job that begins is one of those that fail."""
        return name == self.job.name and not self.is_over and self._rng.random() < self._chance

    async def strike(self) -> None:
        """Raises what the run fails with, or never returns."""
        self._left -= 1
        if self._kind is Misfortune.HANG:
            await trio.sleep_forever()
        if self._kind is Misfortune.SITE:
            raise SiteUnavailableError("the site is slow again")
        raise BugError("nobody thought of this either")


class Troubles:
    """The troubles of one day; each goes on beside the others."""

    def __init__(self, day: Day, unlucky: Job) -> None:
        self._day = day
        self._rng = day.rng
        self._witness = day.witness
        self.bad_luck = BadLuck(unlucky, day.rng)

    def start(self, nursery: trio.Nursery) -> None:
        for trouble in (self._outages, self._break, self._operate, self._jump, self._streaks):
            nursery.start_soon(trouble)

    async def _outages(self) -> None:
        rng, day = self._rng, self._day
        while True:
            await trio.sleep(rng.expovariate(1 / 20_000))
            outage_s = rng.choice([5, 60, 1800]) * rng.random()
            if day.is_scarce or rng.random() < 0.5:
                day.records.is_up = False
                await trio.sleep(outage_s)
                day.records.is_up = True
            else:
                day.is_browser_up = False
                await trio.sleep(outage_s)
                day.is_browser_up = True

    async def _break(self) -> None:
        day = self._day
        while not day.is_scarce:
            await trio.sleep(self._rng.expovariate(1 / 10_000))
            day.allocator.break_slot(self._rng.randrange(day.allocator_settings.capacity))

    async def _operate(self) -> None:
        rng, names = self._rng, list(self._witness.served)
        while True:
            await trio.sleep(rng.expovariate(1 / 8_000))
            name = rng.choice([None, rng.choice(names)])
            what = rng.random()
            if what < 0.4:
                self._day.supervisor.pause(name)
                self._witness.paused(name)
                await trio.sleep(rng.expovariate(1 / 3_000))
                self._resume(name)
            elif what < 0.7 or name is None:
                self._resume(None)
            else:
                self._run_now(name)

    def _resume(self, name: str | None) -> None:
        self._witness.resumed(name)
        self._day.supervisor.resume(name)

    def _run_now(self, name: str) -> None:
        self._witness.revived(self._witness.served[name])
        self._day.supervisor.run_now(name, "alice")

    async def _streaks(self) -> None:
        rng, luck = self._rng, self.bad_luck
        while True:
            await trio.sleep(rng.expovariate(1 / 12_000))
            if luck.is_over and rng.random() < 0.3:
                luck.begin(Misfortune.BUG, chance=0.8)
                await self._ask_again_and_again()
            elif luck.is_over:
                luck.begin(rng.choice(list(Misfortune)))

    async def _ask_again_and_again(self) -> None:
        """A burst of crashes: somebody asks for the unlucky job until it stands still."""
        served = self._witness.served[self.bad_luck.job.name]
        while not (self.bad_luck.is_over or served.must_stand):
            self._run_now(self.bad_luck.job.name)
            await trio.sleep(self._rng.uniform(5, 60))

    async def _jump(self) -> None:
        rng, day = self._rng, self._day
        if rng.random() < 0.5:
            return
        while True:
            await trio.sleep(rng.expovariate(1 / 30_000))
            day.jumps += 1
            day.ahead_s += rng.choice([-86_400, -3_600, -30, 30, 3_600, 8 * 3_600, 86_400])
            self._witness.jumped()
