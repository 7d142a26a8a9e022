"""What a command prints where: JSON, colours, tracebacks."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import cli, start
from orchestrator.errors import AddressInUseError
from orchestrator.settings import Settings
from tests.alerts.webhook import webhook
from tests.test_cli import Command, Daemon, daemon, run

__all__ = ["daemon", "run"]

COLOUR = re.compile(r"\x1b\[(?:\d+;)*3[0-7](?:;\d+)*m")


def test_settings_and_jobs_can_be_read_by_programs(run: Command) -> None:
    listed = {row["name"]: row for row in json.loads(run("check", "--json").out)["settings"]}
    assert listed["http.port"] == {"name": "http.port", "value": "8700", "source": "default"}
    [plan, *_] = json.loads(run("jobs", "--json").out)["jobs"]
    assert (plan["name"], plan["every_s"], plan["after"]) == ("plan", 7200, [])


def test_what_became_of_a_test_message_can_be_read_by_programs(run: Command, tmp_path: Path) -> None:
    with webhook() as hook:
        (tmp_path / "o.toml").write_text(f"[alerts.destinations.ops]\nurl = '{hook.url}'\n")
        ended = run("alerts", "test", "--config", "o.toml", "--json")
    assert json.loads(ended.out) == {"messages": ["ops took the message"]}


def test_the_steps_of_an_installation_can_be_read_by_programs(run: Command) -> None:
    ended = run("service", "uninstall", "--dry-run", "--json")
    assert ended.code == 0
    assert json.loads(ended.out).keys() == {"is_dry", "steps", "message"}


def test_debug_shows_the_traceback_before_the_line(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_settings: Settings, **_options: object) -> None:
        raise AddressInUseError("port 8700 is in use", remedy="Choose another")

    monkeypatch.setattr(start, "run", fail)
    for words in (("--debug", "run"), ("run", "--debug")):
        ended = run(*words)
        assert ended.code == 1
        assert ended.err.startswith("Traceback (most recent call last):")
        assert "raise AddressInUseError" in ended.err
        assert ended.err.endswith("\nerror: port 8700 is in use. Choose another\n")


def test_behind_two_dashes_debug_is_a_word_as_any_other() -> None:
    assert cli.without_debug(["ctl", "--debug", "--", "--debug"]) == (["ctl", "--", "--debug"], True)
    assert cli.without_debug(["ctl", "--", "--debug"]) == (["ctl", "--", "--debug"], False)


def in_terminal(words: list[str], **environ: str) -> str:
    """What the command writes to a terminal."""
    ours, theirs = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    with subprocess.Popen(
        [sys.executable, "-m", "orchestrator", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=kept | {"TERM": "xterm-256color"} | environ,
    ) as process:
        os.close(theirs)
        said = b""
        try:
            while chunk := os.read(ours, 1 << 16):
                said += chunk
        except OSError:
            pass  # it has ended: nobody has the terminal's other end any more
        finally:
            os.close(ours)
        assert process.wait() == 0
    return said.decode()


def test_colours_are_for_terminals_whose_owner_wants_them(daemon: Daemon) -> None:
    job = {"name": "plan", "state": "failed", "priority": 1, "why": "It crashed."}
    daemon.answer = {"ok": True, "result": {"jobs": [job]}}
    words = ["ctl", "--socket", str(daemon.path), "jobs"]
    assert COLOUR.search(in_terminal(words))
    assert not COLOUR.search(in_terminal(words, NO_COLOR="1"))
    piped = subprocess.run([sys.executable, "-m", "orchestrator", *words], capture_output=True, check=True)
    assert b"\x1b" not in piped.stdout


def test_help_is_without_colours_too_when_that_is_wished() -> None:
    assert COLOUR.search(in_terminal(["ctl", "--help"]))
    assert not COLOUR.search(in_terminal(["ctl", "--help"], NO_COLOR="1"))
