"""The jobs of installed packages: how they are found, and what is said of those that can't be had."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from orchestrator import cli, jobs, wiring
from orchestrator.actors.graph import downstream_of
from orchestrator.errors import SettingsError
from orchestrator.jobs import done
from orchestrator.jobs.packages import installed as installed_jobs
from orchestrator.model import CheckResult, Outcome
from orchestrator.settings import JobSettings, Settings
from orchestrator.testing.house import open_house
from tests.testing.packages import install

Install = Callable[..., None]

GOOD = """
from orchestrator.jobs import done, job

@job(every_s=900)
async def mine(run, tools):
    return done("it ran")
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a package `their_package`, or another, with a module of jobs."""
    monkeypatch.syspath_prepend(tmp_path)
    installed_jobs.cache_clear()
    before = set(sys.modules)

    def install_one(text: str = GOOD, name: str = "their_package", value: str = "", **more: str) -> None:
        module = name.replace("-", "_")
        install(tmp_path, name, {f"{module}.py": text, **more}, {"jobs": value or module})

    yield install_one
    installed_jobs.cache_clear()
    for name in set(sys.modules) - before:
        del sys.modules[name]


def names() -> list[str]:
    return [one.name for one in jobs.declared({})]


def refusal() -> str:
    """What check_jobs says, in one line."""
    with pytest.raises(SettingsError) as caught:
        wiring.check_jobs(Settings.load(environ={}))
    assert "\n" not in caught.value.line()
    return caught.value.line()


def test_the_jobs_of_installed_packages_come_after_those_of_the_house(installed: Install) -> None:
    installed()
    installed(GOOD.replace("mine", "another"), "a-package")
    assert names() == [*jobs.NAMES, "another", "mine"]


def test_settings_change_them_as_any_other(installed: Install) -> None:
    installed()
    [changed] = [one for one in jobs.declared({"mine": JobSettings(every_s=60)}) if one.name == "mine"]
    assert changed.every_s == 60
    assert "mine" not in [one.name for one in jobs.declared({"mine": JobSettings(enabled=False)})]
    with pytest.raises(SettingsError, match=r"jobs\.mien") as caught:
        jobs.declared({"mien": JobSettings()})
    assert "mine" in caught.value.remedy


def test_all_jobs_of_a_module_are_taken_those_that_it_imports_too(installed: Install) -> None:
    text = GOOD + "from more_jobs import other\n"
    more = {"more_jobs.py": GOOD.replace("mine", "other")}
    installed(text, **more)
    assert names()[-2:] == ["mine", "other"]


def test_one_job_that_two_entry_points_lead_to_is_one_job(installed: Install) -> None:
    installed()
    installed("from their_package import mine\n", "second_package")
    assert names().count("mine") == 1


def test_they_may_come_after_jobs_of_the_house_and_of_each_other(installed: Install) -> None:
    installed(GOOD.replace("900", '900, after=("posting",)'))
    after = GOOD.replace("900", '900, after=("mine", "posting")').replace("mine(", "last(")
    installed(after, "a_package")
    downstream = downstream_of(jobs.declared({}))
    assert downstream["mine"] == ("last",)
    assert downstream["posting"] == ("metrics_scraper", "last", "mine")


async def test_one_of_them_runs_with_the_tools_of_the_house(installed: Install) -> None:
    installed(GOOD.replace('"it ran"', "str(tools.clock.now().year)"))
    async with open_house() as house:
        listed = jobs.all_jobs(house.tools, look, keep, cast("jobs.alert_delivery.AlertTools", None))
        [mine] = [one for one in listed if one.name == "mine"]
        assert await house.run(mine) == done("2026")


async def keep() -> Outcome:
    return done()


async def look() -> list[CheckResult]:
    return []


WHERE = "their_package 1.0 (entry point jobs = their_package"


def test_a_module_that_can_not_be_imported_is_told_with_package_line_and_remedy(installed: Install) -> None:
    installed("import math\nimport no_such_module\n")
    said = refusal()
    assert f"the jobs of {WHERE}) can't be imported: ModuleNotFoundError" in said
    assert "no_such_module" in said
    assert "their_package.py, line 2" in said
    assert "Correct it, or uninstall their_package." in said


def test_an_entry_point_that_names_no_module_is_told(installed: Install) -> None:
    installed(value="no_such_package.jobs")
    assert "entry point jobs = no_such_package.jobs) can't be imported: ModuleNotFoundError" in refusal()


def test_a_module_with_a_mistake_of_writing_is_told_with_its_line(installed: Install) -> None:
    installed("def (:\n")
    assert "can't be imported: SyntaxError: invalid syntax (their_package.py, line 1)" in refusal()


def test_a_module_that_ends_the_program_is_told_too(installed: Install) -> None:
    installed("raise SystemExit(3)\n")
    assert "can't be imported: SystemExit: 3" in refusal()


def test_a_wrong_declaration_is_told_with_its_package(installed: Install) -> None:
    installed(GOOD.replace("every_s=900", "every_s=0"))
    assert f"the jobs of {WHERE}): job mine: every_s must be above 0" in refusal()


def test_an_argument_that_there_is_not_is_told_with_its_line(installed: Install) -> None:
    installed(GOOD.replace("every_s=900", "evry_s=900"))
    said = refusal()
    assert "TypeError" in said
    assert "evry_s" in said
    assert "their_package.py, line 4" in said


def test_a_module_without_jobs_is_told(installed: Install) -> None:
    installed("x = 1\n")
    assert f"the jobs of {WHERE}): no function there has @job(…) above it" in refusal()


def test_an_entry_point_that_names_a_function_is_told(installed: Install) -> None:
    installed(value="their_package:mine")
    assert f"{WHERE}:mine): an entry point names a module, without a colon" in refusal()


def test_a_name_of_the_house_is_taken(installed: Install) -> None:
    installed(GOOD.replace("mine", "posting"))
    assert f"two jobs are named posting: one of orchestrator itself, one of {WHERE})" in refusal()


def test_a_name_of_another_package_is_taken(installed: Install) -> None:
    installed()
    installed(name="a_package")
    said = refusal()
    assert (
        f"two jobs are named mine: one of a_package 1.0 (entry point jobs = a_package), one of {WHERE})"
        in said
    )
    assert "Rename a function, or uninstall one of the packages." in said


def test_two_jobs_of_one_module_with_one_name_are_told(installed: Install) -> None:
    installed(GOOD + "first = mine\n" + GOOD)
    assert f"two jobs are named mine: one of {WHERE}), one of {WHERE})" in refusal()


def test_an_upstream_job_that_is_not_there_is_told_with_those_that_are(installed: Install) -> None:
    installed(GOOD.replace("900", '900, after=("postng",)'))
    said = refusal()
    assert f"the jobs of {WHERE}): mine comes after postng, which is not there" in said
    assert "posting" in said


def test_jobs_that_wait_for_each_other_are_told_with_their_packages(installed: Install) -> None:
    installed(GOOD.replace("900", '900, after=("posting", "other")'))
    installed(GOOD.replace("900", '900, after=("mine",)').replace("mine(", "other("), "a_package")
    both = f"the jobs of a_package 1.0 (entry point jobs = a_package) and {WHERE}) wait for each other"
    assert f"{both}: other → mine → other. Correct one's after=, or uninstall the package." in refusal()


def test_too_many_critical_jobs_are_refused_with_theirs_counted(installed: Install) -> None:
    declared = "every_s=900, priority=0, uses_browser=True"
    more = "".join(GOOD.replace("every_s=900", declared).replace("mine", f"mine_{n}") for n in range(3))
    installed(more)
    said = refusal()
    assert "4 critical jobs" in said
    assert "priority 1 or more (mine_0 is of their_package 1.0, mine_1 is of" in said


RING = GOOD.replace("900", '900, after=("mine",)')


@pytest.mark.parametrize("args", [("demo", "--plain"), ("run",), ("check",), ("jobs",), ("jobs", "--graph")])
def test_they_are_refused_before_anything_is_there(
    installed: Install,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    args: tuple[str, ...],
) -> None:
    installed(RING)
    state_dir = tmp_path / "state"
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(state_dir))
    monkeypatch.setattr(sys, "argv", ["orchestrator", *args])
    if args[0] == "demo":
        sys.argv += ["--state-dir", str(state_dir)]
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    assert (end.value.code, said.out) == (2, "")
    assert said.err.startswith(f"error: the jobs of {WHERE}) wait for each other: mine → mine")
    assert not state_dir.exists()
