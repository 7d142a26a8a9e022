"""`orchestrator ctl accounts`: where a password may come from, and watching the sign-ins."""

import getpass
import io
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.test_cli import Command, Daemon, daemon, run

__all__ = ["daemon", "run"]

CANARY = "canary-of-bert"
ADD = ["accounts", "add", "bert", "--site", "murmur"]


def asked(daemon: Daemon, **more: Any) -> dict[str, Any]:
    args = {"account": "bert", "site": "murmur", "username": "bert", "password": CANARY} | more
    return {"verb": "account_add", "args": args}


def test_a_password_that_is_piped_in_is_sent_and_not_shown(
    run: Command, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{CANARY}\nmore\n"))
    ended = run("ctl", *ADD, "--username", "Bert", "--posts-per-day", "3", "--socket", str(daemon.path))
    assert (ended.code, ended.out) == (0, "Well.\n")
    assert daemon.asked == [asked(daemon, username="Bert", posts_per_day=3)]


def test_a_password_is_read_from_the_first_line_of_a_file(
    run: Command, daemon: Daemon, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(f"{CANARY}\n")
    ended = run("ctl", *ADD, "--password-file", "secret", "--socket", str(daemon.path))
    assert (ended.code, daemon.asked) == (0, [asked(daemon)])
    gone = run("ctl", *ADD, "--password-file", "nowhere", "--socket", str(daemon.path))
    assert (gone.code, gone.err) == (
        2,
        "error: --password-file: nowhere can't be read: No such file or directory\n",
    )


def test_at_a_terminal_a_person_is_asked(
    run: Command, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    prompts: list[str] = []

    def answer(prompt: str) -> str:
        prompts.append(prompt)
        return CANARY

    monkeypatch.setattr(getpass, "getpass", answer)
    assert run("ctl", *ADD, "--socket", str(daemon.path)).code == 0
    assert (prompts, daemon.asked) == (["Password of bert: "], [asked(daemon)])


def test_without_a_password_nothing_is_asked_of_the_daemon(
    run: Command, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    ended = run("ctl", *ADD, "--socket", str(daemon.path))
    assert (ended.code, daemon.asked) == (2, [])
    assert ended.err.startswith("error: no password was given. ")


def test_a_password_can_not_be_an_argument(run: Command, daemon: Daemon) -> None:
    assert run("ctl", *ADD, "--password", CANARY, "--socket", str(daemon.path)).code == 2
    assert daemon.asked == []


def test_a_watch_ends_when_all_are_signed_in(run: Command, daemon: Daemon) -> None:
    counts = {"signed_in": 2, "to_come": 0, "barred": 0}
    daemon.answer = {"ok": True, "result": {"sign_ins": counts, "accounts": [], "lines": ["Waits."]}}
    ended = run("ctl", "accounts", "--watch", "--socket", str(daemon.path))
    assert (ended.code, ended.out) == (0, "2 of 2 signed in\nAll 2 accounts are signed in.\n")
