"""tools/setup.sh: which Python it hands over to, and what it says when there is none."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Checkout:
    """A copy of the script, on a PATH that has only the Pythons that a test puts there."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "checkout"
        (self.root / "tools").mkdir(parents=True)
        shutil.copy(ROOT / "tools" / "setup.sh", self.root / "tools")
        self.path = directory / "bin"
        self.path.mkdir()
        for name in ("sh", "dirname"):
            found = shutil.which(name)
            assert found is not None
            (self.path / name).symlink_to(found)

    def has_python(self, name: str, *, is_supported: bool = True, has_venv: bool = True) -> Path:
        """A Python that answers the script's questions, and says its name when it is handed over to."""
        python = self.path / name
        python.parent.mkdir(parents=True, exist_ok=True)
        python.write_text(
            f'#!{shutil.which("sh")}\ncase "$*" in\n'
            f"*version_info*) exit {int(not is_supported)};;\n"
            f"*ensurepip*) exit {int(not has_venv)};;\n"
            f'-V) echo "Python 3.9.2";;\n'
            f'*) echo "{name}: $*";;\nesac\n'
        )
        python.chmod(0o755)
        return python

    def set_up(self, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", str(self.root / "tools" / "setup.sh"), "run"],
            env={"PATH": str(self.path), **environ},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_newest_python_that_is_tested_with_is_taken(checkout: Checkout) -> None:
    for name in ("python3", "python3.11", "python3.12"):
        checkout.has_python(name)
    assert checkout.set_up().stdout == "python3.12: -E -s -m tools.setup run\n"


def test_a_python_that_can_make_environments_goes_before_one_that_cannot(checkout: Checkout) -> None:
    checkout.has_python("python3.13", has_venv=False)
    checkout.has_python("python3.11")
    assert checkout.set_up().stdout.startswith("python3.11:")


def test_one_that_cannot_make_environments_is_better_than_none(checkout: Checkout) -> None:
    checkout.has_python("python3", has_venv=False)
    assert checkout.set_up().stdout.startswith("python3:")


def test_the_python_that_is_named_is_taken(checkout: Checkout) -> None:
    checkout.has_python("python3.13")
    mine = checkout.has_python("mine")
    assert checkout.set_up(PYTHON=str(mine)).stdout == "mine: -E -s -m tools.setup --with-this-python run\n"


def test_a_python_that_is_named_but_too_old_is_refused(checkout: Checkout) -> None:
    checkout.has_python("python3.13")
    old = checkout.has_python("old", is_supported=False)
    done = checkout.set_up(PYTHON=str(old))
    assert (done.returncode, done.stderr) == (1, f"set-up: PYTHON={old} is not a Python from 3.11 to 3.14\n")


def test_without_a_python_that_will_do_one_line_says_so(checkout: Checkout) -> None:
    checkout.has_python("python3", is_supported=False)
    done = checkout.set_up()
    assert done.returncode == 1
    assert done.stderr == (
        "set-up: Python 3.11 to 3.14 is needed, and Python 3.9.2 is here; "
        "install one, or name it: make PYTHON=/path/to/python3.11\n"
    )


def test_an_environment_that_is_ready_is_all_that_is_asked(checkout: Checkout) -> None:
    (checkout.root / ".venv").mkdir()
    (checkout.root / ".venv" / ".ready.json").touch()
    checkout.has_python("../checkout/.venv/bin/python")
    checkout.has_python("python3.13")
    done = checkout.set_up()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "../checkout/.venv/bin/python: -E -s -S -m tools.setup --only-look run\n"
