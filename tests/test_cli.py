import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import orchestrator
from orchestrator import cli, showcase, start
from orchestrator.control import protocol
from orchestrator.control.find import demo_state_dir
from orchestrator.errors import AddressInUseError, DatabaseError, OrchestratorError, SettingsError
from orchestrator.settings import Settings
from tests.alerts.webhook import TOKEN, webhook


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


STOP = b"stop"
Command = Callable[..., Ended]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Runs `orchestrator` with arguments, in an empty directory and without settings."""
    for name in [name for name in os.environ if name.startswith("ORCHESTRATOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["orchestrator", *args])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return Ended(int(end.value.code or 0), captured.out, captured.err)

    return run


@dataclass
class Daemon:
    """A thread that answers on a control socket, and what it was asked."""

    path: Path
    answer: dict[str, Any] = field(default_factory=lambda: {"ok": True, "result": {"message": "Well."}})
    asked: list[Any] = field(default_factory=list)

    def serve(self, listener: socket.socket) -> None:
        while True:
            connection, _address = listener.accept()
            with connection:
                request = connection.recv(1 << 16)
                if request == STOP:
                    return
                if not request:
                    continue  # somebody looked whether we are there
                self.asked.append(json.loads(request[4:]))
                connection.sendall(protocol.frame(self.answer))


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path / "c.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(daemon.path))
        listener.listen()
        thread = threading.Thread(target=daemon.serve, args=(listener,))
        thread.start()
        yield daemon
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(str(daemon.path))
            last.sendall(STOP)
        thread.join()


# ── ctl ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("args", "asked"),
    [
        (["status"], {"verb": "status", "args": {}}),
        (["jobs"], {"verb": "jobs", "args": {}}),
        (["queue"], {"verb": "queue", "args": {}}),
        (["pause"], {"verb": "pause", "args": {}}),
        (["pause", "posting"], {"verb": "pause", "args": {"job": "posting"}}),
        (["resume"], {"verb": "resume", "args": {}}),
        (["resume", "posting"], {"verb": "resume", "args": {"job": "posting"}}),
        (["run", "plan"], {"verb": "run", "args": {"job": "plan"}}),
        (["why", "plan"], {"verb": "why", "args": {"job": "plan"}}),
        (["drain"], {"verb": "drain", "args": {}}),
        (["posts"], {"verb": "posts", "args": {}}),
        (
            ["posts", "--state", "ambiguous", "--account", "ada", "--limit", "5"],
            {"verb": "posts", "args": {"state": "ambiguous", "account": "ada", "limit": 5}},
        ),
        (["accounts"], {"verb": "accounts", "args": {}}),
        (
            ["accounts", "ada", "--limit", "5"],
            {"verb": "accounts", "args": {"account": "ada", "limit": 5}},
        ),
        (["accounts", "--limit", "5"], {"verb": "accounts", "args": {"limit": 5}}),
        (["accounts", "show", "add"], {"verb": "accounts", "args": {"account": "add"}}),
        (["accounts", "remove", "ada"], {"verb": "account_remove", "args": {"account": "ada"}}),
        (["accounts", "disable", "ada"], {"verb": "account_disable", "args": {"account": "ada"}}),
        (["accounts", "enable", "ada"], {"verb": "account_enable", "args": {"account": "ada"}}),
        (["posts", "4711"], {"verb": "post", "args": {"post": 4711}}),
        (["post", "show", "4711"], {"verb": "post", "args": {"post": 4711}}),
        (
            ["post", "resolve", "4711", "drop"],
            {"verb": "resolve", "args": {"post": 4711, "decision": "drop"}},
        ),
        (
            ["post", "resolve", "4711", "published", "--reference", "r1"],
            {"verb": "resolve", "args": {"post": 4711, "decision": "published", "reference": "r1"}},
        ),
    ],
)
def test_each_command_sends_its_verb(run: Command, daemon: Daemon, args: list[str], asked: Any) -> None:
    assert run("ctl", "--socket", str(daemon.path), *args).code == 0
    assert daemon.asked == [asked]


@pytest.mark.parametrize("verb", ["pause", "resume", "drain"])
def test_an_order_is_answered_with_the_daemons_sentence(run: Command, daemon: Daemon, verb: str) -> None:
    assert run("ctl", "--socket", str(daemon.path), verb).out == "Well.\n"


def test_status_is_shown_as_text_and_as_json(run: Command, daemon: Daemon) -> None:
    status = {"mode": "degraded", "summary": "Degraded: no browser. – Install one."}
    daemon.answer = {"ok": True, "result": status}
    ended = run("ctl", "--socket", str(daemon.path), "status")
    assert (ended.code, ended.out.splitlines()[0]) == (0, "● Degraded: no browser. – Install one.")
    assert json.loads(run("ctl", "--socket", str(daemon.path), "--json", "status").out) == status


@pytest.mark.parametrize(
    "args",
    [["status"], ["jobs"], ["queue"], ["why", "plan"], ["pause"], ["resume"], ["run", "plan"], ["drain"]],
)
def test_json_may_be_asked_for_after_the_command(run: Command, daemon: Daemon, args: list[str]) -> None:
    assert json.loads(run("ctl", "--socket", str(daemon.path), *args, "--json").out) == {"message": "Well."}


def test_outside_a_terminal_no_line_is_wrapped(run: Command, daemon: Daemon) -> None:
    what, remedy = "a part is down " * 20, "Mend it " * 20
    problem = {"what": what, "since": None, "remedy": remedy}
    daemon.answer = {"ok": True, "result": {"mode": "degraded", "summary": what, "problems": [problem]}}
    lines = run("ctl", "--socket", str(daemon.path), "status").out.splitlines()
    for said in (what, remedy):
        assert any(said.strip() in line for line in lines)


@contextmanager
def without_rights(path: Path) -> Iterator[None]:
    """As somebody who sees that the file is there and may do nothing with it."""
    path.chmod(0o600 if os.geteuid() == 0 else 0)
    if os.geteuid() == 0:
        os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        if os.getresuid()[2] == 0:
            os.setresuid(0, 0, 0)


def test_a_socket_that_one_has_no_rights_on_is_one_line_with_what_to_do(
    run: Command, daemon: Daemon, state_dir: Path
) -> None:
    path = state_dir / "control.sock"
    path.hardlink_to(daemon.path)
    with without_rights(path):
        ended = run("ctl", "--socket", str(path), "status")
    path.chmod(0o600)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        f"error: permission denied at {path}. Be root, the daemon's user, or in a group of "
        "control.view_groups or operate_groups\n"
    )


def test_a_settings_file_that_one_has_no_rights_on_is_one_line(run: Command, state_dir: Path) -> None:
    file = state_dir / "orchestrator.toml"
    file.touch()
    with without_rights(file):
        ended = run("ctl", "--config", str(file), "status")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert f"the settings file {file} can't be read" in ended.err


def test_a_refusal_is_one_line_and_exit_code_1(run: Command, daemon: Daemon) -> None:
    daemon.answer = {"ok": False, "error": "there is no job 'x'", "remedy": "See ctl jobs"}
    ended = run("ctl", "--socket", str(daemon.path), "run", "x")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "error: there is no job 'x'. See ctl jobs\n"


def test_no_daemon_is_one_line_and_exit_code_3(run: Command, tmp_path: Path) -> None:
    ended = run("ctl", "--socket", str(tmp_path / "no.sock"), "status")
    assert ended.code == 3
    assert ended.err.startswith(f"error: no daemon is listening at {tmp_path}/no.sock. Start it with")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("form", [["--socket", "{}"], ["--socket={}"]])
def test_the_socket_may_also_be_named_behind_the_verb(run: Command, daemon: Daemon, form: list[str]) -> None:
    option = [word.format(daemon.path) for word in form]
    for words in ([*option, "drain"], ["drain", *option], ["drain", *option, "--json"]):
        ended = run("ctl", *words)
        assert (ended.code, ended.err) == (0, "")
    assert run("ctl", "drain", "--socket").err.startswith("error: ")


def test_the_socket_is_found_by_the_environment(
    run: Command, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_CONTROL__SOCKET", str(daemon.path))
    assert run("ctl", "drain").out == "Well.\n"


def test_the_demos_socket_is_found_by_itself(
    run: Command, daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "orchestrator-demo").mkdir()
    (tmp_path / "orchestrator-demo" / "control.sock").hardlink_to(daemon.path)
    assert run("ctl", "drain").out == "Well.\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["bogus"], "No such command 'bogus'. See: orchestrator --help"),
        (["ctl", "bogus"], "No such command 'bogus'. See: orchestrator ctl --help"),
        (["ctl", "statu"], "No such command 'statu'. Did you mean 'status'? See: orchestrator ctl --help"),
        (["ctl", "run"], "Missing argument 'JOB'. See: orchestrator ctl run --help"),
        (["check", "--port", "1"], "No such option: --port. See: orchestrator check --help"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(run: Command, args: list[str], said: str) -> None:
    ended = run(*args)
    assert (ended.code, ended.out, ended.err) == (2, "", f"error: {said}\n")


def test_a_value_that_is_not_allowed_is_wrong_usage(run: Command) -> None:
    ended = run("demo", "--accounts", "0")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "'--accounts'" in ended.err


@pytest.mark.parametrize("args", [[], ["ctl"]])
def test_without_a_command_there_is_help_and_exit_code_2(run: Command, args: list[str]) -> None:
    ended = run(*args)
    assert (ended.code, ended.err) == (2, "")
    assert "Usage: " in ended.out


def test_the_version_is_shown(run: Command) -> None:
    ended = run("--version")
    assert (ended.code, ended.out) == (0, f"orchestrator {orchestrator.__version__}\n")


# ── alerts ──────────────────────────────────────────────────────────────────────────────────────


def test_a_test_message_reaches_the_destinations_or_it_is_said_why_not(run: Command, tmp_path: Path) -> None:
    with webhook() as hook:
        (tmp_path / "o.toml").write_text(f"[alerts.destinations.ops]\nurl = '{hook.url}'\n")
        ended = run("alerts", "test", "--config", "o.toml")
        assert (ended.code, ended.out) == (0, "ops took the message\n")
        assert hook.taken[0]["title"].endswith(": a test")
        hook.does = 403
        ended = run("alerts", "test", "ops", "--config", "o.toml")
        assert (ended.code, ended.out) == (1, "")
        assert ended.err == "error: alerts to ops: HTTP 403. Try: orchestrator alerts test ops\n"
        assert TOKEN not in ended.err


def test_check_finds_an_address_that_apprise_does_not_know(run: Command, tmp_path: Path) -> None:
    (tmp_path / "o.toml").write_text(f"[alerts.destinations.ops]\nurl = 'nonsense://{TOKEN}'\n")
    ended = run("check", "--config", "o.toml")
    assert ended.code == 2
    assert "alerts.destinations.ops: the URL is none that Apprise knows" in ended.err
    assert TOKEN not in ended.err + ended.out


# ── check ───────────────────────────────────────────────────────────────────────────────────────


def test_check_lists_settings_with_their_source(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_HTTP__PORT", "9999")
    ended = run("check")
    assert ended.code == 0
    (line,) = [line for line in ended.out.splitlines() if line.startswith("http.port")]
    assert "9999" in line
    assert "ORCHESTRATOR_HTTP__PORT" in line


def test_wrong_settings_are_a_line_each_and_exit_code_2(run: Command, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[http]\nport = "many"\nprot = 1\n')
    ended = run("check", "--config", str(file))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.count("\n") == 2
    assert all(line.startswith("error: http.") for line in ended.err.splitlines())
    assert "Traceback" not in ended.err


# ── run and demo ────────────────────────────────────────────────────────────────────────────────


def test_run_lives_by_the_settings_of_the_file_and_can_read_them_again(
    run: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("shutdown_deadline_s = 7\n")
    lived: list[Settings] = []

    def live(settings: Settings, *, read: Callable[[], Settings]) -> None:
        file.write_text("shutdown_deadline_s = 9\n")
        lived.extend([settings, read()])

    monkeypatch.setattr(start, "run", live)
    assert run("run", "--config", str(file)).code == 0
    assert [settings.shutdown_deadline_s for settings in lived] == [7, 9]


def test_demo_hands_its_options_on(run: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shown: list[showcase.DemoOptions] = []
    monkeypatch.setattr(showcase, "run_demo", shown.append)
    options = ["--state-dir", str(tmp_path), "--http-port", "0", "--site-port", "0", "--speed", "60"]
    assert run("demo", *options, "--accounts", "3", "--plain").code == 0
    assert shown == [showcase.DemoOptions(tmp_path, 0, 0, 60.0, 3, True)]


def test_demo_alone_has_the_same_defaults_as_its_options(
    run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[showcase.DemoOptions] = []
    monkeypatch.setattr(showcase, "run_demo", shown.append)
    run("demo")
    assert shown == [showcase.DemoOptions(demo_state_dir(os.environ))]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AddressInUseError("port 8700 is in use", remedy="Choose another"), 1),
        (SettingsError("http.port: is wrong"), 2),
        (ExceptionGroup("nursery", [AddressInUseError("port 8700 is in use", remedy="Choose another")]), 1),
        (ExceptionGroup("a", [ExceptionGroup("b", [SettingsError("http.port: is wrong")])]), 2),
        (KeyboardInterrupt(), 130),
        (BaseExceptionGroup("nursery", [KeyboardInterrupt()]), 130),
    ],
)
def test_an_error_of_the_daemon_is_a_line_and_never_a_traceback(
    run: Command, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def fail(_settings: Settings, **_options: object) -> None:
        raise error

    monkeypatch.setattr(start, "run", fail)
    ended = run("run")
    assert ended.code == code
    assert "Traceback" not in ended.err
    expected = {1: "error: port 8700 is in use. Choose another\n", 2: "error: http.port: is wrong\n"}
    assert ended.err == expected.get(code, ended.err)


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    group = ExceptionGroup("nursery", [DatabaseError("down"), ZeroDivisionError("a bug")])

    def fail(_settings: Settings, **_options: object) -> None:
        raise group

    monkeypatch.setattr(start, "run", fail)
    monkeypatch.setattr(sys, "argv", ["orchestrator", "run"])
    with pytest.RaisesGroup(DatabaseError, ZeroDivisionError):
        cli.main()


def test_every_line_of_an_error_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.tell(OrchestratorError("one\ntwo", remedy="Mend both")) == 1
    assert capsys.readouterr().err == "error: one\nerror: two. Mend both\n"


# ── jobs ────────────────────────────────────────────────────────────────────────────────────────


def test_the_jobs_are_listed_without_a_daemon(run: Command) -> None:
    ended = run("jobs")
    assert ended.code == 0
    assert ended.out.splitlines()[1].split() == ["plan", "1", "every", "2", "h", "–", "–", "–"]


def test_the_jobs_are_listed_as_the_settings_change_them(
    run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_JOBS__LEARN__DAILY_AT", "03:00")
    monkeypatch.setenv("ORCHESTRATOR_JOBS__LEARN__TIME_ZONE", "Europe/Berlin")
    monkeypatch.setenv("ORCHESTRATOR_JOBS__PLAN__ENABLED", "false")
    out = run("jobs").out
    assert "daily 03:00 Europe/Berlin" in out
    assert "plan" not in out


def test_the_jobs_are_drawn(run: Command) -> None:
    assert run("jobs", "--graph").out.splitlines()[:2] == ["plan", "└─ posting"]
    assert run("jobs", "--dot").out.startswith("digraph jobs {")


# ── the command as a process ────────────────────────────────────────────────────────────────────


def test_ctl_imports_nothing_of_the_daemon() -> None:
    script = (
        "import sys\n"
        "from orchestrator import cli\n"
        "sys.argv = ['orchestrator', 'ctl', '--socket', '/nowhere/c.sock', 'status']\n"
        "try:\n    cli.main()\nexcept SystemExit as end:\n    print(end.code)\n"
        "slow = {'trio', 'asyncpg', 'playwright', 'starlette', 'structlog', 'orchestrator.settings'}\n"
        "print(sorted(slow & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["3", "[]"]


def test_output_that_nobody_reads_is_no_traceback() -> None:
    command = f"{sys.executable} -m orchestrator check | true"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr
