"""Contexts opened, used and closed, over and over, with the real pool: nothing stays, nothing grows.

make contexts CYCLES=10000
"""
# ruff: noqa: T201 - it is a program of the terminal

import argparse
import gc
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import psutil
import structlog
import trio
from playwright.async_api import Page

from bench.site import running_site
from orchestrator import aio
from orchestrator.browser import processes
from orchestrator.browser.guard import HostRules
from orchestrator.browser.page import open_url
from orchestrator.browser.pool import DIRECTORY, ContextPool, open_pool
from orchestrator.settings import BrowserSettings
from tests.browser.harness import family_of, of_kind
from tests.weight import own_bytes

CAPACITY = 3
MARKS = (0.1, 0.5, 1.0)
CANCELLED_WITHIN_S = 0.3
"""From no context at all to a page that is loading."""
SETTLE_S = 20.0
"""How long the processes of closed contexts may take to end, on a busy machine."""
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Inventory:
    """What is there while the slots hold one idle context each."""

    contexts: int
    objects: int
    """What the driver keeps for us: Playwright tells of each that comes and goes."""
    processes: int
    descriptors: int
    """Open files of daemon, driver and browser."""
    files: int
    """In the pool's directory, where driver and browser have all theirs."""
    launches: int
    daemon_mib: int
    """This and the two others: see `own_bytes`."""
    driver_mib: int
    browser_mib: int
    """Without renderers: those end with their contexts."""


GROWTH = Inventory(
    contexts=0,
    objects=10,
    processes=1,
    descriptors=12,
    files=12,
    launches=0,
    daemon_mib=24,
    driver_mib=24,
    browser_mib=32,
)
"""The bounds from the first inventory to the last. Memory: heaps that are collected now and then, and what is
still being warmed up: 2 MiB and less in 10,000 cycles, but 8 for the browser; over so many a leak of 4 kB a
context shows. Processes: a spare renderer."""


class NoStore:
    """Keeps no sign-in, so that what grows is the browser's or ours."""

    async def load(self, _account: str) -> bytes | None:
        return None

    async def save(self, _account: str, _state: bytes) -> None:
        """Forget it."""


@dataclass(slots=True)
class Cycles:
    """A pool, and how often a context was opened in it, used and closed."""

    pool: ContextPool
    address: str
    directory: Path
    cancelled_share: float
    rng: Random
    done: int = 0
    cancelled: int = 0

    async def run(self, upto: int) -> Inventory:
        """Go on until `upto` cycles are done; then what is there."""
        async with trio.open_nursery() as nursery:
            for slot in range(CAPACITY):
                nursery.start_soon(self._work, slot, upto)
        return await self._settled_inventory()

    async def _work(self, slot: int, upto: int) -> None:
        while self.done < upto:
            self.done += 1
            # Each cycle is another account's, so the context before it is closed.
            await self._cycle(slot, f"account {self.done}")

    async def _cycle(self, slot: int, account: str) -> None:
        limit_s = float("inf")
        if self.rng.random() < self.cancelled_share:
            limit_s = self.rng.uniform(0, CANCELLED_WITHIN_S)
        hosts = frozenset({self.address.partition("//")[2]})
        rules = HostRules.parse(hosts)

        async def look(page: Page) -> None:
            answer = await open_url(page, self.address, rules)
            if answer.status != 200:
                raise RuntimeError(f"the bundled site answered {answer.status}")

        with trio.move_on_after(limit_s) as scope:
            async with self.pool.use(slot, account, hosts) as browser:
                await browser.visit(look)
        self.cancelled += scope.cancelled_caught

    async def _settled_inventory(self) -> Inventory:
        """An inventory with a context in each slot, once the processes of closed ones have ended."""
        share, self.cancelled_share = self.cancelled_share, 0.0
        for slot in range(CAPACITY):
            await self._cycle(slot, f"idle {slot}")
        self.cancelled_share = share
        gc.collect()
        await trio.sleep(1)
        with trio.move_on_after(SETTLE_S):
            while len(_renderers(self.pool)) > CAPACITY + 1:
                await trio.sleep(0.2)
        return self._inventory()

    def _inventory(self) -> Inventory:
        driver, browser = self.pool.process_ids()
        engine = self.pool._engine.last
        assert engine is not None
        renderers = {process.pid for process in _renderers(self.pool)}
        browser_family = set(processes.browser_family(browser)) - renderers
        return Inventory(
            contexts=len(engine.browser.contexts),
            objects=len(engine.playwright._impl_obj._connection._objects),
            processes=1 + len(psutil.Process().children(recursive=True)),
            descriptors=sum(psutil.Process(pid).num_fds() for pid in (os.getpid(), driver, browser)),
            files=sum(path.is_file() for path in self.directory.rglob("*")),
            launches=self.pool.statistics().launches,
            daemon_mib=own_bytes(os.getpid()) // MIB,
            driver_mib=own_bytes(driver) // MIB,
            browser_mib=sum(map(own_bytes, browser_family)) // MIB,
        )


