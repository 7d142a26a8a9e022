"""Chromium's own sandbox, as our launcher starts it for an ordinary user."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator.db.privileges import Account, Launcher, find_launcher
from tests.browser.harness import family_of, of_kind

NOBODY = Account("nobody", 65534, 65534)
UNSHARE = "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x10000000 | 0x20000000) != 0)"
"""A user namespace and a namespace of processes, as Chromium makes them."""
PROGRAM = """
import sys, trio
from pathlib import Path
from tests.browser.harness import pool_in, serve

async def main():
    with serve() as site:
        async with pool_in(Path(sys.argv[1])) as pool:
            async with pool.use(0, "ada", site.hosts) as browser:
                await browser.visit(site.open)
                print("browser", pool.process_ids()[1], flush=True)
                await trio.to_thread.run_sync(sys.stdin.read)

trio.run(main)
"""


@pytest.fixture
def launcher() -> Launcher:
    """Starts programs as an ordinary user, who may do what the sandbox needs."""
    launcher = find_launcher(NOBODY if os.geteuid() == 0 else None)
    for code, reason in [
        ("import tests.browser.harness", "an ordinary user can't read this checkout or its environment"),
        (UNSHARE, "this machine gives no namespaces to ordinary users"),
    ]:
        if subprocess.run(launcher.command(sys.executable, "-c", code), check=False).returncode:
            pytest.skip(reason)
    return launcher


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """One that `NOBODY` can enter; pytest's own directories are closed to others."""
    directory = Path(tempfile.mkdtemp())
    if os.geteuid() == 0:
        os.chown(directory, NOBODY.uid, NOBODY.gid)
    yield directory
    shutil.rmtree(directory)


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_pages_are_rendered_within_the_sandbox(launcher: Launcher, state_dir: Path) -> None:
    command = launcher.command(sys.executable, "-c", PROGRAM, str(state_dir))
    environment = {**os.environ, "HOME": str(state_dir)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as program:
        assert program.stdout is not None
        browser = next(int(line.split()[1]) for line in program.stdout if line.startswith("browser "))
        assert "--no-sandbox" not in psutil.Process(browser).cmdline()
        (renderer,) = of_kind(family_of(browser), "renderer")
        ours, its = status(program.pid), status(renderer.pid)
        assert its["Seccomp"] == "2"
        assert int(its["Seccomp_filters"]) > int(ours["Seccomp_filters"])
        assert len(its["NSpid"].split()) > len(ours["NSpid"].split())
        if os.geteuid() == 0:  # nobody else may look there
            for kind in ("user", "pid", "net"):
                links = [Path(f"/proc/{pid}/ns/{kind}").readlink() for pid in (program.pid, renderer.pid)]
                assert links[0] != links[1]
        program.communicate()
    assert program.returncode == 0
