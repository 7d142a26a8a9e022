import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.errors import StateDirectoryError
from orchestrator.state import hold_state_dir, make_state_dir, read_token


def test_the_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    with hold_state_dir(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()


def test_a_daemon_keeps_its_name_over_restarts(tmp_path: Path) -> None:
    with hold_state_dir(tmp_path) as first:
        pass
    with hold_state_dir(tmp_path) as second:
        pass
    assert first == second != ""


def test_two_directories_are_two_daemons(tmp_path: Path) -> None:
    with hold_state_dir(tmp_path / "a") as one, hold_state_dir(tmp_path / "b") as other:
        assert one != other


def test_a_name_that_was_cut_off_by_a_crash_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "instance").write_text("")
    with hold_state_dir(tmp_path) as name:
        assert name.startswith(f"{socket.gethostname()}-")
    with hold_state_dir(tmp_path) as again:
        assert again == name


def test_a_second_daemon_is_told_who_is_there_and_what_to_do(tmp_path: Path) -> None:
    with hold_state_dir(tmp_path):
        with pytest.raises(StateDirectoryError) as caught, hold_state_dir(tmp_path):
            raise AssertionError("both are in")
        assert f"another daemon (pid {os.getpid()}) works in the state directory" in str(caught.value)
        assert "give this one another state_dir" in caught.value.remedy


def test_the_directory_is_free_again_after_the_block_however_it_ends(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), hold_state_dir(tmp_path):
        raise ZeroDivisionError
    with hold_state_dir(tmp_path):
        pass


def test_the_lock_goes_with_a_daemon_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from orchestrator.state import hold_state_dir\n"
        f"with hold_state_dir(Path({str(tmp_path)!r})) as name: print(name, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        name = daemon.stdout.readline().strip()
        with pytest.raises(StateDirectoryError, match=f"pid {daemon.pid}"), hold_state_dir(tmp_path):
            raise AssertionError("both are in")
        daemon.kill()
    with hold_state_dir(tmp_path) as again:
        assert again == name


def test_a_child_of_the_daemon_does_not_keep_the_lock(tmp_path: Path) -> None:
    with hold_state_dir(tmp_path):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with hold_state_dir(tmp_path):
            pass
    finally:
        child.kill()
        child.wait()


def test_the_lock_file_is_for_us_alone(tmp_path: Path) -> None:
    with hold_state_dir(tmp_path):
        assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
        with (tmp_path / "lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)


@pytest.mark.parametrize("blocked", ["", "lock", "instance"])
def test_a_directory_that_cannot_be_used_is_named_with_the_reason_and_a_remedy(
    blocked: str, tmp_path: Path
) -> None:
    directory = tmp_path / "state"
    if blocked:
        (directory / blocked).mkdir(parents=True)
        reason = "Is a directory"
    else:
        directory.write_text("a file")
        reason = "File exists"
    with pytest.raises(StateDirectoryError) as caught, hold_state_dir(directory):
        raise AssertionError("it is held")
    assert str(caught.value) == f"the state directory {directory} can't be used: {reason}"
    assert "ORCHESTRATOR_STATE_DIR" in caught.value.remedy


def test_the_token_of_the_api_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    token = read_token(tmp_path)
    assert len(token) >= 40
    assert read_token(tmp_path) == token
    assert (tmp_path / "api-token").stat().st_mode & 0o777 == 0o600
    (tmp_path / "api-token").write_text("\n")  # cut off by a crash
    assert read_token(tmp_path) != token


def test_the_directory_can_be_made_without_holding_it(tmp_path: Path) -> None:
    make_state_dir(tmp_path / "state")
    with hold_state_dir(tmp_path / "state"):
        make_state_dir(tmp_path / "state")
