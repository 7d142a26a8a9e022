"""`orchestrator doctor`: every part, tried for real, and what it says to people and programs."""

import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from orchestrator import doctor
from orchestrator.errors import SettingsError
from orchestrator.settings import Settings
from tests.test_cli import Command, Daemon, daemon, run

__all__ = ["daemon", "run"]

NO_BROWSER = {"executable": "/nonexistent/chromium"}
CHECKS = ["settings", "disk", "files", "shared_memory", "clock", "database"]


def examined(**overrides: Any) -> dict[str, dict[str, Any]]:
    """What is found, by check."""
    report = trio.run(doctor.examine, Settings.load(overrides=overrides, environ={}))
    return {check["name"]: dict(check) for check in report.checks}


@contextmanager
def silent_port() -> Iterator[int]:
    """A port at which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.mark.timeout(240)
def test_a_machine_without_anything_yet_is_tried_and_left_as_it_was(
    tmp_path: Path,
    state_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place, state_dir = state_dir, tmp_path / "state"
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with silent_port() as port:
        site = {"profile": "microblog", "base_url": f"http://127.0.0.1:{port}"}
        found = examined(state_dir=state_dir, sites={"blog": site}, database={"slow_s": 30})
    assert list(found) == [*CHECKS, "browser", "site:blog"]
    states = {name: check["state"] for name, check in found.items()}
    assert states == dict.fromkeys(found, "up") | {"settings": "down", "site:blog": "down"}
    assert "migrations are applied at the next start" in found["database"]["detail"]
    assert f"{state_dir} is made at the first start" in found["disk"]["detail"]
    assert "shows a page" in found["browser"]["detail"]
    assert found["settings"]["detail"] == "no account to post for"
    assert "sites.blog.base_url" in found["site:blog"]["remedy"]
    assert not state_dir.exists()
    assert list(place.iterdir()) == []


def test_each_part_that_is_away_is_named_with_what_to_do_and_its_entry(tmp_path: Path) -> None:
    with silent_port() as port:
        found = examined(
            state_dir=tmp_path,
            database={"dsn": f"postgresql://u:hushhush@127.0.0.1:{port}/x"},
            cache={"url": f"unix://{tmp_path}/redis.sock"},
            browser=NO_BROWSER,
        )
    down = {name: check for name, check in found.items() if check["state"] == "down"}
    assert set(down) == {"settings", "database", "cache", "browser"}
    assert "Start the server, or correct database.dsn" in down["database"]["remedy"]
    assert down["database"]["runbook"] == "docs/runbook.md#check_down-database"
    assert "apt-get install" in down["browser"]["remedy"]
    assert [down[name]["is_critical"] for name in ("database", "browser", "cache")] == [True, True, False]
    assert "nothing to compare it with" in found["clock"]["detail"]
    assert "hushhush" not in json.dumps(found, default=str)


def test_a_database_of_ones_own_is_said_to_take_writes_and_to_be_migrated(
    tmp_path: Path, migrated_dsn: str
) -> None:
    found = examined(state_dir=tmp_path, database={"dsn": migrated_dsn, "slow_s": 30}, browser=NO_BROWSER)
    assert found["database"]["state"] == "up"
    assert found["database"]["detail"].endswith("ms, is migrated")
    assert found["clock"]["detail"].startswith("within ")


def test_a_database_that_is_slow_is_not_well(tmp_path: Path, migrated_dsn: str) -> None:
    found = examined(state_dir=tmp_path, database={"dsn": migrated_dsn, "slow_s": 1e-6}, browser=NO_BROWSER)
    assert found["database"]["state"] == "down"
    assert "it is slow: a write of one row takes" in found["database"]["detail"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_state_directory_of_another_user_is_not_touched(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    (state_dir / "postgres").mkdir(parents=True)
    os.chown(state_dir, 65534, 65534)
    found = examined(state_dir=state_dir, browser=NO_BROWSER)
    for name in ("disk", "database"):
        assert found[name]["detail"].endswith("belongs to nobody, not to root")
        assert "sudo -u nobody orchestrator doctor" in found[name]["remedy"]
    assert [path.name for path in state_dir.iterdir()] == ["postgres"]


def test_settings_that_are_wrong_are_all_that_can_be_said() -> None:
    report = doctor.wrong_settings(SettingsError("http.port = 'x': must be a number", remedy="Mend it"))
    assert not report.is_well
    [check] = report.checks
    assert (check["name"], check["state"], check["remedy"]) == ("settings", "down", "Mend it")


# ── the command ─────────────────────────────────────────────────────────────────────────────────


def a_status(**changes: Any) -> dict[str, Any]:
    check = {
        "name": "disk",
        "state": "up",
        "is_critical": True,
        "duration_s": 0.01,
        "detail": "",
        "remedy": "",
    }
    return {"ok": True, "result": {"mode": "ready", "pid": 7, "checks": [check], "problems": [], **changes}}


def a_problem(what: str, name: str) -> dict[str, Any]:
    return {
        "what": what,
        "since": None,
        "remedy": "Mend it",
        "name": name,
        "runbook": f"docs/runbook.md#{name}",
    }


@pytest.fixture
def known(daemon: Daemon, monkeypatch: pytest.MonkeyPatch, run: Command) -> Daemon:
    monkeypatch.setenv("ORCHESTRATOR_CONTROL__SOCKET", str(daemon.path))
    return daemon


def test_a_daemon_that_runs_is_asked(run: Command, known: Daemon) -> None:
    known.answer = a_status()
    ended = run("doctor")
    assert known.asked == [{"verb": "status", "args": {}}]
    assert ended.code == 0
    assert "A daemon runs (pid 7) and is ready" in ended.out
    assert "All is well." in ended.out


def test_what_a_daemon_complains_of_is_shown_once_with_what_to_do(run: Command, known: Daemon) -> None:
    down = {
        "name": "browser",
        "state": "down",
        "is_critical": True,
        "duration_s": 0.1,
        "detail": "no Chromium was found",
        "remedy": "Install one",
    }
    told = [
        a_problem("browser is down: no Chromium was found", "check_down"),
        a_problem("job plan has failed", "job_failed"),
    ]
    known.answer = a_status(mode="degraded", checks=[down], problems=told)
    ended = run("doctor")
    assert ended.code == 1
    assert ended.out.count("no Chromium was found") == 1
    assert "→ Install one; see docs/runbook.md#check_down-browser" in ended.out
    assert "job plan has failed" in ended.out
    assert "2 of 2 are not well." in ended.out


def test_as_json_a_program_reads_the_same(run: Command, known: Daemon) -> None:
    known.answer = a_status(mode="draining")
    ended = run("doctor", "--json")
    document = json.loads(ended.out)
    assert ended.code == 1
    assert (document["is_well"], document["daemon"]) == (False, {"pid": 7, "mode": "draining"})
    assert [check["name"] for check in document["checks"]] == ["disk"]


def test_a_daemon_that_cannot_be_asked_is_an_error_of_its_own(run: Command, known: Daemon) -> None:
    known.answer = {"ok": False, "error": "the control socket has no place left", "remedy": "Try again"}
    ended = run("doctor")
    assert (ended.code, ended.out) == (1, "")
    assert "the control socket has no place left" in ended.err


def test_wrong_settings_have_exit_code_2(run: Command, tmp_path: Path) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text(f'state_dir = "{tmp_path}/state"\n[http]\nport = "x"\n')
    ended = run("doctor", "--config", str(config))
    assert ended.code == 2
    assert "http.port" in ended.out
    assert "1 of 1 are not well" in ended.out
