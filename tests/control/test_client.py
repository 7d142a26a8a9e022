import json
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.control import client, protocol
from orchestrator.control.find import find_socket, running
from orchestrator.control.listener import open_listener
from orchestrator.errors import ControlError, NoDaemonError, SettingsError


class Daemon:
    """A thread that listens at `path` and gives one connection to `serve`."""

    def __init__(self, path: Path, serve: Callable[[socket.socket], None]) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._serve = serve
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        connection, _address = self._listener.accept()
        with connection:
            self._serve(connection)

    def __enter__(self) -> "Daemon":
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._thread.join()
        self._listener.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.sock"


def answering(message: dict[str, Any], read: int = 1 << 20) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        if read:
            connection.recv(read)
        connection.sendall(protocol.frame(message))

    return serve


def test_a_request_gives_the_result(path: Path) -> None:
    got: list[Any] = []

    def serve(connection: socket.socket) -> None:
        got.append(json.loads(connection.recv(1 << 16)[4:]))
        connection.sendall(protocol.frame({"ok": True, "result": {"jobs": []}}))

    with Daemon(path, serve):
        assert client.request(path, "why", {"job": "posting"}) == {"jobs": []}
    assert got == [{"verb": "why", "args": {"job": "posting"}}]


def test_the_daemons_refusal_is_raised(path: Path) -> None:
    with (
        Daemon(path, answering({"ok": False, "error": "no job x", "remedy": "Look"})),
        pytest.raises(ControlError, match="no job x"),
    ):
        client.request(path, "run", {"job": "x"})


def test_an_early_refusal_is_read_although_the_request_was_not(path: Path) -> None:
    refusal = answering({"ok": False, "error": "too many connections"}, read=0)
    with Daemon(path, refusal), pytest.raises(ControlError, match="too many connections"):
        client.request(path, "run", {"job": "x" * (1 << 22)})


def test_no_socket_means_no_daemon_and_how_to_start_one(path: Path) -> None:
    with pytest.raises(NoDaemonError) as caught:
        client.request(path, "status")
    assert str(caught.value) == f"no daemon is listening at {path}"
    assert "orchestrator run" in caught.value.remedy


def test_a_dead_socket_means_no_daemon(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    with pytest.raises(NoDaemonError):
        client.request(path, "status")


def test_a_file_that_is_no_socket_means_no_daemon(path: Path) -> None:
    path.write_text("")
    with pytest.raises(NoDaemonError):
        client.request(path, "status")


def test_a_path_that_is_too_long_is_an_error_of_the_path(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="can't be used as a control socket"):
        client.request(tmp_path / ("x" * 120), "status")


def test_a_daemon_that_closes_without_an_answer_is_told_apart(path: Path) -> None:
    with (
        Daemon(path, lambda connection: connection.close()),
        pytest.raises(ControlError, match=r"the connection to .* broke"),
    ):
        client.request(path, "status")


def test_a_daemon_that_does_not_answer_in_time_is_named(path: Path) -> None:
    may_end = threading.Event()

    def wait(_connection: socket.socket) -> None:
        may_end.wait()

    with Daemon(path, wait):
        with pytest.raises(ControlError, match=r"did not answer within 0\.01 s"):
            client.request(path, "status", timeout_s=0.01)
        may_end.set()


def test_an_answer_without_end_is_not_read(path: Path) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(struct.pack(">I", protocol.MAX_ANSWER_BYTES + 1))

    with Daemon(path, serve), pytest.raises(ControlError, match="at most"):
        client.request(path, "status")


# ── finding the socket ──────────────────────────────────────────────────────────────────────────


def listening(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


def test_the_environment_names_the_socket_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('state_dir = "/srv/o"\n[control]\nsocket = "/run/o.sock"\n')
    both = {"ORCHESTRATOR_CONTROL__SOCKET": "/run/env.sock", "ORCHESTRATOR_CONFIG": str(file)}
    assert find_socket(both) == Path("/run/env.sock")
    assert find_socket({"ORCHESTRATOR_CONFIG": str(file)}) == Path("/run/o.sock")
    assert find_socket({}, file) == Path("/run/o.sock")


def test_the_state_directory_holds_the_socket_unless_one_is_named(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('state_dir = "/srv/o"\n')
    assert find_socket({}, file) == Path("/srv/o/control.sock")
    assert find_socket({"ORCHESTRATOR_STATE_DIR": "/srv/e"}, file) == Path("/srv/e/control.sock")


def test_a_settings_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"settings\.toml can't be read"):
        find_socket({}, tmp_path / "settings.toml")


def test_of_the_known_places_the_one_that_answers_is_taken(tmp_path: Path) -> None:
    known = (tmp_path / "a.sock", tmp_path / "b.sock")
    with listening(known[1]):
        assert find_socket({}, known=known) == known[1]


def test_two_daemons_that_answer_are_not_guessed_between(tmp_path: Path) -> None:
    known = (tmp_path / "a.sock", tmp_path / "b.sock")
    with (
        listening(known[0]),
        listening(known[1]),
        pytest.raises(ControlError, match=r"a\.sock and at .*b\.sock"),
    ):
        find_socket({}, known=known)


def test_with_no_daemon_all_known_places_are_named(tmp_path: Path) -> None:
    with pytest.raises(NoDaemonError, match=r"a\.sock or .*b\.sock"):
        find_socket({}, known=(tmp_path / "a.sock", tmp_path / "b.sock"))


def test_the_only_daemon_elsewhere_is_taken_when_no_known_one_answers(tmp_path: Path) -> None:
    known, other, gone = (tmp_path / name for name in ("a.sock", "b.sock", "c.sock"))
    with listening(other):
        assert find_socket({}, known=(known,), others=lambda: [gone, other]) == other
        with listening(known):
            assert find_socket({}, known=(known,), others=lambda: [other]) == known
    with pytest.raises(NoDaemonError, match=r"a\.sock"):
        find_socket({}, known=(known,), others=lambda: [gone])


def test_of_two_daemons_elsewhere_none_is_guessed(tmp_path: Path) -> None:
    one, two = tmp_path / "a.sock", tmp_path / "b.sock"
    with listening(one), listening(two), pytest.raises(ControlError, match=r"a\.sock and at .*b\.sock"):
        find_socket({}, known=(), others=lambda: [one, two])


def test_settings_that_name_a_directory_are_not_about_a_daemon_elsewhere(tmp_path: Path) -> None:
    other = tmp_path / "b.sock"
    with listening(other), pytest.raises(NoDaemonError):
        find_socket(
            {"ORCHESTRATOR_STATE_DIR": "/var/lib/orchestrator"},
            known=(tmp_path / "a.sock",),
            others=lambda: [other],
        )


def test_a_daemons_socket_is_among_all_that_run(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with open_listener(path, None):
        assert path in running()
    assert path not in running()
