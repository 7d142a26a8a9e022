"""The state directory: ours alone while we run, and the same daemon again after a restart."""

import fcntl
import os
import secrets
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import StateDirectoryError


@contextmanager
def hold_state_dir(directory: Path) -> Iterator[str]:
    """Create and lock the directory; gives the name of the daemon that lives in it.

    The name is made once and stays, so a restarted daemon is known as the one that it was. The lock
    goes with the process, however it ends. Raises StateDirectoryError.
    """
    make_state_dir(directory)
    lock = _open_lock(directory)
    try:
        with _translated(directory):
            _lock(lock, directory)
            name = _name(directory / "instance")
        yield name
    finally:
        os.close(lock)


def make_state_dir(directory: Path) -> None:
    """Create the directory, and see that it takes writes. Raises StateDirectoryError."""
    with _translated(directory):
        directory.mkdir(parents=True, exist_ok=True)
        os.close(_open_lock(directory))


def read_token(directory: Path) -> str:
    """What the API wants to be shown: made once, for its owner only. Raises StateDirectoryError."""
    path = directory / "api-token"
    with _translated(directory):
        token = path.read_text().strip() if path.exists() else ""
        if not token:  # none yet, or the daemon that wrote it died on the way
            token = secrets.token_urlsafe(32)
            write_whole(path, token + "\n")
    return token


def _open_lock(directory: Path) -> int:
    return os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextmanager
def _translated(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateDirectoryError(
            f"the state directory {directory} can't be used: {error.strerror}",
            remedy="Mend its rights, or name another one (ORCHESTRATOR_STATE_DIR, --state-dir).",
        ) from error


def write_whole(path: Path, text: str) -> None:
    """Write a small file, for its owner only, so that whoever reads it finds all of it or what was there."""
    new = path.with_name(f"{path.name}.new")
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(path)


@dataclass(frozen=True, slots=True)
class ClockMark:
    """What the state directory of a demo keeps of its clock; a daemon with the machine's clock has none."""

    shown: float
    """How far the clock has come at most, in seconds since 1970."""
    speed: float | None = None
    """How many times as fast as real it runs; None when it was not kept."""
    since: float = 0.0
    """From which moment of the clock on it has run so fast."""

    def write(self, directory: Path) -> None:
        """Keep it. Raises OSError."""
        assert self.speed is not None
        write_whole(directory / _CLOCK, f"{self.shown} {self.speed} {self.since}\n")


def read_clock(directory: Path) -> ClockMark | None:
    """The mark of a demo's clock, if there is one. Raises StateDirectoryError when it can't be read."""
    path = directory / _CLOCK
    try:
        numbers = [float(word) for word in path.read_text().split()]
        return ClockMark(*numbers)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise StateDirectoryError(f"{path} is no clock: {error}", remedy="Delete it.") from error


_CLOCK = "clock"


def _lock(lock: int, directory: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        pid = os.pread(lock, 32, 0).decode(errors="replace").strip() or "?"
        raise StateDirectoryError(
            f"another daemon (pid {pid}) works in the state directory {directory}",
            remedy="Stop it, or give this one another state_dir.",
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


def _name(path: Path) -> str:
    name = path.read_text().strip() if path.exists() else ""
    if not name:  # none yet, or the daemon that wrote it died on the way
        name = f"{socket.gethostname()}-{uuid.uuid4().hex[:12]}"  # the host is for people
        write_whole(path, name + "\n")
    return name
