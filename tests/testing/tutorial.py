"""The files of docs/own-jobs.md, laid out as its reader does."""

import re
import tomllib
from pathlib import Path

from tests.testing.packages import GROUP, install

TUTORIAL = Path(__file__).parents[2] / "docs" / "own-jobs.md"
FILE = re.compile(r"^\*\*`([^`]+)`\*\*\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def tutorial_files() -> dict[str, str]:
    """The files by name."""
    return dict(FILE.findall(TUTORIAL.read_text()))


def lay_out(directory: Path) -> dict[str, str]:
    """The reader's directory after `pip install --editable .`; the environment in which it is installed."""
    files = tutorial_files()
    declared = tomllib.loads(files["pyproject.toml"])["project"]
    install(
        directory,
        declared["name"],
        {**files, "my_jobs/__init__.py": ""},
        declared["entry-points"][GROUP],
        declared["version"],
    )
    return {"PYTHONPATH": str(directory)}
