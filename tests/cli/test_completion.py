"""The Tab key, in a real shell and as each of the shells asks."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_cli import Command, Daemon, daemon, run

__all__ = ["daemon", "run"]

JOBS = {"ok": True, "result": {"jobs": [{"name": "plan"}, {"name": "posting"}, {"name": "learn"}]}}
ASKED_BY = {
    "bash": {"COMP_WORDS": "orchestrator {}", "COMP_CWORD": "{}"},
    "zsh": {"_TYPER_COMPLETE_ARGS": "orchestrator {}"},
    "fish": {"_TYPER_COMPLETE_ARGS": "orchestrator {}", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
}


def completed(shell: str, line: str, **environ: str) -> str:
    """What the shell's script gets for the line."""
    values = (line, str(len(line.split(" "))))
    asked = {
        name: text.format(value) for (name, text), value in zip(ASKED_BY[shell].items(), values, strict=False)
    }
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator"],
        env={**os.environ, "_ORCHESTRATOR_COMPLETE": f"complete_{shell}", **asked, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("shell", ASKED_BY)
def test_verbs_are_completed(shell: str) -> None:
    said = completed(shell, "ctl pa")
    assert "pause" in said
    assert "page" in said
    assert "drain" not in said


@pytest.mark.parametrize("shell", ASKED_BY)
def test_the_running_daemons_jobs_are_completed(shell: str, daemon: Daemon) -> None:
    daemon.answer = JOBS
    said = completed(shell, f"ctl --socket {daemon.path} pause p")
    assert "plan" in said
    assert "posting" in said
    assert "learn" not in said


def test_without_a_daemon_no_job_is_completed_and_nothing_is_said(tmp_path: Path) -> None:
    assert completed("bash", f"ctl --socket {tmp_path}/no.sock pause p").strip() == ""


@pytest.mark.parametrize("shell", ASKED_BY)
def test_each_shell_gets_its_script(run: Command, shell: str) -> None:
    ended = run("completion", shell)
    assert ended.code == 0
    assert f"_ORCHESTRATOR_COMPLETE=complete_{shell}" in ended.out


def test_an_unknown_shell_is_refused(run: Command) -> None:
    ended = run("completion", "tcsh")
    assert (ended.code, ended.err.count("\n")) == (2, 1)


def test_bash_completes_with_the_script(daemon: Daemon, tmp_path: Path) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    daemon.answer = JOBS
    program = tmp_path / "orchestrator"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m orchestrator "$@"\n')
    program.chmod(0o755)
    script = f"""
        export PATH={tmp_path}:$PATH
        eval "$(orchestrator completion bash)"
        COMP_WORDS=(orchestrator ctl --socket {daemon.path} why po) COMP_CWORD=5
        _orchestrator_completion orchestrator
        echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run([bash, "--norc", "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("posting\n", "")
