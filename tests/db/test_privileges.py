"""Programs started by a launcher are somebody else and die with their parent."""
# ruff: noqa: ASYNC220, ASYNC240 - a test may block on a process that answers at once

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from orchestrator.db import processes
from orchestrator.db.privileges import Account, Launcher, find_launcher, server_account

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
NOBODY = Account("nobody", 65534, 65534)

PARENT = """
import subprocess, sys
from orchestrator.db.privileges import Account, Launcher
account = Account("nobody", 65534, 65534) if sys.argv[2] == "drop" else None
child = subprocess.Popen(Launcher(account, sys.argv[1] or None).command("sleep", "1000"))
print(child.pid, flush=True)
sys.stdin.read()
"""


def launchers(account: Account | None) -> list[Launcher]:
    """One with setpriv, one with our own program in its place."""
    return [find_launcher(account), Launcher(account, None)]


@pytest.mark.parametrize("way", ["setpriv", "own program"])
@pytest.mark.parametrize("user", ["drop", "stay"])
async def test_a_program_dies_when_its_parent_is_killed(way: str, user: str) -> None:
    if user == "drop" and os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    setpriv = find_launcher(None).setpriv or "" if way == "setpriv" else ""
    command = [sys.executable, "-c", PARENT, setpriv, user]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        await _is_running(child, "sleep")
        parent.kill()
        with trio.fail_after(20):
            assert await processes._all_gone([child], within_s=20)


async def _is_running(pid: int, program: str) -> None:
    """Wait until the launcher has become the program."""
    with trio.fail_after(20):
        while Path(f"/proc/{pid}/comm").read_text().strip() != program:
            await trio.lowlevel.checkpoint()


@only_root
@pytest.mark.parametrize("launcher", launchers(NOBODY), ids=["setpriv", "own program"])
def test_a_program_has_neither_our_user_nor_our_groups(launcher: Launcher) -> None:
    shown = subprocess.run(
        launcher.command("cat", "/proc/self/status"), capture_output=True, text=True, check=True
    ).stdout
    assert "Uid:\t65534\t65534\t65534\t65534" in shown
    assert "Gid:\t65534\t65534\t65534\t65534" in shown
    assert "Groups:\t \n" in shown
    assert "CapEff:\t0000000000000000" in shown


def test_a_setpriv_that_knows_no_parent_death_signal_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setpriv = tmp_path / "setpriv"
    setpriv.write_text("#!/bin/sh\necho 'unrecognized option: pdeathsig' >&2; exit 1\n")
    setpriv.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_launcher(None).setpriv is None


def test_without_setpriv_our_own_program_does_its_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_launcher(None).setpriv is None


def test_our_own_program_ends_when_the_parent_is_gone_already() -> None:
    command = Launcher(None, None).command("/bin/true")
    index = command.index(str(os.getpid()))
    command[index] = "1"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "parent process is gone" in done.stderr


def test_an_ordinary_user_stays_who_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert server_account(tmp_path) is None


@only_root
def test_the_owner_of_the_data_comes_first_then_postgres_then_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(tmp_path, 4711, 4712)
    assert server_account(tmp_path) == Account("4711", 4711, 4712)
    known = {"nobody": pwd.getpwnam("nobody")}
    monkeypatch.setattr(pwd, "getpwnam", lambda name: known[name])
    assert server_account(tmp_path / "none") == Account("nobody", 65534, 65534)
    known["postgres"] = pwd.struct_passwd(("postgres", "x", 26, 26, "", "/", "/bin/sh"))
    assert server_account(tmp_path / "none") == Account("postgres", 26, 26)
