"""Where the embedded server keeps its data, its socket and its log, and who may enter.

    DIRECTORY/                 ours, 0711 (0700 when we are not root)
        lock                   held while a daemon runs its server here
        data/                  the server user's, 0700
        run/                   the socket; the server user's, 0700
        postgres.log           and one older, postgres.log.1
        postgresql-18-0.6.0/   a copy of the programs, only where it is needed

We may be root and the server's user is not: we write only where that user can't plant links.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from orchestrator.db import processes
from orchestrator.db.privileges import Account, Launcher
from orchestrator.errors import DatabaseError, StateDirectoryError

SOCKET_NAME = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH = 107
"""Bytes that the kernel takes, without the closing zero."""
LONGEST_LOG = 10_000_000
TAIL = 4096
LINES_SHOWN = 3
HALF_MADE = "data.new-"


@dataclass(frozen=True, slots=True)
class Layout:
    """The parts of an embedded server's directory."""

    directory: Path
    sockets: Path

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def lock(self) -> Path:
        return self.directory / "lock"

    @property
    def log(self) -> Path:
        return self.directory / "postgres.log"

    def open_log(self) -> BinaryIO:
        """The server's log, to append to; one that has grown too long is moved aside."""
        if self.log.exists() and self.log.stat().st_size > LONGEST_LOG:
            self.log.replace(self.log.with_suffix(".log.1"))
        return open(self.log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600))

    def log_tail(self, offset: int = 0) -> str:
        """What the server said last, after `offset` bytes, errors first, as one line."""
        with self.log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(offset, end - TAIL))
            lines = file.read().decode(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        errors = [line for line in said if any(word in line for word in ("FATAL", "PANIC", "rror:", "HINT"))]
        return " | ".join((errors or said or ["it said nothing"])[-LINES_SHOWN:])


def prepare(directory: Path, account: Account | None) -> Layout:
    """Make what is missing and set owners and modes. Raises StateDirectoryError."""
    try:
        directory = directory.resolve()
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700 if account is None else 0o711)
        return Layout(directory, _socket_directory(directory, account))
    except OSError as error:
        raise StateDirectoryError(
            f"the database's directory {directory} can't be used: {error.strerror}",
            remedy="Make it writable for the daemon, or choose another state directory",
        ) from error


async def check_reachable(layout: Layout, launcher: Launcher) -> None:
    """Check that the server's user can get to the directory; the error names the parent that bars it."""
    if launcher.account is None or await _can_enter(layout.directory, launcher):
        return
    for parent in reversed(layout.directory.parents):
        if not await _can_enter(parent, launcher):
            raise StateDirectoryError(
                f"the user {launcher.account.name}, whom PostgreSQL runs as, can't enter {parent}",
                remedy=f"Run chmod o+x {parent}, choose another state directory, or run as an ordinary user",
            )
    raise StateDirectoryError(f"the user {launcher.account.name} can't enter {layout.directory}")


async def _can_enter(path: Path, launcher: Launcher) -> bool:
    # Asked by trying as that user: modes alone tell nothing of access lists and security modules.
    return await processes.run(launcher.command("test", "-x", str(path)), subprocess.DEVNULL) == 0


def is_new(layout: Layout, major: str) -> bool:
    """Whether there is no data yet. Raises DatabaseError for data that PostgreSQL `major` can't read."""
    data, version_file = layout.data, layout.data / "PG_VERSION"
    try:
        if not data.exists() or not any(data.iterdir()):
            return True
    except PermissionError as error:
        raise StateDirectoryError(
            f"{data} belongs to somebody else", remedy="Run the daemon as the user that made it, or as root"
        ) from error
    if not version_file.exists():
        raise DatabaseError(f"{data} is not a PostgreSQL data directory", remedy="Move it away")
    if (version := version_file.read_text().strip()) != major:
        raise DatabaseError(
            f"the data in {data} was made by PostgreSQL {version}; this program brings {major}",
            remedy="Move the data with pg_dump of the old version and a fresh directory, or go back to the "
            "program that made it",
        )
    return False


def make_half_made(layout: Layout, account: Account | None) -> Path:
    """An empty directory for new data, under a passing name; those of broken attempts are removed."""
    for old in layout.directory.glob(f"{HALF_MADE}*"):
        shutil.rmtree(old)
    half_made = Path(tempfile.mkdtemp(prefix=HALF_MADE, dir=layout.directory))
    _give(half_made, account)
    return half_made


def clear_sockets(layout: Layout) -> None:
    """Remove what a killed server left: PostgreSQL refuses when the noted process id is in use again."""
    for name in (SOCKET_NAME, f"{SOCKET_NAME}.lock"):
        (layout.sockets / name).unlink(missing_ok=True)


def remove_sockets(layout: Layout) -> None:
    """Leave nothing outside the state directory."""
    clear_sockets(layout)
    if layout.sockets.parent != layout.directory:
        layout.sockets.rmdir()


def _socket_directory(directory: Path, account: Account | None) -> Path:
    """`directory/run`, or a short path in the machine's place for sockets when that is too long."""
    if _fits(directory / "run"):
        return _private(directory / "run", account)
    name = f"orchestrator-{hashlib.sha256(os.fsencode(directory)).hexdigest()[:12]}"
    for parent in _runtime_directories():
        path = parent / name
        if not (_fits(path) and os.access(parent, os.W_OK | os.X_OK)):
            continue
        try:
            return _private(path, account)
        except (StateDirectoryError, OSError):
            continue  # somebody else has taken the name
    return _give(Path(tempfile.mkdtemp(prefix="orchestrator-")), account)


def _runtime_directories() -> list[Path]:
    own = os.environ.get("XDG_RUNTIME_DIR")
    named = [Path(own)] if own and os.geteuid() != 0 else []
    return [*named, Path("/run"), Path("/tmp")]  # noqa: S108 - `_private` guards against others


def _fits(sockets: Path) -> bool:
    path = os.fsencode(sockets / SOCKET_NAME)
    return len(path) <= LONGEST_SOCKET_PATH and b"," not in path  # a comma parts directories in PostgreSQL


def _private(path: Path, account: Account | None) -> Path:
    """`path` as a directory that only the server's user and root may enter."""
    path.mkdir(mode=0o700, exist_ok=True)
    return _give(path, account)


def _give(path: Path, account: Account | None) -> Path:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)  # what is checked is what is changed
    try:
        if os.fstat(folder).st_uid not in {os.geteuid(), account.uid if account else os.geteuid()}:
            raise StateDirectoryError(f"{path} belongs to somebody else", remedy="Move it away")
        if account is not None:
            os.fchown(folder, account.uid, account.gid)
        os.fchmod(folder, 0o700)
    finally:
        os.close(folder)
    return path
