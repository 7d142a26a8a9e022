"""Signals that come before the daemon is there to hear them."""

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

from tests.integration.daemon import PATIENCE_S, QUICK, demo_command, living, processes_of

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
