"""The keeper over a real browser and the real allocator; what things weigh is true, or as a test wants it."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import trio
from playwright.async_api import Page

from orchestrator.allocator import Allocator
from orchestrator.browser.pool import BrowserSession, ContextPool
from orchestrator.cache.parts import in_process
from orchestrator.clock import Clock
from orchestrator.errors import ContextBrokenError
from orchestrator.health import problems
from orchestrator.health.checks import Checks
from orchestrator.health.keeper import MemoryKeeper
from orchestrator.health.memory import CALM_LOOKS, MB, Step
from orchestrator.health.modes import Modes
from orchestrator.health.status import House
from orchestrator.health.weights import Weights, weigh
from orchestrator.metrics import Metrics
from orchestrator.settings import Settings
from orchestrator.settings.cache import CacheSettings
from tests.browser.harness import Reply, Site, pool_in, serve
from tests.fakes import a_job, settle

pytestmark = pytest.mark.timeout(180)  # a browser for each, on a machine that may be busy

EATER = """<script>
  function eat(megabytes) {
    window.kept = Array.from({length: megabytes}, () => new Float64Array(131072).fill(Math.random()))
  }
</script>"""


@dataclass
class Scale:
    """Weighs truly, but for the total when a test says so: the daemon then weighs what is lacking."""

    total_mb: float | None = None
    meanwhile: Callable[[], None] = lambda: None

    def __call__(self, driver_pid: int, browser_pid: int, data: Path) -> Weights:
        trio.from_thread.run_sync(self.meanwhile)
        found = weigh(driver_pid, browser_pid, data)
        if self.total_mb is None:
            return found
        others = found.total - found.parts["daemon"]
        return Weights({**found.parts, "daemon": int(self.total_mb * MB) - others}, found.renderers)


@dataclass
class World:
    keeper: MemoryKeeper
    pool: ContextPool
    allocator: Allocator
    house: House
    metrics: Metrics
    scale: Scale
    site: Site
    calmer: list[Step]

    @property
    def step(self) -> Step:
        assert self.house.memory_view is not None
        return self.house.memory_view.step

    @asynccontextmanager
    async def visiting(self, job: str, priority: int, account: str) -> AsyncIterator[BrowserSession]:
        """A lease, and a use of its slot."""
        async with (
            self.allocator.lease(job, priority=priority) as lease,
            self.pool.use(lease.slot, account, self.site.hosts) as session,
        ):
            yield session

    async def eat(self, slot: int, account: str, megabytes: int) -> None:
        """A use whose page goes on holding so much."""
        async with self.pool.use(slot, account, self.site.hosts) as session:
            await session.visit(self.fill, megabytes)

    async def fill(self, page: Page, megabytes: int) -> None:
        await self.site.open(page)
        await page.evaluate("megabytes => eat(megabytes)", megabytes)

    def renewals(self) -> list[int]:
        return [slot.renewals for slot in self.pool.statistics().slots]

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"orchestrator_{name}", labels)


@asynccontextmanager
async def a_world(tmp_path: Path, **memory: Any) -> AsyncIterator[World]:
    limits = {"warning_mb": 4000, "critical_mb": 4500, **memory}
    settings = Settings.load(overrides={"state_dir": tmp_path, "memory": limits}, environ={})
    metrics, clock, scale = Metrics(), Clock(), Scale()
    send_broken, broken = trio.open_memory_channel[int](math.inf)
    with serve() as site:
        site.pages["/"] = Reply(EATER)
        async with pool_in(tmp_path) as pool, trio.open_nursery() as nursery:
            allocator = Allocator(settings.allocator, on_broken=send_broken.send_nowait)
            checks = Checks(clock, metrics)
            cache = in_process(CacheSettings(), clock, metrics)
            house = House(clock, checks, Modes(checks, metrics), allocator, cache)
            calmer: list[Step] = []

            async def rebuild() -> None:
                async for slot in broken:
                    await pool.rebuild(slot)
                    allocator.mend(slot)

            keeper = MemoryKeeper(
                settings, house, pool, metrics, on_calmer=lambda: calmer.append(world.step), weigh=scale
            )
            world = World(keeper, pool, allocator, house, metrics, scale, site, calmer)
            nursery.start_soon(rebuild)
            yield world
            nursery.cancel_scope.cancel()


async def test_an_idle_context_that_weighs_too_much_is_closed_and_the_others_stay(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await world.eat(0, "ada", 1)
        await world.eat(1, "grace", 110)
        await world.keeper.look()
        assert world.renewals() == [0, 1, 0]
        assert world.metric("memory_contexts_closed_total", how="idle") == 1
        await world.eat(1, "grace", 1)
        await world.keeper.look()
        assert world.renewals() == [0, 1, 0]
        assert (world.metric("largest_renderer_bytes") or 0) < 100 * MB


async def test_a_context_in_use_that_weighs_too_much_is_closed_at_the_end_of_the_use(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        async with world.pool.use(0, "ada", world.site.hosts) as session:
            await session.visit(world.fill, 110)
            await world.keeper.look()
            assert await session.visit(kept) == 110
        assert world.renewals() == [1, 0, 0]


async def kept(page: Page) -> int:
    return int(await page.evaluate("window.kept.length"))


async def test_a_run_whose_page_runs_away_loses_its_context_and_goes_on_elsewhere(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        is_eating = trio.Event()

        async def gorge(page: Page) -> None:
            await world.fill(page, 250)
            await page.wait_for_timeout(600_000)

        async def attempt(fn: Callable[[Page], Awaitable[object]]) -> None:
            async with world.visiting("reader", 5, "ada") as session:
                is_eating.set()
                await session.visit(fn)

        async def run() -> None:
            """What a job does whose try fails with what may pass: it tries again."""
            with pytest.raises(ContextBrokenError, match="MB of memory"):
                await attempt(gorge)
            await attempt(world.site.open)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await is_eating.wait()
            while not world.metric("memory_contexts_closed_total", how="cut_off"):
                await world.keeper.look()
        assert world.renewals()[0] >= 1
        await world.keeper.look()
        assert (world.metric("largest_renderer_bytes") or 0) < 100 * MB


async def test_critical_work_keeps_its_context_whatever_it_weighs(tmp_path: Path) -> None:
    async with (
        a_world(tmp_path, warning_mb=1, critical_mb=2, context_mb=1) as world,
        world.visiting("posting", 0, "ada") as session,
    ):
        await session.visit(world.fill, 50)
        for _ in range(3):
            await world.keeper.look()
        assert world.step is Step.REFUSED
        assert await session.visit(kept) == 50


async def test_a_fourth_context_comes_when_background_waits_and_goes_when_memory_is_short(
    tmp_path: Path,
) -> None:
    async with a_world(tmp_path) as world:
        running: list[int] = []
        async with trio.open_nursery() as nursery:

            async def hold(priority: int) -> None:
                async with world.visiting(f"job {priority}", priority, f"account{priority}") as session:
                    await session.visit(world.site.open)
                    running.append(priority)
                    await trio.sleep_forever()

            for priority in (5, 6, 7):
                nursery.start_soon(hold, priority)
            await until(lambda: len(running) == 2)  # the reserve is kept for posting
            await world.keeper.look()
            assert world.allocator.capacity == 3  # nobody has waited for long yet
            waiter = world.allocator._order()[0]
            waiter.enqueued_at -= 60
            await world.keeper.look()
            await until(lambda: len(running) == 3)
            assert world.allocator.capacity == 4
            assert sorted(world.pool.slots) == [0, 1, 2, 3]
            world.scale.total_mb = 4100
            await world.keeper.look()
            assert world.allocator.capacity == 4  # the run whose slot is called back goes on
            states = [slot.state for slot in world.allocator.snapshot().slots]
            assert states.count("free") == 1  # and posting keeps its reserve
            nursery.cancel_scope.cancel()
        await world.keeper.look()
        assert world.allocator.capacity == 3
        assert world.pool.slots == {slot.slot for slot in world.allocator.snapshot().slots}
        async with world.visiting("another", 0, "ada") as session:
            await session.visit(world.site.open)


async def test_a_fourth_context_that_nobody_wants_goes_again(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        async with trio.open_nursery() as nursery:
            for priority in (5, 6, 7):
                nursery.start_soon(stay, world.allocator, priority)
            await settle()
            world.allocator._order()[0].enqueued_at -= 60
            await world.keeper.look()
            assert world.allocator.capacity == 4
            nursery.cancel_scope.cancel()
        for _ in range(CALM_LOOKS):
            assert world.allocator.capacity == 4
            await world.keeper.look()
        assert world.allocator.capacity == 3
        assert sorted(world.pool.slots) == [0, 1, 2]


async def test_a_slot_that_goes_and_comes_back_during_a_look_keeps_its_context(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, trio.open_nursery() as nursery:
        extra = world.allocator.add_slot()
        world.pool.add_slot(extra)
        await world.eat(extra, "ada", 1)
        for priority in (5, 6, 7, 8):
            nursery.start_soon(stay, world.allocator, priority)
        await settle()
        [waiter] = world.allocator._order()
        waiter.enqueued_at -= 60
        world.scale.meanwhile = lambda: world.allocator.withdraw(extra)
        await world.keeper.look()
        assert world.allocator.capacity == 4
        assert [one.account for one in world.pool.statistics().slots if one.slot == extra] == ["ada"]
        nursery.cancel_scope.cancel()


async def test_what_the_c_library_keeps_of_freed_memory_goes_back_with_each_look(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        freed = [bytes(100_000) for _ in range(600)]
        last = bytes(100_000)  # above them, so that they do not go back by themselves
        before = psutil.Process().memory_info().rss
        del freed
        await world.keeper.look()
        assert before - psutil.Process().memory_info().rss > 30 * MB
        del last


async def stay(allocator: Allocator, priority: int) -> None:
    async with allocator.lease(f"job {priority}", priority=priority):
        await trio.sleep_forever()


async def until(is_so: Any) -> None:
    with trio.fail_after(60):
        while not is_so():
            await trio.sleep(0.02)


async def test_above_its_limits_the_house_sheds_and_says_so_and_comes_back_step_by_step(
    tmp_path: Path,
) -> None:
    posting, plan, background = a_job("posting", priority=0), a_job("plan", priority=1), a_job("learn")
    upkeep = a_job("health_monitor", is_upkeep=True)

    async with a_world(tmp_path) as world:

        def allowed() -> list[str]:
            jobs = (posting, plan, background, upkeep)
            return [job.name for job in jobs if world.house.why_not(job) is None]

        await world.eat(0, "ada", 1)
        world.scale.total_mb = 4100
        await world.keeper.look()
        assert allowed() == ["posting", "plan", "health_monitor"]
        [row] = problems.of_memory(world.house.memory_view)
        assert "background jobs are paused" in row["what"]
        assert "memory.warning_mb" in row["remedy"]
        assert (row["name"], row["subject"], row["severity"]) == ("memory_short", "memory", "warning")
        since = row["since"]
        world.scale.total_mb = 4600
        await world.keeper.look()
        assert world.pool.statistics().slots[0].account is None
        assert world.step is Step.SWEPT
        await world.keeper.look()
        assert allowed() == ["posting", "health_monitor"]
        assert problems.of_memory(world.house.memory_view)[0]["severity"] == "critical"
        assert world.metric("memory_step", step="refused") == 1
        assert world.metric("memory_limit_bytes", limit="critical") == 4500 * MB
        world.scale.total_mb = 3500
        for _ in range(4):
            await world.keeper.look()
        assert world.calmer == [Step.SWEPT, Step.CLOSED, Step.PAUSED, Step.NONE]
        assert allowed() == ["posting", "plan", "learn", "health_monitor"]
        assert problems.of_memory(world.house.memory_view) == []
        assert since is not None


async def test_a_page_that_hangs_does_not_keep_the_keeper(tmp_path: Path) -> None:
    async with a_world(tmp_path, context_mb=1) as world, trio.open_nursery() as nursery:

        async def hang() -> None:
            async with world.pool.use(0, "ada", world.site.hosts) as session:
                await session.visit(loop)

        async def loop(page: Page) -> None:
            await world.site.open(page)
            is_looping.set()
            await page.evaluate("for (;;) {}")

        is_looping = EventOfThreads()
        nursery.start_soon(hang)
        await until(is_looping.is_set)
        outcome = await world.keeper.look()
        assert "used" in outcome.detail
        nursery.cancel_scope.cancel()


class EventOfThreads:
    """Set on the asyncio side, looked at on trio's."""

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def is_set(self) -> bool:
        return self._is_set


@pytest.fixture(autouse=True)
def _no_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine that the tests run on may be short of memory itself."""
    monkeypatch.setattr("orchestrator.health.memory.cgroup_limit_bytes", lambda: None)