def _renderers(pool: ContextPool) -> list[psutil.Process]:
    return of_kind(family_of(pool.process_ids()[1]), "renderer")


def grown(first: Inventory, last: Inventory) -> list[str]:
    """What has grown beyond its bound, in words."""
    before, after, bounds = asdict(first), asdict(last), asdict(GROWTH)
    return [
        f"{name} grew from {before[name]} to {after[name]}: more than {bound}"
        for name, bound in bounds.items()
        if after[name] - before[name] > bound
    ]


@asynccontextmanager
async def open_cycles(
    directory: Path, address: str, cancelled_share: float, seed: int
) -> AsyncIterator[Cycles]:
    """A pool of its own in `directory`, to be cycled through."""
    directory.mkdir()
    async with (
        aio.open_bridge(),
        open_pool(BrowserSettings(), state_dir=directory, store=NoStore(), capacity=CAPACITY) as pool,
    ):
        yield Cycles(pool, address, directory / DIRECTORY, cancelled_share, Random(seed))


async def cycle(cycles: Cycles, count: int, say: Callable[[str], None]) -> list[str]:
    """Live `count` cycles, and tell what has grown or stayed: nothing, when all is well."""
    inventories = []
    for mark in MARKS:
        begun, begun_at = cycles.done, trio.current_time()
        inventory = await cycles.run(round(count * mark))
        inventories.append(inventory)
        pace = (cycles.done - begun) / (trio.current_time() - begun_at)
        load = os.getloadavg()[0]
        counts = ", ".join(f"{name} {value}" for name, value in asdict(inventory).items())
        say(f"{cycles.done} cycles, {cycles.cancelled} cancelled, {pace:.1f} a second, load {load:.1f}")
        say(f"    {counts}")
    found = grown(inventories[0], inventories[-1])
    if inventories[-1].contexts != CAPACITY:
        found.append(f"{inventories[-1].contexts} contexts are open in {CAPACITY} slots")
    return found


async def _main(count: int, cancelled_share: float, seed: int) -> int:
    with tempfile.TemporaryDirectory(prefix="orchestrator-contexts-") as name:
        directory = Path(name)
        with running_site(directory / "site", {}) as address:
            async with open_cycles(directory / "state", address, cancelled_share, seed) as cycles:
                found = await cycle(cycles, count, lambda line: print(line, flush=True))
            left = psutil.Process().children(recursive=True)
            if len(left) > 1:  # the site
                found.append(f"{len(left) - 1} processes are left: {left}")
        found += [f"{path} is left" for path in (directory / "state").glob(f"{DIRECTORY}/**/*")]
    print(*found or ["nothing stayed, nothing grew"], sep="\n")
    return 1 if found else 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make contexts", description="Open, use and close contexts.")
    parser.add_argument("--cycles", type=int, default=10_000)
    parser.add_argument("--cancelled", type=float, default=0.2, metavar="SHARE", help="of all cycles")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of cancellation")
    given = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("warning"))
    return trio.run(_main, given.cycles, given.cancelled, given.seed)


if __name__ == "__main__":
    sys.exit(main())
