"""The switch that crashes the process: off, refused, and doing what it says."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from orchestrator import crash
from orchestrator.crash import AT, BY, POINTS, Step
from orchestrator.errors import SettingsError
from orchestrator.settings.address import is_on_this_machine

PROGRAM = """
import os, sys
from orchestrator import crash
crash.arm(os.environ, is_local=True)
for n in range(1, 5):
    with crash.around(crash.Step.PRESS):
        sys.stdout.write(f"{n}")
        sys.stdout.flush()
"""


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    crash._on_reach = None


def start(at: str, by: str) -> "subprocess.Popen[bytes]":
    environ = {**os.environ, AT: at, BY: by}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.parametrize(
    ("at", "said"),
    [("press:before", b""), ("press:after", b"1"), ("press:before:3", b"12"), ("press:after:3", b"123")],
)
def test_the_process_dies_at_the_point_when_it_is_reached_for_that_time(at: str, said: bytes) -> None:
    with start(at, "kill") as process:
        out, words = process.communicate(timeout=30)
    assert (process.returncode, out) == (-signal.SIGKILL, said)
    assert words.decode().startswith("SIGKILL at press:")


def test_the_process_stops_at_the_point_and_goes_on_when_it_is_told_to() -> None:
    with start("press:after:2", "stop") as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 100) == b"12"
        process.send_signal(signal.SIGCONT)
        out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, b"34")


def test_a_point_that_is_not_reached_changes_nothing() -> None:
    with start("record:before", "kill") as process:
        out, words = process.communicate(timeout=30)
    assert (process.returncode, out, words) == (0, b"1234", b"")


def test_a_step_that_fails_has_no_point_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(crash, "_on_reach", seen.append)
    with pytest.raises(ZeroDivisionError), crash.around(Step.INTENT):
        raise ZeroDivisionError
    assert seen == ["intent:before"]


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({AT: "press:before"}, "together or not at all"),
        ({BY: "kill"}, "together or not at all"),
        ({AT: "press", BY: "kill"}, "the points are lease:before"),
        ({AT: "nonsense:before", BY: "kill"}, "the points are lease:before"),
        ({AT: "press:before:0", BY: "kill"}, "the points are lease:before"),
        ({AT: "press:before:x", BY: "kill"}, "the points are lease:before"),
        ({AT: "press:before", BY: "1"}, "must be kill or stop"),
    ],
)
def test_what_makes_no_sense_is_refused(environ: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        crash.arm(environ, is_local=True)


@pytest.mark.parametrize("point", POINTS)
def test_a_database_elsewhere_is_refused_at_every_point(point: str) -> None:
    with pytest.raises(SettingsError, match="does not name this machine"):
        crash.arm({AT: point, BY: "kill"}, is_local=False)


@pytest.mark.parametrize(
    ("dsn", "is_here"),
    [
        ("postgresql://me@/posts?host=/run/postgresql", True),
        ("postgresql://me:secret@127.0.0.1:5432/posts", True),
        ("postgresql://me@[::1]:5432/posts", True),
        ("postgresql://localhost/posts", True),
        ("postgresql://%2Frun%2Fpostgresql/posts", True),
        ("postgresql://me@/posts", False),  # PGHOST may name any
        ("postgresql://me@db.example.org/posts", False),
        ("postgresql://me@localhost,db.example.org/posts", False),
        ("postgresql://me@localhost/posts?host=10.0.0.1", False),
        ("postgresql://me@localhost.example.org/posts", False),
    ],
)
def test_a_database_is_here_only_when_every_host_of_its_address_is(dsn: str, is_here: bool) -> None:
    assert is_on_this_machine(dsn) is is_here


@pytest.mark.parametrize(
    "environ",
    [
        {AT: "press:before"},
        {BY: "kill"},
        {AT: "press:before", BY: "kill", "ORCHESTRATOR_DATABASE__DSN": "postgresql://a@192.0.2.1/b"},
    ],
    ids=["no permission", "no point", "a database elsewhere"],
)
def test_the_daemon_refuses_to_start_with_one_line(environ: dict[str, str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "orchestrator", "run"],
        env={**os.environ, **environ},
        capture_output=True,
        timeout=50,
        check=False,
    )
    line = ended.stderr.decode()
    assert (ended.returncode, line.count("\n")) == (2, 1), line
    assert line.startswith("error: ORCHESTRATOR_CRASH_AT")
