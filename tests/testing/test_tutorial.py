"""docs/own-jobs.md, followed as it is written: its files are taken out, its tests run, its jobs found."""

import re
from pathlib import Path

import pytest

from tests.testing.harness import run_module
from tests.testing.tutorial import TUTORIAL, lay_out, tutorial_files

LISTING = re.compile(r"^job  .*?(?=^```$)", re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The reader's directory."""
    lay_out(tmp_path)
    return tmp_path


def run(project: Path, module: str, *args: str) -> tuple[int, str]:
    return run_module(project, module, *args, environ={"PYTHONPATH": str(project)})


def test_the_tutorial_has_all_files_that_its_steps_need() -> None:
    assert list(tutorial_files()) == ["pyproject.toml", "my_jobs/jobs.py", "tests/test_jobs.py"]


def test_the_tests_of_the_tutorial_pass(project: Path) -> None:
    code, said = run(project, "pytest", "-W", "error")
    assert code == 0, said
    assert "4 passed" in said


def test_the_jobs_of_the_tutorial_are_listed_as_it_shows(project: Path) -> None:
    code, said = run(project, "orchestrator", "jobs")
    assert code == 0, said
    [shown] = LISTING.findall(TUTORIAL.read_text())
    assert trimmed(said) == trimmed(shown)


def trimmed(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def test_settings_know_the_jobs_of_the_tutorial(project: Path) -> None:
    (project / "o.toml").write_text("[jobs.follower_count]\nevery_s = 3600\n")
    code, said = run(project, "orchestrator", "jobs", "--config", "o.toml", "--graph")
    assert code == 0, said
    assert "   └─ follower_count" in said
    (project / "o.toml").write_text("[jobs.follower_cuont]\nevery_s = 3600\n")
    code, said = run(project, "orchestrator", "check", "--config", "o.toml")
    assert code == 2
    assert "jobs.follower_cuont: there is no such job. Jobs: plan," in said
    assert "follower_count, newest_likes." in said


@pytest.mark.parametrize("command", ["check", "jobs", "run"])
def test_no_command_goes_on_without_jobs_that_can_not_be_had(project: Path, command: str) -> None:
    """One line, and the code of wrong settings."""
    (project / "my_jobs/jobs.py").write_text("import no_such_module\n")
    (project / "o.toml").write_text(f'state_dir = "{project}/state"\n[http]\nport = 0\n')
    code, said = run(project, "orchestrator", command, "--config", "o.toml")
    assert code == 2, said
    [line] = [line for line in said.splitlines() if line.startswith("error: ")]
    assert line.startswith(
        "error: the jobs of my-jobs 0.1.0 (entry point mine = my_jobs.jobs) can't be imported: "
        "ModuleNotFoundError: No module named 'no_such_module'"
    )
    assert line.endswith("my_jobs/jobs.py, line 1). Correct it, or uninstall my-jobs.")
