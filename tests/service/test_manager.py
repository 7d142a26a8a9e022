"""What systemd hands over, and the way to tell it something."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from orchestrator.errors import SettingsError
from orchestrator.service import manager
from orchestrator.service.manager import Manager, Notifier, take_over
from tests.service.conftest import Listener

OWN = str(os.getpid())


def test_without_systemd_there_is_nobody_to_tell_and_no_socket() -> None:
    environ = {"PATH": "/bin"}
    assert take_over(environ) == Manager()
    assert environ == {"PATH": "/bin"}


def test_children_get_nothing_by_which_they_could_speak_for_the_daemon(systemd: Listener) -> None:
    handed = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": OWN}
    environ = {"PATH": "/bin", **handed, "LISTEN_PID": OWN, "LISTEN_FDS": "0", "LISTEN_FDNAMES": ""}
    take_over(environ)
    assert environ == {"PATH": "/bin"}


def test_a_message_has_a_line_for_each_thing_and_no_further_ones(systemd: Listener) -> None:
    Notifier(systemd.address).tell(READY=1, STATUS="two\nlines\nREADY=0")
    assert systemd.heard() == [{"READY": "1", "STATUS": "two lines READY=0"}]


def test_an_abstract_address_is_understood() -> None:
    name = f"orchestrator-test-{OWN}"
    listener = Listener(f"\0{name}")
    Notifier(f"@{name}").tell(READY=1)
    assert listener.heard() == [{"READY": "1"}]
    listener.close()


def test_what_can_not_be_told_is_logged_and_nothing_else(tmp_path: Path) -> None:
    with capture_logs() as logs:
        Notifier(str(tmp_path / "nobody")).tell(READY=1)
    assert [(line["event"], line["said"]) for line in logs] == [("systemd_not_told", ["READY"])]


@pytest.mark.parametrize(
    ("usec", "pid", "watchdog_s"),
    [
        ("30000000", OWN, 30.0),
        ("30000000", "", 30.0),
        ("30000000", "1", None),
        ("", OWN, None),
        ("0", OWN, None),
    ],
    ids=["our own", "of nobody", "another process's", "no time", "no time at all"],
)
def test_the_watchdog_is_the_daemons_only_when_it_is_meant(
    systemd: Listener, usec: str, pid: str, watchdog_s: float | None
) -> None:
    handed = take_over({"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid})
    assert handed.notifier is not None
    assert handed.notifier.watchdog_s == watchdog_s


# ── sockets ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The descriptor of a listening socket, which stands where systemd would put the first one."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "handed.sock"))
    listener.listen()
    number = listener.detach()
    os.set_inheritable(number, True)
    monkeypatch.setattr(manager, "FIRST_SOCKET", number)
    yield number
    with socket.socket(fileno=number):
        pass


def test_the_control_socket_is_taken_over_and_kept_from_children(number: int, tmp_path: Path) -> None:
    found = take_over({"LISTEN_PID": OWN, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "control"}).sockets
    assert found["control"].getsockname() == str(tmp_path / "handed.sock")
    assert not os.get_inheritable(number)
    assert found["control"].detach() == number


def test_sockets_for_another_process_are_left_alone(number: int) -> None:
    assert take_over({"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "control"}) == Manager()
    assert os.get_inheritable(number)


@pytest.mark.parametrize(("count", "names"), [("1", "web"), ("2", "control:control"), ("1", "")])
def test_a_socket_without_a_use_ends_the_start(number: int, count: str, names: str) -> None:
    with pytest.raises(SettingsError, match="only one 'control' has a use"):
        take_over({"LISTEN_PID": OWN, "LISTEN_FDS": count, "LISTEN_FDNAMES": names})
