"""The virtual environment: made once, kept while it is right, made again when it is not."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.setup.environment import Environment
from tools.setup.machine import SetupError

PROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "tiny"
version = "1"
[tool.other]
x = 1
"""

# An editable build in a few lines, so that nothing has to be downloaded.
BACKEND = """
import zipfile

def get_requires_for_build_editable(config_settings=None):
    return []

def build_editable(directory, config_settings=None, metadata_directory=None):
    name = "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(f"{directory}/{name}", "w") as wheel:
        wheel.writestr("tiny.pth", "")
        wheel.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1\\n")
        wheel.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr("tiny-1.dist-info/RECORD", "")
    return name
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    (root / "requirements").mkdir(parents=True)
    (root / "orchestrator").mkdir()
    (root / "pyproject.toml").write_text(PROJECT)
    (root / "backend.py").write_text(BACKEND)
    for kind in ("run", "dev"):
        (root / "requirements" / f"{kind}.txt").write_text(f"# nothing to {kind}\n")
    return root


def claim_ready(environment: Environment, *kinds: str) -> None:
    """Leave what a complete installation of these kinds leaves."""
    environment.python.parent.mkdir(parents=True, exist_ok=True)
    environment.python.symlink_to(Path(sys.executable).resolve())
    requirements = {kind: environment._requirements_hash(kind) for kind in kinds}
    environment.stamp.write_text(json.dumps({**environment._circumstances(), "requirements": requirements}))


def test_what_is_installed_is_ready(checkout: Path) -> None:
    environment = Environment(checkout)
    claim_ready(environment, "run")
    assert environment.is_ready("run")
    assert not environment.is_ready("dev")


def test_the_packages_for_developers_are_enough_to_run(checkout: Path) -> None:
    environment = Environment(checkout)
    claim_ready(environment, "dev")
    assert environment.is_ready("run")


@pytest.mark.parametrize(
    ("file", "text", "is_ready"),
    [
        ("requirements/run.txt", "# other\n", False),
        ("pyproject.toml", PROJECT.replace('version = "1"', 'version = "2"'), False),
        ("pyproject.toml", PROJECT.replace("x = 1", "x = 2"), True),
        ("README.md", "other", True),
    ],
    ids=["requirements", "project", "settings of a tool", "anything else"],
)
def test_it_is_ready_until_what_it_was_made_from_changes(
    checkout: Path, file: str, text: str, is_ready: bool
) -> None:
    environment = Environment(checkout)
    claim_ready(environment, "run")
    (checkout / file).write_text(text)
    assert environment.is_ready("run") is is_ready


def test_a_checkout_that_moved_is_not_ready(checkout: Path) -> None:
    claim_ready(Environment(checkout), "run")
    moved = checkout.rename(checkout.with_name("moved"))
    assert not Environment(moved).is_ready("run")


def test_an_environment_whose_python_is_gone_or_another_is_not_ready(checkout: Path, tmp_path: Path) -> None:
    environment = Environment(checkout)
    claim_ready(environment, "run")
    environment.python.unlink()
    environment.python.symlink_to(tmp_path / "gone")
    assert not environment.is_ready("run")
    shutil.copy(Path(sys.executable).resolve(), tmp_path / "gone")
    assert not environment.is_ready("run")


@pytest.mark.parametrize("text", ["", '{"root": ', "[]", "{}"])
def test_a_stamp_that_was_cut_off_counts_as_none(checkout: Path, text: str) -> None:
    environment = Environment(checkout)
    claim_ready(environment, "run")
    environment.stamp.write_text(text)
    assert not environment.is_ready("run")


def test_it_knows_the_python_that_it_was_made_with(checkout: Path) -> None:
    environment = Environment(checkout)
    claim_ready(environment, "run")
    assert environment.is_of(Path(sys.executable))
    assert not environment.is_of(Path("/bin/sh"))


def test_it_is_made_anew_after_an_interruption_and_built_upon_when_it_is_whole(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("PIP_TARGET", "/nowhere")
    environment = Environment(checkout)
    claim_ready(environment, "run", "dev")
    environment.stamp.unlink()
    environment.unfinished.touch()
    half_done = environment.directory / "half-done"
    half_done.touch()

    environment.make("run")
    assert not half_done.exists()
    assert not environment.unfinished.exists()
    assert environment.is_ready("run")
    assert not environment.is_ready("dev")
    find = "import importlib.metadata as m; print(m.version('tiny'))"
    assert subprocess.check_output([environment.python, "-I", "-c", find], text=True) == "1\n"

    kept = environment.directory / "kept"
    kept.touch()
    environment.make("dev")
    assert kept.exists()
    assert environment.is_ready("run")
    assert environment.is_ready("dev")


def test_packages_that_cannot_be_had_are_named_and_leave_it_unfinished(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = Environment(checkout)
    claim_ready(environment, "run")  # a Python without pip's environment is enough: pip fails at once
    monkeypatch.setattr(Environment, "_can_be_kept", lambda *_: True)
    (checkout / "requirements" / "run.txt").write_text("no-such-package==1 --hash=sha256:" + "0" * 64 + "\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(SetupError, match="the packages could not be installed"):
        environment.make("run")
    assert not environment.is_ready("run")
    assert environment.unfinished.exists()


def test_two_set_ups_work_one_after_the_other(checkout: Path) -> None:
    environment = Environment(checkout)
    contender = (
        "import fcntl, sys; f = open(sys.argv[1], 'rb')\n"
        "try: fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "except BlockingIOError: sys.exit(7)"
    )
    command = [sys.executable, "-c", contender, str(checkout / "pyproject.toml")]
    with environment.lock():
        assert subprocess.run(command, check=False).returncode == 7
    assert subprocess.run(command, check=False).returncode == 0


def test_a_python_from_elsewhere_is_not_trusted_to_be_executable(checkout: Path) -> None:
    environment = Environment(checkout)
    claim_ready(environment, "run")
    environment.python.unlink()
    environment.python.write_text("no program")
    environment.python.chmod(0o600)
    assert not environment.is_ready("run")
