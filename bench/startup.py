"""Time from `orchestrator demo` on existing state to ready, next to the bare starts of its heavy parts.

The bare starts are Playwright's driver with Chromium (the same binary and flags) and PostgreSQL (the same
programs, flags and data directory), one after the other, with nothing around them: no interpreter to
start, no module to import.
"""

import subprocess
import time
from pathlib import Path

import asyncpg
import trio
from playwright.async_api import async_playwright

from bench.daemon import running_demo
from bench.figure import Aim, Figure, Report, ratio, spread
from orchestrator import aio
from orchestrator.browser.launcher import find_browser, is_sandboxed
from orchestrator.db import directories, installation, processes
from orchestrator.db.embedded import DATABASE, SERVER_SETTINGS, USER
from orchestrator.db.privileges import find_launcher, server_account

AIM = Aim(1.5)
ASK_EVERY_S = 0.002
START_LIMIT_S = 60.0


def measure(directory: Path, rounds: int) -> Report:
    """Alternates our start and the bare ones; the first start makes the state and is not counted."""
    state_dir = directory / "state"
    state_dir.mkdir(mode=0o755)
    ours, browser, postgres = [], [], []
    with running_demo(state_dir):
        pass
    for _ in range(rounds):
        with running_demo(state_dir) as daemon:
            ours.append(daemon.ready_after_s)
        browser.append(trio.run(_start_browser))
        postgres.append(trio.run(_start_postgres, state_dir / "postgres"))
    bare = [sum(pair) for pair in zip(browser, postgres, strict=True)]
    figure = Figure(
        "start to ready, existing state, next to bare Chromium + bare PostgreSQL",
        ratio(ours, bare),
        f"{spread(ours)} s",
        f"{spread(bare)} s: Chromium {spread(browser)}, PostgreSQL {spread(postgres)}",
        AIM,
    )
    return Report([figure], [f"start: {rounds} rounds"])


async def _start_browser() -> float:
    async with aio.open_bridge():
        return await aio.call(_time_browser)


async def _time_browser() -> float:
    found = find_browser(None)
    started_at = time.monotonic()
    playwright = await async_playwright().start()
    browser = await playwright.chromium.launch(
        executable_path=found.path, args=found.arguments, chromium_sandbox=is_sandboxed()
    )
    took_s = time.monotonic() - started_at
    await browser.close()
    await playwright.stop()
    return took_s


async def _start_postgres(directory: Path) -> float:
    launcher = find_launcher(server_account(directory / "data"))
    layout = directories.prepare(directory, launcher.account)
    found = await installation.usable_installation(installation.find_installation(), directory, launcher)
    options = [f"--{name}={value}" for name, value in SERVER_SETTINGS.items()]
    where = ["-D", str(layout.data), "-k", str(layout.sockets)]
    async with aio.open_bridge():
        with layout.open_log() as output:
            started_at = time.monotonic()
            process = processes.spawn(launcher.command(found.postgres, *where, *options), output)
        try:
            await aio.call(_wait_for_postgres, process, str(layout.sockets))
            return time.monotonic() - started_at
        finally:
            await processes.stop(process)
            directories.remove_sockets(layout)


async def _wait_for_postgres(process: "subprocess.Popen[bytes]", sockets: str) -> None:
    give_up_at = time.monotonic() + START_LIMIT_S
    while True:
        try:
            connection = await asyncpg.connect(host=sockets, user=USER, database=DATABASE)
        except (OSError, asyncpg.PostgresError) as error:
            if process.poll() is not None or time.monotonic() > give_up_at:
                raise RuntimeError("bare PostgreSQL did not start") from error
            time.sleep(ASK_EVERY_S)  # noqa: ASYNC251 - nothing else runs on this loop
        else:
            connection.terminate()
            return
