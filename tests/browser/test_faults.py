"""Processes killed or stopped at every moment, pages without manners: a slot breaks, and is whole again."""

import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import psutil
import pytest
import trio
from playwright.async_api import Page

from orchestrator.browser import context as contexts
from orchestrator.browser import memory_limit
from orchestrator.browser.pool import DIRECTORY, ContextPool
from orchestrator.errors import ContextBrokenError
from tests.browser.harness import Reply, Site, family_of, of_kind, pool_in, still_there

VICTIMS = ("renderer", "browser", "driver")


def find(pool: ContextPool, victim: str) -> list[int]:
    driver, browser = pool.process_ids()
    if victim == "renderer":
        return [process.pid for process in of_kind(family_of(browser), "renderer")]
    return [browser if victim == "browser" else driver]


def strike(pool: ContextPool, victim: str, how: signal.Signals = signal.SIGKILL) -> None:
    for pid in find(pool, victim):
        with suppress(ProcessLookupError):
            os.kill(pid, how)


async def is_whole(pool: ContextPool, site: Site, state_dir: Path, before: list[psutil.Process]) -> None:
    """The slot can be rebuilt and used, and of what was there before the fault nothing is left over."""
    await pool.rebuild(0)
    assert not pool.is_broken(0)
    async with pool.use(0, "grace", site.hosts) as browser:
        assert (await browser.visit(site.open)).status == 200
    engine = pool._engine.last
    assert engine is not None
    held = [place.opened for place in pool._places.values() if place.opened is not None]
    kept = {opened.context for opened in held if opened.engine is engine}
    assert set(engine.browser.contexts) == kept
    now = family_of(pool.process_ids()[0])
    assert still_there([process for process in before if process not in now]) == []
    profiles = [path for path in (state_dir / DIRECTORY).iterdir() if "profile" in path.name]
    assert len(profiles) == 1


@asynccontextmanager
async def a_pool(state_dir: Path, site: Site, **settings: Any) -> AsyncIterator[ContextPool]:
    """A pool with ada's context idle in slot 0."""
    async with pool_in(state_dir, **settings) as pool:
        async with pool.use(0, "ada", site.hosts) as browser:
            await browser.visit(site.open)
        yield pool


# ── killed ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("victim", VICTIMS)
async def test_killed_while_idle(tmp_path: Path, site: Site, victim: str) -> None:
    async with a_pool(tmp_path, site) as pool:
        before = family_of(pool.process_ids()[0])
        struck = [psutil.Process(pid) for pid in find(pool, victim)]
        strike(pool, victim)
        assert still_there(struck) == []
        await is_whole(pool, site, tmp_path, before)


@pytest.mark.parametrize("victim", VICTIMS)
async def test_killed_while_a_page_is_loading(tmp_path: Path, site: Site, victim: str) -> None:
    is_asked, may_answer = trio.Event(), threading.Event()
    token = trio.lowlevel.current_trio_token()

    def hold(_request: BaseHTTPRequestHandler) -> Reply:
        token.run_sync_soon(is_asked.set)
        may_answer.wait(30)
        return Reply()

    site.pages["/held"] = hold
    async with a_pool(tmp_path, site) as pool:
        before = family_of(pool.process_ids()[0])

        async def killer() -> None:
            await is_asked.wait()
            strike(pool, victim)

        async with pool.use(0, "ada", site.hosts) as browser, trio.open_nursery() as nursery:
            nursery.start_soon(killer)
            try:
                with pytest.raises(ContextBrokenError):
                    await browser.visit(site.open, "/held")
            finally:
                may_answer.set()
        assert pool.is_broken(0)
        await is_whole(pool, site, tmp_path, before)


