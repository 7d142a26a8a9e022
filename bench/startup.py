"""Time from `orchestrator demo` on existing state to ready, next to the bare starts of its heavy parts.

The bare starts are Playwright's driver with Chromium (the same binary and flags) and PostgreSQL (the same
programs, flags and data directory), one after the other. They are taken twice: the starts alone, with
nothing around them, and as a program of their own, timed from outside as ours is: with an interpreter to
start and the two libraries to import.
"""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import trio

from bench.bare import STARTED, Plan, time_browser, time_postgres
from bench.daemon import running_demo, user_environment
from bench.figure import Aim, Figure, Report, ratio, spread
from orchestrator.browser.launcher import find_browser, is_sandboxed
from orchestrator.db import directories, installation
from orchestrator.db.embedded import DATABASE, SERVER_SETTINGS, USER
from orchestrator.db.privileges import find_launcher, server_account

AIM = Aim(1.5)


def measure(directory: Path, rounds: int) -> Report:
    """Alternates our start and the bare ones; the first start makes the state and is not counted."""
    state_dir = directory / "state"
    state_dir.mkdir(mode=0o755)
    ours, browser, postgres, program = [], [], [], []
    with running_demo(state_dir):
        pass
    plan = trio.run(_plan, state_dir / "postgres")
    for _ in range(rounds):
        with running_demo(state_dir) as daemon:
            ours.append(daemon.ready_after_s)
        browser.append(asyncio.run(time_browser(plan)))
        postgres.append(asyncio.run(time_postgres(plan)))
        program.append(_time_program(plan))
    alone = [sum(pair) for pair in zip(browser, postgres, strict=True)]
    figures = [
        Figure(
            "start to ready, existing state, next to bare Chromium + bare PostgreSQL",
            ratio(ours, alone),
            f"{spread(ours)} s",
            f"{spread(alone)} s: Chromium {spread(browser)}, PostgreSQL {spread(postgres)}",
            AIM,
        ),
        Figure(
            "the same, next to a bare program that starts both",
            ratio(ours, program),
            f"{spread(ours)} s",
            f"{spread(program)} s",
            AIM,
        ),
    ]
    return Report(figures, [f"start: {rounds} rounds"])


async def _plan(directory: Path) -> Plan:
    """The command lines that the daemon itself would use on `directory`."""
    launcher = find_launcher(server_account(directory / "data"))
    layout = directories.prepare(directory, launcher.account)
    found = await installation.usable_installation(installation.find_installation(), directory, launcher)
    options = [f"--{name}={value}" for name, value in SERVER_SETTINGS.items()]
    where = ["-D", str(layout.data), "-k", str(layout.sockets)]
    browser = find_browser(None)
    return {
        "browser": {
            "executable_path": str(browser.path),
            "args": browser.arguments,
            "chromium_sandbox": is_sandboxed(),
        },
        "postgres": [str(word) for word in launcher.command(found.postgres, *where, *options)],
        "connect": {"host": str(layout.sockets), "user": USER, "database": DATABASE},
        "log": str(layout.log),
    }


def _time_program(plan: Plan) -> float:
    command = [sys.executable, "-m", "bench.bare", json.dumps(plan)]
    started_at = time.monotonic()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=user_environment()
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline().strip()
        took_s = time.monotonic() - started_at
    if said != STARTED or process.returncode != 0:
        raise RuntimeError(f"the bare program ended with code {process.returncode} and said {said!r}")
    return took_s
