"""Signals that come before the daemon is there to hear them, or that its children get too."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest
import trio

from orchestrator import aio
from orchestrator.db.embedded import open_embedded
from tests.integration.daemon import (
    PATIENCE_S,
    QUICK,
    Daemon,
    demo_command,
    living,
    processes_of,
    running,
    wait_until,
)

pytestmark = pytest.mark.timeout(120)
"""The machine may be busy."""

ENDS = [signal.SIGTERM, signal.SIGINT]
SIGNAL_AT_IMPORT = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path, target=None):
        if name == "orchestrator.cli":
            os.kill(os.getpid(), signal.{name})

sys.meta_path.insert(0, Finder())
"""


async def end_of(
    command: list[str],
    number: signal.Signals,
    is_time: Callable[[psutil.Process], bool],
    environment: dict[str, str] | None = None,
) -> tuple[int, list[str]]:
    """Signal the program as soon as `is_time`; its exit code and what it said."""
    family: list[psutil.Process] = []
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **QUICK, **(environment or {})},
        text=True,
        start_new_session=True,
    ) as process:
        while not is_time(psutil.Process(process.pid)):
            assert process.poll() is None
            await trio.sleep(0.001)
        family = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, number)
        output, _ = await trio.to_thread.run_sync(partial(process.communicate, timeout=PATIENCE_S))
    psutil.wait_procs(family, PATIENCE_S)
    assert living(family) == []
    return process.returncode, output.splitlines()


@pytest.mark.parametrize("number", ENDS)
async def test_before_anything_is_begun_a_signal_ends_it_without_a_word(
    state_dir: Path, number: signal.Signals
) -> None:
    (state_dir / "sitecustomize.py").write_text(SIGNAL_AT_IMPORT.format(name=number.name))
    command = [sys.executable, "-m", "orchestrator", "run"]
    environment = {**os.environ, "PYTHONPATH": str(state_dir)}
    with trio.fail_after(PATIENCE_S):
        result = await trio.run_process(
            command, capture_stdout=True, capture_stderr=True, check=False, env=environment
        )
    assert (result.returncode, result.stdout, result.stderr) == (-number, b"", b"")


@pytest.mark.parametrize("number", ENDS)
async def test_a_daemon_that_has_just_begun_ends_in_order(state_dir: Path, number: signal.Signals) -> None:
    code, lines = await end_of(
        [sys.executable, "-m", "orchestrator", "run"],
        number,
        lambda _process: (state_dir / "lock").exists(),
        {"ORCHESTRATOR_STATE_DIR": str(state_dir), "ORCHESTRATOR_HTTP__PORT": "0"},
    )
    assert code == 0, lines
    assert [line for line in lines if not line.startswith('{"timestamp"')] == []
    events = " ".join(lines)
    assert '"event": "ended"' in events
    assert "cut_off" not in events
    assert processes_of(state_dir) == []


@pytest.mark.parametrize("number", ENDS)
async def test_a_demo_whose_site_has_just_begun_ends_in_order(
    state_dir: Path, number: signal.Signals
) -> None:
    code, lines = await end_of(demo_command(state_dir), number, lambda process: bool(process.children()))
    assert (code, lines) == (0, [])
    assert processes_of(state_dir) == []


# ── while it runs ───────────────────────────────────────────────────────────────────────────────


async def wait_until_it_posts(daemon: Daemon) -> None:
    """Until it is on a page of the site that takes its time."""
    await daemon.wait_for_mode("ready")
    await daemon.set_faults(slow_s={"seconds": 2, "path": "/compose"})

    async def is_on_its_way() -> bool:
        return bool(await daemon.query("SELECT 1 FROM posts WHERE state = 'claimed'"))

    await wait_until(is_on_its_way, "a post is on its way", daemon.said)


async def states(daemon: Daemon) -> set[str]:
    """Of all posts, with the daemon gone."""
    async with aio.open_bridge(), open_embedded(daemon.state_dir / "postgres"):
        return {row["state"] for row in await daemon.query("SELECT DISTINCT state FROM posts")}


async def test_control_c_in_a_terminal_lets_what_runs_end(state_dir: Path) -> None:
    async with running(state_dir) as daemon:
        await wait_until_it_posts(daemon)
        daemon.interrupt_group()
        assert await daemon.ended() == 0
        assert processes_of(state_dir) == []
        assert "published" in await states(daemon)
        said = daemon.output.read_text()
        assert "ended; posts published: " in said
        assert ("sandbox is off" in said) == (os.geteuid() == 0)