class Steps:
    """Awaits `work`, and calls `act` when it waits for the `number`th time."""

    def __init__(self, work: Awaitable[Any], number: int, act: Callable[[], object]) -> None:
        self._work = work
        self._number = number
        self._act = act
        self.waits = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._work.__await__()
        step: Callable[[], Any] = partial(steps.send, None)
        while True:
            try:
                waits_for = step()
            except StopIteration as end:
                return end.value
            if self.waits == self._number:
                self._act()
            self.waits += 1
            try:
                step = partial(steps.send, (yield waits_for))
            except BaseException as error:  # noqa: ASYNC103, BLE001 - handed on
                step = partial(steps.throw, error)


@pytest.fixture
def opening(monkeypatch: pytest.MonkeyPatch) -> "Opening":
    """What happens while the next context is being opened."""
    opening = Opening()
    make = contexts._make

    async def make_in_steps(*args: Any) -> Any:
        number, act = opening.number, opening.act
        opening.number = -1  # once: a second try goes undisturbed
        steps = Steps(make(*args), number, act)
        try:
            return await steps
        finally:
            opening.is_struck |= 0 <= number < steps.waits

    monkeypatch.setattr(contexts, "_make", make_in_steps)
    return opening


class Opening:
    """`act` is called when the opening waits for the `number`th time; `is_struck` says that it was."""

    def __init__(self) -> None:
        self.number = -1
        self.is_struck = False
        self.act: Callable[[], object] = lambda: None


@pytest.mark.parametrize("victim", VICTIMS)
async def test_killed_while_a_context_is_being_opened(
    tmp_path: Path, site: Site, victim: str, opening: Opening
) -> None:
    async with a_pool(tmp_path, site) as pool:
        opening.act = partial(strike, pool, victim)
        for number in range(100):
            before = family_of(pool.process_ids()[0])
            opening.number, opening.is_struck = number, False
            try:
                async with pool.use(0, f"account {number}", site.hosts) as browser:
                    await browser.visit(site.open)
            except ContextBrokenError:
                assert victim == "renderer"
            if not opening.is_struck:
                break
            await is_whole(pool, site, tmp_path, before)
        assert number > 2


async def test_a_page_whose_renderer_dies_before_it_is_there_costs_no_other_context(
    tmp_path: Path, site: Site
) -> None:
    async with a_pool(tmp_path, site, capacity=2) as pool:
        browser_pid = pool.process_ids()[1]
        there = {process.pid for process in of_kind(family_of(browser_pid), "renderer")}
        is_killed = threading.Event()

        def kill_the_next() -> None:
            while not is_killed.is_set():
                for pid in set(find(pool, "renderer")) - there:
                    os.kill(pid, signal.SIGKILL)
                    is_killed.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, kill_the_next)
            with suppress(ContextBrokenError):  # killed when the page was there already
                async with pool.use(1, "grace", site.hosts) as browser:
                    await browser.visit(site.open)
        assert pool.process_ids()[1] == browser_pid
        async with pool.use(0, "ada", site.hosts) as browser:
            assert (await browser.visit(site.open)).status == 200
        assert pool.statistics().slots[0].renewals == 0


