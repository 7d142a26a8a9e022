"""`orchestrator simulate`."""

import json
import os
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import trio

from orchestrator import aio, cli
from orchestrator.actors.job import Job
from orchestrator.clock import Clock
from orchestrator.db import runs
from orchestrator.db.pool import Database, open_database
from orchestrator.jobs import NAMES
from orchestrator.log import unconfigure
from orchestrator.model import Ending, Outcome
from orchestrator.settings import DatabaseSettings
from orchestrator.simulate import command
from orchestrator.simulate.declared import declared_load, read_past
from orchestrator.simulate.lengths import Empirical
from orchestrator.simulate.load import no_work
from tests.rows import NOON

SHORT = ("simulate", "--days", "0.05")
OF_SITES = {
    *("reply_posting", "harvester", "opportunity_review", "reply_learning"),
    *("account_discovery", "scrape_priority", "scrape_background"),
}
"""Jobs that have nothing to do on no site."""


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No settings but those of the test, and the log as it was."""
    for name in [name for name in os.environ if name.startswith("ORCHESTRATOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path / "state"))
    yield
    unconfigure()


def run(monkeypatch: pytest.MonkeyPatch, *args: str) -> int:
    monkeypatch.setattr(sys, "argv", ["orchestrator", *args])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def test_without_a_file_the_jobs_of_this_daemon_are_simulated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(monkeypatch, *SHORT, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert {job["job"] for job in document["jobs"]} == set(NAMES) - OF_SITES
    assert (document["contexts"], document["policy"]) == (3, "priority")
    assert "assumed" in document["about"]
    assert f"there is no database in {tmp_path}/state" in document["about"]


def test_jobs_that_the_settings_switch_off_are_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_JOBS__PLAN__ENABLED", "false")
    assert run(monkeypatch, *SHORT, "--json") == 0
    assert "plan" not in {job["job"] for job in json.loads(capsys.readouterr().out)["jobs"]}


def test_a_load_a_policy_and_contexts_can_be_chosen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *SHORT, "--jobs", "ours", "--policy", "fifo", "--contexts", "1") == 0
    assert capsys.readouterr().out.startswith("ours: 26 jobs on 1 contexts, fifo\n")


def test_the_page_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert run(monkeypatch, *SHORT, "--html", str(page)) == 0
    assert page.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--jobs", "nothing"], 2, "nothing: there is no such file. Bundled loads: ours, system-a."),
        (["--contexts", "1"], 2, "allocator (on the command line): the guarantees add up to 3"),
        (["--html", "/nowhere/x.html"], 1, "/nowhere/x.html can't be written: No such file or directory"),
        (["--policy", "lottery"], 2, "Invalid value for '--policy': 'lottery' is not one of"),
    ],
)
def test_what_is_wrong_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    args: list[str],
    code: int,
    said: str,
) -> None:
    assert run(monkeypatch, *SHORT, *args) == code
    err = capsys.readouterr().err
    assert err.startswith(f"error: {said}")
    assert err.count("\n") == 1


def test_a_page_that_can_not_be_written_is_told_before_anything_is_simulated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "simulate", lambda *_: pytest.fail("it was simulated"))
    assert run(monkeypatch, *SHORT, "--html", "/nowhere/x.html") == 1
    assert "/nowhere/x.html can't be written" in capsys.readouterr().err


CRITICAL = "[jobs.{}]\npriority = 0\nevery_s = 600\ncontext = true\nlength_s = {{ constant = 1 }}\n"


@pytest.mark.parametrize(("policy", "warnings"), [("priority", 1), ("fifo", 0)])
def test_what_the_daemon_would_refuse_is_simulated_with_its_sentence_as_a_warning(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    policy: str,
    warnings: int,
) -> None:
    (tmp_path / "jobs.toml").write_text("".join(CRITICAL.format(name) for name in "abcd"))
    page = tmp_path / "page.html"
    args = ("--jobs", str(tmp_path / "jobs.toml"), "--policy", policy, "--html", str(page))
    assert run(monkeypatch, *SHORT, *args) == 0
    said = capsys.readouterr()
    assert (
        said.err.count("warning: the daemon refuses this: 4 critical jobs (a, b, c, d) share 3") == warnings
    )
    assert page.read_text().count("The daemon refuses this: 4 critical jobs") == warnings
    assert said.out.startswith("jobs: 4 jobs on 3 contexts")


# ── the record ──────────────────────────────────────────────────────────────────────────────────


async def record(database: Database, job: str, ending: Ending, seconds: float) -> None:
    run_id = await database.run(runs.begin, job, "schedule", 1, 1, NOON)
    await database.run(runs.finish, run_id, Outcome(ending), NOON + timedelta(seconds=seconds))


async def test_lengths_and_shares_are_those_of_the_record(database: Database) -> None:
    for seconds in (4, 6):
        await record(database, "plan", Ending.DONE, seconds)
    for ending in (Ending.NOTHING_TO_DO, Ending.GIVEN_UP):
        await record(database, "plan", ending, 100)
    await record(database, "learn", Ending.NOTHING_TO_DO, 100)
    past = await read_past(database, Clock(speed=2, real_epoch=1, shown_epoch=1))
    assert list(past) == ["plan"]
    assert sorted(past["plan"].seen_s) == [2, 3]  # real seconds: the clock ran twice as fast
    assert (past["plan"].idle_share, past["plan"].failure_rate) == (0.25, 0.25)

    load = declared_load([Job(name, no_work, 1, every_s=60) for name in ("plan", "learn")], past)
    assert isinstance(load.jobs[0].length, Empirical)
    assert "from the record of runs, waits for a context included: plan." in load.about
    assert "without; each run finds something to do): learn." in load.about


async def fill(dsn: str) -> None:
    async with aio.open_bridge(), open_database(dsn, DatabaseSettings()) as database:
        await record(database, "posting", Ending.DONE, 7)


def test_the_record_of_the_settings_database_is_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], migrated_dsn: str
) -> None:
    trio.run(fill, migrated_dsn)
    monkeypatch.setenv("ORCHESTRATOR_DATABASE__DSN", migrated_dsn)
    assert run(monkeypatch, *SHORT, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert "waits for a context included: posting." in document["about"]
    [posting] = [job for job in document["jobs"] if job["job"] == "posting"]
    assert posting["leases"]["held_s"] == pytest.approx(7 * posting["waits"]["count"])


@pytest.mark.parametrize(
    ("mark", "about"),
    [
        ("2e9 2 1000\n", "waits for a context included: posting."),
        (f"2e9 2 {(NOON + timedelta(seconds=1)).timestamp()}\n", "Run lengths assumed"),
        ("2e9\n", "does not say how fast the clock of its runs was. Start the demo there once more"),
    ],
    ids=["twice as fast", "so fast only later", "unknown"],
)
def test_the_record_of_a_demo_is_read_by_the_clock_that_it_was_made_with(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    migrated_dsn: str,
    tmp_path: Path,
    mark: str,
    about: str,
) -> None:
    trio.run(fill, migrated_dsn)
    monkeypatch.setenv("ORCHESTRATOR_DATABASE__DSN", migrated_dsn)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "clock").write_text(mark)
    assert run(monkeypatch, *SHORT, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert about in document["about"]
    [posting] = [job for job in document["jobs"] if job["job"] == "posting"]
    is_read = posting["leases"]["held_s"] == pytest.approx(3.5 * posting["waits"]["count"])
    assert is_read == ("included: posting" in about)


def test_a_database_that_is_away_costs_the_record_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_DATABASE__DSN", "postgresql://nobody@127.0.0.1:1/nowhere")
    assert run(monkeypatch, *SHORT, "--json") == 0
    assert "The record was not read: the database can't be reached" in capsys.readouterr().out
