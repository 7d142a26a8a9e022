"""What dies and what stays: renderers, browsers, drivers and daemons, killed by their process ids."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import psutil
import pytest
import trio
from playwright.async_api import Page

from orchestrator.browser import context as contexts
from orchestrator.browser import pool as pools
from orchestrator.browser.pool import DIRECTORY, ContextPool
from orchestrator.errors import ContextBrokenError
from tests.browser.harness import Site, family_of, of_kind, pool_in, still_there

DAEMON = """
import sys, trio
from pathlib import Path
from tests.browser.harness import pool_in, serve

async def main():
    with serve() as site:
        async with pool_in(Path(sys.argv[1])) as pool:
            async with pool.use(0, "ada", site.hosts) as browser:
                await browser.visit(site.open)
                print(*pool.process_ids(), flush=True)
                await trio.sleep_forever()

trio.run(main)
"""


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def start_daemon(state_dir: Path) -> tuple["subprocess.Popen[str]", int, int]:
    """A program with a pool in use, and the ids of its driver and its browser."""
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(state_dir)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert daemon.stdout is not None
    for line in daemon.stdout:
        words = line.split()
        if len(words) == 2 and all(word.isdecimal() for word in words):
            return daemon, int(words[0]), int(words[1])
    raise AssertionError("the program ended before its browser was up")


def end(daemon: "subprocess.Popen[str]") -> None:
    daemon.kill()
    daemon.communicate()


async def wait_and_see(page: Page) -> None:
    await page.evaluate("new Promise(() => {})")


async def kill_during_visit(pool: ContextPool, site: Site, pids: list[int]) -> None:
    """A visit that waits while the processes are killed fails as broken."""
    started = trio.Event()
    token = trio.lowlevel.current_trio_token()

    async def wait(page: Page) -> None:
        token.run_sync_soon(started.set)
        await wait_and_see(page)

    async def killer() -> None:
        await started.wait()
        for pid in pids:
            kill(pid)

    async with pool.use(0, "ada", site.hosts) as browser:
        await browser.visit(site.open)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(killer)
            with pytest.raises(ContextBrokenError):
                await browser.visit(wait)
        assert pool.is_broken(0)


async def works_again(pool: ContextPool, site: Site) -> None:
    await pool.rebuild(0)
    assert not pool.is_broken(0)
    await pool.probe()
    for slot in range(3):
        async with pool.use(slot, "ada", site.hosts) as browser:
            assert (await browser.visit(site.open)).status == 200


async def test_a_killed_renderer_breaks_its_slot_but_no_browser(pool: ContextPool, site: Site) -> None:
    async with pool.use(0, "ada", site.hosts) as browser:
        await browser.visit(site.open)
    _, browser_pid = pool.process_ids()
    await kill_during_visit(pool, site, [p.pid for p in of_kind(family_of(browser_pid), "renderer")])
    await works_again(pool, site)
    assert pool.process_ids()[1] == browser_pid
    assert pool.statistics().launches == 1


async def test_a_killed_browser_is_launched_again_with_the_same_driver(pool: ContextPool, site: Site) -> None:
    await pool.probe()
    driver, browser = pool.process_ids()
    await kill_during_visit(pool, site, [browser])
    await works_again(pool, site)
    assert pool.process_ids()[0] == driver
    assert pool.process_ids()[1] != browser
    assert pool.statistics().launches == 2


async def test_a_killed_driver_is_noticed_and_started_again(pool: ContextPool, site: Site) -> None:
    await pool.probe()
    driver, browser = pool.process_ids()
    family = family_of(browser)
    await kill_during_visit(pool, site, [driver])
    await works_again(pool, site)
    assert pool.process_ids()[0] != driver
    assert still_there(family) == []


async def test_a_driver_that_dies_between_uses_is_noticed_too(pool: ContextPool, site: Site) -> None:
    async with pool.use(0, "ada", site.hosts) as browser:
        await browser.visit(site.open)
    driver, _ = pool.process_ids()
    kill(driver)
    await works_again(pool, site)


async def test_a_driver_that_hangs_is_replaced(
    pool: ContextPool, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pool.probe()
    driver, _ = pool.process_ids()
    monkeypatch.setattr(contexts, "CLOSE_TIMEOUT_S", 1)
    os.kill(driver, signal.SIGSTOP)
    await pool.probe()
    monkeypatch.undo()
    await works_again(pool, site)
    assert pool.process_ids()[0] != driver


async def test_many_slots_that_find_the_browser_dead_launch_it_once(pool: ContextPool, site: Site) -> None:
    async def visit(slot: int) -> None:
        async with pool.use(slot, f"account{slot}", site.hosts) as browser:
            await browser.visit(site.open)

    await pool.probe()
    kill(pool.process_ids()[1])
    async with trio.open_nursery() as nursery:
        for slot in range(3):
            nursery.start_soon(visit, slot)
    assert pool.statistics().launches == 2


async def test_a_closed_pool_leaves_no_process_and_no_file(tmp_path: Path, site: Site) -> None:
    async with pool_in(tmp_path) as pool:
        async with pool.use(0, "ada", site.hosts) as browser:
            await browser.visit(site.open)
        family = family_of(pool.process_ids()[0])
        assert len(family) > 4
    assert still_there(family) == []
    assert not (tmp_path / DIRECTORY).exists()


async def test_a_pool_with_a_stopped_browser_closes_and_leaves_nothing(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "CLOSE_S", 1)
    async with pool_in(tmp_path) as pool:
        async with pool.use(0, "ada", site.hosts) as browser:
            await browser.visit(site.open)
        driver, browser_pid = pool.process_ids()
        family = family_of(driver)
        os.kill(browser_pid, signal.SIGSTOP)
    assert still_there(family) == []


def test_a_killed_daemon_leaves_no_driver_and_no_browser(tmp_path: Path) -> None:
    daemon, driver, _ = start_daemon(tmp_path)
    try:
        family = family_of(driver)
        assert of_kind(family, "renderer")
    finally:
        end(daemon)
    assert still_there(family) == []


async def test_what_a_killed_daemon_left_stopped_is_cleared_at_the_next_start(tmp_path: Path) -> None:
    daemon, driver, browser = await trio.to_thread.run_sync(start_daemon, tmp_path)
    family = family_of(driver)
    for process in (psutil.Process(browser), *of_kind(family, "renderer")):
        process.suspend()
    end(daemon)
    junk = tmp_path / DIRECTORY / "junk"
    junk.write_text("left over")
    async with pool_in(tmp_path):
        assert still_there(family) == []
        assert not junk.exists()


async def test_other_programs_are_left_alone_by_the_clearing(tmp_path: Path) -> None:
    directory = tmp_path / DIRECTORY
    directory.mkdir()
    start_anew = partial(trio.run_process, check=False, stdin=subprocess.PIPE)
    async with trio.open_nursery() as nursery:
        bystander: trio.Process = await nursery.start(
            partial(start_anew, ["sleep", "60"], env={**os.environ, "TMPDIR": str(directory)})
        )
        neighbour: trio.Process = await nursery.start(
            start_anew, [sys.executable, "-c", "input()", f"{directory}-of-another"]
        )
        async with pool_in(tmp_path):
            assert bystander.poll() is None
            assert neighbour.poll() is None
        nursery.cancel_scope.cancel()
