import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from orchestrator.control.listener import MAX_PATH_BYTES, adopt_listener, open_listener, path_of
from orchestrator.errors import AddressInUseError, SettingsError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes owners")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def names(directory: Path) -> list[str]:
    return sorted(file.name for file in directory.iterdir())


def can_connect(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def make_dead_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()


def test_the_socket_listens_and_its_file_goes_at_the_end(path: Path) -> None:
    with open_listener(path, None):
        assert can_connect(path)
        assert names(path.parent) == [path.name]
    assert names(path.parent) == []


def test_only_its_own_user_may_connect_when_there_is_no_group(path: Path, no_umask: None) -> None:
    with open_listener(path, None):
        assert mode(path) == 0o600


def test_a_umask_that_takes_everything_still_lets_the_owner_in(path: Path) -> None:
    before = os.umask(0o777)
    try:
        with open_listener(path, None):
            assert mode(path) == 0o600
    finally:
        os.umask(before)


def test_a_group_may_connect_and_nobody_else(path: Path, no_umask: None) -> None:
    with open_listener(path, os.getegid()):
        assert mode(path) == 0o660
        assert path.lstat().st_gid == os.getegid()


def test_the_mode_is_never_wider_than_its_last_one_not_even_right_after_bind(
    path: Path, no_umask: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    chown, link = os.chown, os.link

    def spy_chown(file: Path, uid: int, gid: int) -> None:
        seen.append(mode(file))
        chown(file, uid, gid)

    def spy_link(source: Path, target: Path) -> None:
        seen.append(mode(source))
        link(source, target)

    monkeypatch.setattr(os, "chown", spy_chown)
    monkeypatch.setattr(os, "link", spy_link)
    with open_listener(path, os.getegid()):
        assert seen == [0o600, 0o660]


def test_the_umask_of_the_process_is_left_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "umask", None)
    with open_listener(path, None):
        assert mode(path) == 0o600


@pytest.mark.parametrize("kind", ["file", "directory", "link to a file", "dangling link"])
def test_what_is_no_socket_stays_and_is_named(path: Path, kind: str) -> None:
    target = path.parent / "target"
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(target)
        if kind == "link to a file":
            target.write_text("precious")
    before = path.lstat()

    with pytest.raises(AddressInUseError, match=r"control\.sock is there and is not a socket"):
        open_listener(path, None).__enter__()

    assert path.lstat().st_ino == before.st_ino
    assert names(path.parent) in (["control.sock"], ["control.sock", "target"])


def test_a_living_daemons_socket_is_not_replaced(path: Path) -> None:
    with open_listener(path, None):
        inode = path.lstat().st_ino
        with pytest.raises(AddressInUseError, match="another daemon listens"):
            open_listener(path, None).__enter__()
        assert path.lstat().st_ino == inode
        assert can_connect(path)


def test_a_listener_with_a_full_backlog_counts_as_living(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as first:
        busy.bind(str(path))
        busy.listen(0)
        first.connect(str(path))
        with pytest.raises(AddressInUseError, match="another daemon listens"):
            open_listener(path, None).__enter__()


def test_a_dead_socket_of_ours_is_replaced(path: Path) -> None:
    make_dead_socket(path)
    with open_listener(path, None):
        assert can_connect(path)
        assert names(path.parent) == [path.name]


@needs_root
def test_a_dead_socket_of_another_user_stays(path: Path) -> None:
    make_dead_socket(path)
    os.chown(path, 12345, 12345)
    with pytest.raises(AddressInUseError, match="belongs to user 12345"):
        open_listener(path, None).__enter__()
    assert path.is_socket()


def test_at_the_end_a_socket_that_took_the_place_is_not_touched(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_listener(path, None):
        path.unlink()
        make_dead_socket(path)
        inode = path.lstat().st_ino
        monkeypatch.setattr(Path, "rename", None)
    assert path.lstat().st_ino == inode


def test_a_socket_that_appears_while_the_dead_one_is_removed_is_put_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_dead_socket(path)
    rename = Path.rename
    with socket.socket(socket.AF_UNIX) as other:

        def other_daemon_is_quicker(self: Path, target: Path) -> Path:
            if self == path:
                path.unlink()
                other.bind(str(path))
                other.listen()
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", other_daemon_is_quicker)
        with pytest.raises(AddressInUseError, match="another daemon listens"):
            open_listener(path, None).__enter__()
        assert can_connect(path)
        assert names(path.parent) == [path.name]


def test_a_path_that_is_too_long_is_refused_with_the_limit(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 60)
    directory.mkdir()
    path = directory / ("s" * 60)
    with pytest.raises(SettingsError, match=f"at most {MAX_PATH_BYTES} are possible"):
        open_listener(path, None).__enter__()
    assert names(directory) == []


def test_the_longest_path_works(tmp_path: Path) -> None:
    room = MAX_PATH_BYTES - len(os.fsencode(tmp_path)) - 1
    path = tmp_path / ("s" * room)
    with open_listener(path, None):
        assert can_connect(path)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"can be made in .*/nowhere: No such file"):
        open_listener(tmp_path / "nowhere" / "c.sock", None).__enter__()


# ── a socket that was handed over ───────────────────────────────────────────────────────────────


@pytest.fixture
def handed(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield listener


def test_a_socket_that_was_handed_over_is_taken_as_it_is_and_its_file_stays(
    handed: socket.socket, path: Path
) -> None:
    before = path.lstat()
    with adopt_listener(handed, None, None) as listener:
        assert path_of(listener) == path
        assert can_connect(path)
    assert path.lstat() == before
    assert not can_connect(path)


def test_settings_that_name_the_place_of_the_socket_that_was_handed_over_agree(
    handed: socket.socket, path: Path
) -> None:
    with adopt_listener(handed, path, None) as listener:
        assert listener is handed


def test_settings_that_name_another_place_than_the_socket_that_was_handed_over_are_refused(
    handed: socket.socket, path: Path
) -> None:
    with (
        pytest.raises(SettingsError, match=f"the socket that was handed over is at {path}"),
        adopt_listener(handed, path.with_name("other"), None),
    ):
        pass


@pytest.mark.parametrize(("family", "is_listening"), [(socket.AF_INET, True), (socket.AF_UNIX, False)])
def test_what_was_handed_over_must_be_a_listening_unix_socket(
    family: socket.AddressFamily, is_listening: bool
) -> None:
    wrong = socket.socket(family)
    if is_listening:
        wrong.bind(("127.0.0.1", 0))
        wrong.listen()
    with pytest.raises(SettingsError, match="no listening Unix socket"), adopt_listener(wrong, None, None):
        pass


def test_a_group_that_may_not_connect_to_what_was_handed_over_is_logged(handed: socket.socket) -> None:
    with capture_logs() as logs, adopt_listener(handed, None, os.getegid() + 1):
        pass
    assert [line["event"] for line in logs] == ["control_group_shut_out"]


def test_a_socket_that_was_handed_over_and_whose_file_is_gone_is_a_wrong_setting(
    handed: socket.socket, path: Path
) -> None:
    path.unlink()
    with (
        pytest.raises(SettingsError, match=f"can't be looked at: {path}"),
        adopt_listener(handed, None, os.getegid()),
    ):
        pass
