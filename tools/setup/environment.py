"""The virtual environment `.venv`: made from the pinned requirements, and known to be whole by a stamp.

Invariants:

1. `.ready.json` exists ⇒ everything that it names was installed completely.
2. `.unfinished` exists ⇒ an installation was interrupted, and nothing in `.venv` can be relied on.
"""

import fcntl
import hashlib
import json
import os
import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.setup.machine import CommandError, SetupError, apt_install, run, say, step, works

SATISFIED_BY = {"run": ("run", "dev"), "dev": ("dev",), "lock": ("lock",)}
"""Which files of `requirements/` hold all that a kind of environment needs."""

# What would make pip install to another place, or Python look into one.
MISLEADING = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV")

# Some packages ship templates that are no valid Python, so its verdict is not asked for.
COMPILE = "import compileall, sys; [compileall.compile_dir(p, quiet=2, workers=0) for p in sys.argv[1:]]"


@dataclass(frozen=True)
class Environment:
    """The environment of the checkout at `root`."""

    root: Path
    name: str = ".venv"

    @property
    def directory(self) -> Path:
        return self.root / self.name

    @property
    def python(self) -> Path:
        return self.directory / "bin" / "python"

    @property
    def stamp(self) -> Path:
        return self.directory / ".ready.json"

    @property
    def unfinished(self) -> Path:
        return self.directory / ".unfinished"

    # ── looking ─────────────────────────────────────────────────────────────────────────────────

    def is_ready(self, kind: str) -> bool:
        """Whether the requirements of `kind` are installed as pinned. Runs nothing."""
        stamp = self._read_stamp()
        if not stamp or not os.access(self.python, os.X_OK) or stamp != stamp | self._circumstances():
            return False
        installed = stamp["requirements"]
        return any(installed.get(file) == self._requirements_hash(file) for file in SATISFIED_BY[kind])

    def is_of(self, python: Path) -> bool:
        """Whether the environment was made with this Python."""
        return self._read_stamp().get("python") == _identity(python)

    def _circumstances(self) -> dict[str, str]:
        """What must not have changed since the installation, besides the requirements."""
        return {
            "root": str(self.root),
            "python": _identity(self.python),
            "project": self._project_hash(),
        }

    def _read_stamp(self) -> dict[str, Any]:
        try:
            stamp: dict[str, Any] = json.loads(self.stamp.read_text("utf-8"))
        except (OSError, ValueError):  # not there, or cut off by a crash: either way not ready
            return {}
        return stamp

    def requirements(self, kind: str) -> Path:
        return self.root / "requirements" / f"{kind}.txt"

    def _requirements_hash(self, kind: str) -> str:
        return hashlib.sha256(self.requirements(kind).read_bytes()).hexdigest()

    def _project_hash(self) -> str:
        """Of what the editable installation depends on; the tools' sections are none of it."""
        project = tomllib.loads((self.root / "pyproject.toml").read_text("utf-8"))
        parts = {
            "project": project["project"],
            "build": project["build-system"],
            "hatch": project["tool"].get("hatch"),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    # ── making ──────────────────────────────────────────────────────────────────────────────────

    def make(self, kind: str) -> None:
        """Bring the environment up to date for `kind`. Raises SetupError."""
        stamp = self._read_stamp()
        if not self._can_be_kept(stamp):
            stamp = {}
            self._create()
        self.stamp.unlink(missing_ok=True)
        self.unfinished.touch()
        self._install_requirements(kind)
        if kind != "lock":
            self._install_project()
        self.unfinished.unlink()
        self._write_stamp(kind, stamp)

    def discard(self) -> None:
        """Remove the environment, so that it is made from scratch."""
        if self.directory.exists():
            shutil.rmtree(self.directory)

    def _can_be_kept(self, stamp: Mapping[str, Any]) -> bool:
        """Whether to build on what is there: made here, never interrupted, Python and pip work."""
        if self.unfinished.exists() or stamp.get("root", str(self.root)) != str(self.root):
            return False
        probe = "import sys, pip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))"
        return works([str(self.python), "-I", "-c", probe])

    def _create(self) -> None:
        with step(f"virtual environment, Python {sys.version.split()[0]}"):
            self.discard()
            self.directory.mkdir()
            self.unfinished.touch()
            self._create_with_venv()

    def _create_with_venv(self) -> None:
        command = [sys.executable, "-E", "-s", "-m", "venv", str(self.directory)]
        if not works([sys.executable, "-c", "import ensurepip, venv"]):
            _install_venv_module()
        run(command, env=_clean_environment())

    def _install_requirements(self, kind: str) -> None:
        file = self.requirements(kind)
        count = sum("==" in line for line in file.read_text("utf-8").splitlines())
        with step(f"{count} packages, pinned by hash"):
            self._pip("install", "--no-compile", "--only-binary=:all:", "--require-hashes", "-r", str(file))

    def _pip(self, *arguments: str) -> None:
        quiet = ["--quiet", "--no-input", "--disable-pip-version-check", "--progress-bar=off"]
        pip = [str(self.python), "-I", "-m", "pip", *arguments, *quiet, "--root-user-action=ignore"]
        try:
            run(pip, env=_clean_environment())
        except CommandError as error:
            raise SetupError(f"the packages could not be installed.\n{error}") from error

    def _install_project(self) -> None:
        with step("this project"):
            self._pip("install", "--no-build-isolation", "--no-deps", "--editable", str(self.root))
        with step("byte code, so that the first start is quick"):
            places = [str(self.directory / "lib"), str(self.root / "orchestrator")]
            run([str(self.python), "-I", "-c", COMPILE, *places])

    def _write_stamp(self, kind: str, before: Mapping[str, Any]) -> None:
        kept = {
            file: digest
            for file, digest in before.get("requirements", {}).items()
            if digest == self._requirements_hash(file)
        }
        requirements = {**kept, kind: self._requirements_hash(kind)}
        fresh = self.stamp.with_suffix(".new")
        fresh.write_text(
            json.dumps({**self._circumstances(), "requirements": requirements}, indent=1), "utf-8"
        )
        fresh.replace(self.stamp)

    # ── one at a time ───────────────────────────────────────────────────────────────────────────

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Only one set-up works on this checkout; a second one waits."""
        with (self.root / "pyproject.toml").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("another set-up works on this checkout; waiting for it")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _identity(python: Path) -> str:
    """A Python by its file and that file's time: an upgrade in place is another one."""
    real = python.resolve()
    return f"{real} {real.stat().st_mtime_ns}"


def _install_venv_module() -> None:
    """Debian parts the venv module from Python. Raises SetupError that says how to get it."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    try:
        apt_install(f"{version}-venv")
    except SetupError as error:
        raise SetupError(
            f"{sys.executable} has no venv module; install the package {version}-venv ({error})"
        ) from error


def _clean_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in MISLEADING} | {"PIP_USER": "0"}
