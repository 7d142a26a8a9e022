"""The driver's end, however it comes: nothing of it is left, nor does the event loop complain of anything."""

import gc
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
from playwright.async_api import Error as PlaywrightError
from structlog.testing import capture_logs

from orchestrator import aio
from orchestrator.browser import engine as engines
from orchestrator.browser.engine import Engine, LaunchPlan
from orchestrator.errors import BrowserError


async def launch_in(directory: Path) -> Engine:
    directory.mkdir()
    return await engines.launch(LaunchPlan(None, directory, "http://127.0.0.1:9", timeout_s=60))


async def test_a_driver_that_is_ended_by_force_has_ended(tmp_path: Path) -> None:
    async def end_by_force() -> bool:
        engine = await launch_in(tmp_path / "browser")
        driver = engine.driver.pid
        await engines.close(engine, 0)
        return psutil.pid_exists(driver)

    async with aio.open_bridge():
        assert not await aio.call(end_by_force)


async def test_a_driver_that_dies_is_no_error_of_the_event_loop(tmp_path: Path) -> None:
    async def let_it_die() -> None:
        engine = await launch_in(tmp_path / "browser")
        os.kill(engine.driver.pid, signal.SIGKILL)
        with pytest.raises(PlaywrightError):  # Playwright has noticed
            await engine.browser.new_context()
        await engines.close(engine, 0)

    with capture_logs() as logs:
        async with aio.open_bridge():
            await aio.call(let_it_die)
            gc.collect()
    assert [entry for entry in logs if entry["event"] == "loop_error"] == []


async def test_a_driver_that_hangs_at_its_start_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "node"
    program.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(600)\n")
    program.chmod(0o755)
    monkeypatch.setenv("PLAYWRIGHT_NODEJS_PATH", str(program))
    before = psutil.Process().children()

    async def launch() -> list[psutil.Process]:
        plan = LaunchPlan(None, tmp_path, "http://127.0.0.1:9", timeout_s=2)
        with pytest.raises(BrowserError):
            await engines.launch(plan)
        return [child for child in psutil.Process().children() if child not in before]

    with capture_logs() as logs:
        async with aio.open_bridge():
            assert await aio.call(launch) == []
            gc.collect()
    # That Playwright writes to the dead one once more is told; what nobody reads would be its end.
    assert not any("never retrieved" in entry.get("message", "") for entry in logs)


async def test_a_driver_collects_its_garbage_early_whatever_else_node_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE_OPTIONS", "--no-deprecation --max-semi-space-size=64")

    async def options() -> str:
        engine = await launch_in(tmp_path / "browser")
        found = psutil.Process(engine.driver.pid).environ()["NODE_OPTIONS"]
        await engines.close(engine, 0)
        return found

    async with aio.open_bridge():
        *others, last = (await aio.call(options)).split()
    assert others == ["--no-deprecation", "--max-semi-space-size=64"]
    assert last == f"--max-semi-space-size={engines.DRIVER_YOUNG_MIB}"  # Node heeds the last one
    assert os.environ["NODE_OPTIONS"] == "--no-deprecation --max-semi-space-size=64"