@pytest.mark.parametrize("victim", VICTIMS)
async def test_killed_while_a_context_is_being_closed(
    tmp_path: Path, site: Site, victim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_pool(tmp_path, site, capacity=1) as pool:
        before = family_of(pool.process_ids()[0])
        close = contexts.close_context

        async def close_and_strike(opened: contexts.OpenContext) -> None:
            assert opened.engine.is_alive
            await Steps(close(opened), 0, partial(strike, pool, victim))

        with monkeypatch.context() as patch:
            patch.setattr(contexts, "close_context", close_and_strike)
            with suppress(ContextBrokenError):
                async with pool.use(0, "bert", site.hosts):  # ada's makes room
                    pass
        await is_whole(pool, site, tmp_path, before)


async def test_a_stopped_renderer_does_not_outlive_its_killed_browser(tmp_path: Path, site: Site) -> None:
    async with a_pool(tmp_path, site) as pool:
        before = family_of(pool.process_ids()[0])
        strike(pool, "renderer", signal.SIGSTOP)
        browser = psutil.Process(pool.process_ids()[1])
        strike(pool, "browser")
        assert still_there([browser]) == []
        await is_whole(pool, site, tmp_path, before)


# ── hanging ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("victim", VICTIMS)
async def test_stopped_during_a_visit(tmp_path: Path, site: Site, victim: str) -> None:
    async with a_pool(tmp_path, site, visit_timeout_s=5) as pool:
        before = family_of(pool.process_ids()[0])

        async def hang(page: Page) -> None:
            strike(pool, victim, signal.SIGSTOP)
            await page.evaluate("new Promise(() => {})")

        async with pool.use(0, "ada", site.hosts) as browser:
            with pytest.raises(ContextBrokenError):
                await browser.visit(hang)
        assert pool.is_broken(0)
        await is_whole(pool, site, tmp_path, before)


# ── pages ───────────────────────────────────────────────────────────────────────────────────────

UNMANNERED = {
    "loops": "() => { while (true); }",
    "asks without end": "() => { while (true) alert('again'); }",
    "opens windows without end": "() => new Promise(() => setInterval(() => open('/popup'), 5))",
    "downloads without end": """() => new Promise(() => setInterval(() => {
        const link = document.createElement('a');
        link.href = '/file?' + Math.random(); link.download = 'file';
        document.body.append(link); link.click();
      }, 5))""",
    "gathers objects": "() => { const all = []; while (true) all.push(new Array(1e5).fill(0.5)); }",
    "gathers buffers": "() => { const all = []; while (true) all.push(new Uint8Array(1e6).fill(1)); }",
}


@pytest.mark.parametrize("page", UNMANNERED)
async def test_a_page_without_manners_breaks_its_slot_and_nothing_else(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    if page == "gathers buffers":
        monkeypatch.setattr(memory_limit, "LIMIT_BYTES", 400 * 2**20)
    site.pages["/file"] = Reply(
        body="x" * 10_000, headers={"Content-Disposition": "attachment; filename=file"}
    )

    async def misbehave(page_: Page) -> None:
        await site.open(page_)
        await page_.evaluate(UNMANNERED[page])

    async with a_pool(tmp_path, site, visit_timeout_s=5 if page == "loops" else 30) as pool:
        before, browser_pid = family_of(pool.process_ids()[0]), pool.process_ids()[1]
        async with pool.use(0, "ada", site.hosts) as browser:
            with pytest.raises(ContextBrokenError):
                await browser.visit(misbehave)
        assert pool.is_broken(0)
        await is_whole(pool, site, tmp_path, before)
        assert pool.process_ids()[1] == browser_pid


async def test_a_page_that_opens_windows_without_end_is_closed_in_an_idle_slot_too(
    pool: ContextPool, site: Site
) -> None:
    is_closed = trio.Event()
    token = trio.lowlevel.current_trio_token()

    async def misbehave(page: Page) -> None:
        await site.open(page)
        page.context.on("close", lambda _context: token.run_sync_soon(is_closed.set))
        await page.evaluate("() => void setInterval(() => open('/popup'), 20)")

    async with pool.use(0, "ada", site.hosts) as browser:
        await browser.visit(misbehave)
    await is_closed.wait()


# ── cancelled ───────────────────────────────────────────────────────────────────────────────────


async def test_an_opening_cancelled_at_any_step_leaves_no_context(
    tmp_path: Path, site: Site, opening: Opening
) -> None:
    async with a_pool(tmp_path, site) as pool:
        token = trio.lowlevel.current_trio_token()
        before = family_of(pool.process_ids()[0])
        for number in range(100):
            opening.number, opening.is_struck = number, False
            with trio.CancelScope() as scope:
                opening.act = partial(token.run_sync_soon, scope.cancel)
                async with pool.use(1, f"account {number}", site.hosts):
                    await trio.sleep_forever() if opening.is_struck else None
            if not opening.is_struck:
                break
            await is_whole(pool, site, tmp_path, before)
        assert number > 2
        assert pool.statistics().launches == 1
