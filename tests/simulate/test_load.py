"""Files with jobs, and the line that says what is wrong with one."""

from datetime import UTC, time
from pathlib import Path

import pytest

from orchestrator.errors import SettingsError
from orchestrator.simulate.lengths import Constant, Empirical, LogNormal, Uniform
from orchestrator.simulate.load import SimulatedJob, bundled_loads, read_load


def write(folder: Path, text: str) -> str:
    path = folder / "load.toml"
    path.write_text(text)
    return str(path)


def complaint(folder: Path, text: str) -> str:
    with pytest.raises(SettingsError) as raised:
        read_load(write(folder, text))
    return raised.value.line()


def test_a_file_says_all_that_a_job_needs(tmp_path: Path) -> None:
    text = """
    about = "of  two"
    max_run_s = 900
    [jobs.reader]
    priority = 4
    every_s = 60
    context = true
    items = 10
    batch = 5
    failure_rate = 0.1
    idle_share = 0.2
    length_s = { median = 5, p95 = 9 }
    [jobs.writer]
    priority = 9
    daily_at = "03:00"
    after = ["reader"]
    length_s = { constant = 3 }
    """
    load = read_load(write(tmp_path, text))
    reader, writer = load.jobs
    assert (load.name, load.about) == ("load", "of two")
    assert reader == SimulatedJob(reader.job, LogNormal(5, 9), 0.1, 0.2, 10, 5)
    assert (reader.job.priority, reader.job.every_s, reader.job.uses_browser) == (4, 60, True)
    assert (writer.job.daily_at, writer.job.after) == (time(3, tzinfo=UTC), ("reader",))
    assert reader.job.max_run_s == writer.job.max_run_s == 900


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("constant = 3", Constant(3)),
        ("uniform = [1, 2]", Uniform(1, 2)),
        ("median = 1, p95 = 2", LogNormal(1, 2)),
        ("seen = [1, 2]", Empirical([1, 2])),
    ],
)
def test_a_length_is_given_in_one_of_four_ways(tmp_path: Path, text: str, length: object) -> None:
    file = write(tmp_path, f"[jobs.a]\npriority = 1\nevery_s = 60\nlength_s = {{ {text} }}\n")
    assert read_load(file).jobs[0].length == length


GOOD = "[jobs.a]\npriority = 1\nevery_s = 60\nlength_s = { constant = 1 }\n"


WAYS = "jobs.a.length_s (in FILE, line 4): give one of constant, uniform, median with p95, seen"


def with_length(length: str) -> str:
    return GOOD.replace("constant = 1", length)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("60", "-1"), "jobs.a.every_s = -1 (in FILE, line 3): must be a number above 0"),
        (
            GOOD.replace("priority = 1", "priority = 11"),
            "jobs.a.priority = 11 (in FILE, line 2): must be an integer from 0 to 10",
        ),
        (
            GOOD.replace("every_s", "evry_s"),
            "jobs.a.evry_s (in FILE, line 3): there is no such setting; did you mean jobs.a.every_s?",
        ),
        (GOOD + 'daily_at = "03:00"', "jobs.a (in FILE, line 1): give exactly one of every_s and daily_at"),
        (with_length("median = 1"), WAYS),
        (with_length("constant = 1, seen = [1]"), WAYS),
        (
            with_length("median = 3, p95 = 2"),
            "jobs.a.length_s (in FILE, line 4): p95 (2) must not be below median (3)",
        ),
        (
            with_length("uniform = [3, 2]"),
            "jobs.a.length_s (in FILE, line 4): uniform is [shortest, longest]",
        ),
        (GOOD.partition("length_s")[0], "jobs.a.length_s (in FILE, line 1): is missing; it must be a table"),
        (GOOD + "items = 3", "jobs.a (in FILE, line 1): items and batch are for jobs with context = true"),
        (
            GOOD + "context = true\nitems = 3\nbatch = 4",
            "jobs.a.batch = 4 (in FILE, line 7): must not be more than items (3)",
        ),
        (GOOD + 'after = ["b"]', "jobs.a.after (in FILE, line 5): there is no job b in this file"),
        (GOOD + 'after = ["a"]', "jobs.a.after (in FILE, line 5): the jobs wait for each other: a → a"),
        ("", "FILE: there is no job in it; each is a table, such as [jobs.reader]"),
        (
            "max_run_s = 7200\n" + GOOD,
            "max_run_s = 7200 (in FILE, line 1): must be a number above 0, at most 1800",
        ),
        ("[jobs.a", "FILE, line 1: "),
    ],
)
def test_a_wrong_file_is_one_line_with_file_line_and_key(tmp_path: Path, text: str, said: str) -> None:
    line = complaint(tmp_path, text).replace(str(tmp_path / "load.toml"), "FILE")
    assert line.startswith(said)
    assert "\n" not in line


def test_each_wrong_key_has_its_line(tmp_path: Path) -> None:
    lines = complaint(tmp_path, GOOD.replace("60", "0").replace("priority = 1", "priority = -1")).splitlines()
    assert [line.split()[0] for line in lines] == ["jobs.a.priority", "jobs.a.every_s"]


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    text = """
    [jobs.a]
    priority = 11
    every_s = 60
    daily_at = "03:00"
    after = ["b", "c"]
    context = true
    items = 2
    batch = 5
    length_s = { median = 1 }
    [jobs.b]
    priority = 1
    every_s = 60
    after = ["a"]
    """
    said = complaint(tmp_path, text).replace(str(tmp_path / "load.toml"), "FILE").splitlines()
    assert [line.partition(": ")[0] for line in said] == [
        "jobs.a.priority = 11 (in FILE, line 3)",
        "jobs.b.length_s (in FILE, line 11)",
        "jobs.a (in FILE, line 2)",
        "jobs.a.batch = 5 (in FILE, line 9)",
        "jobs.a.length_s (in FILE, line 10)",
        "jobs.a.after (in FILE, line 6)",
        "jobs.a.after (in FILE, line 6)",
    ]
    assert said[5].endswith("there is no job c in this file")
    assert said[6].endswith("the jobs wait for each other: a → b → a")


@pytest.mark.parametrize(
    "text", ["jobs = 3", "jobs.a = 3", GOOD + "after = 3", GOOD + 'context = true\nitems = "many"']
)
def test_a_value_of_a_wrong_kind_is_told_too(tmp_path: Path, text: str) -> None:
    assert "must be" in complaint(tmp_path, text)


def test_a_file_that_is_not_there_is_said_with_the_bundled_names() -> None:
    with pytest.raises(SettingsError) as raised:
        read_load("nowhere.toml")
    assert raised.value.line() == "nowhere.toml: there is no such file. Bundled loads: ours, system-a."


# ── bundled ─────────────────────────────────────────────────────────────────────────────────────


def test_system_a_has_68_jobs_and_ours_26() -> None:
    assert bundled_loads() == ["ours", "system-a"]
    assert (len(read_load("system-a").jobs), len(read_load("ours").jobs)) == (68, 26)


def work_a_day_s(load: str) -> float:
    """Seconds of contexts that a day of the load needs, if each job runs by its own interval."""
    return sum(
        one.length.mean_s * (1 - one.idle_share) * 86_400 / one.job.interval_s
        for one in read_load(load).jobs
        if one.job.uses_browser
    )


def test_both_loads_are_busy_and_can_be_done_by_two_contexts() -> None:
    for load in bundled_loads():
        assert 0.3 < work_a_day_s(load) / (3 * 86_400) < 0.6


def test_every_bundled_load_says_where_its_figures_come_from() -> None:
    assert all("assum" in read_load(name).about for name in bundled_loads())
