"""The record of runs, and the pauses that outlive the daemon."""

from collections import Counter
from datetime import timedelta

import pytest

from orchestrator.db import runs
from orchestrator.db.pool import Database
from orchestrator.db.runs import StoredRun
from orchestrator.model import Ending, Outcome
from tests import rows
from tests.rows import MINUTE, NOON

JOBS = ["plan", "learn", "analytics"]
"""The last one has never run."""


async def run_once(
    database: Database,
    job: str,
    ending: Ending,
    began: timedelta = timedelta(),
    detail: str = "",
    trigger: str = "schedule",
) -> int:
    """A whole run of a minute that began `began` after noon; its id."""
    started_at = NOON + began
    run_id = await database.run(runs.begin, job, trigger, 1, 1, started_at)
    await database.run(runs.finish, run_id, Outcome(ending, detail), started_at + MINUTE)
    return run_id


async def test_a_run_has_a_row_from_its_start_on(database: Database) -> None:
    run_id = await database.run(runs.begin, "plan", "plan is due", 2, 7, NOON)
    [found] = await rows.fetch(database, "SELECT * FROM job_runs")
    assert found == {
        "id": run_id,
        "job": "plan",
        "trigger": "plan is due",
        "attempt": 2,
        "fence": 7,
        "started_at": NOON,
        "finished_at": None,
        "ending": None,
        "detail": "",
        "figures": {},
    }


async def test_a_finished_run_has_its_ending_and_its_figures(database: Database) -> None:
    run_id = await database.run(runs.begin, "plan", "schedule", 1, 1, NOON)
    outcome = Outcome(Ending.DONE, "2 queued", {"queued": 2, "share": 0.5})
    await database.run(runs.finish, run_id, outcome, NOON + MINUTE)
    [found] = await rows.fetch(database, "SELECT finished_at, ending, detail, figures FROM job_runs")
    assert tuple(found.values()) == (NOON + MINUTE, "done", "2 queued", {"queued": 2, "share": 0.5})


async def test_every_ending_can_be_kept(database: Database) -> None:
    for ending in Ending:
        await run_once(database, "plan", ending)
    histories = await database.run(runs.histories, JOBS)
    assert histories["plan"].endings == Counter(Ending)


async def test_runs_of_earlier_daemons_are_closed_as_interrupted_and_our_own_are_not(
    database: Database,
) -> None:
    left = await database.run(runs.begin, "plan", "schedule", 1, 1, NOON)
    finished = await run_once(database, "plan", Ending.DONE)
    own = await database.run(runs.begin, "learn", "schedule", 1, 2, NOON)
    assert await database.run(runs.interrupt_orphans, 2, NOON + MINUTE) == 1
    found = await rows.fetch(database, "SELECT id, ending FROM job_runs ORDER BY id")
    assert [tuple(one.values()) for one in found] == [(left, "interrupted"), (finished, "done"), (own, None)]


async def test_a_history_is_the_latest_run_the_latest_success_and_all_endings(database: Database) -> None:
    await run_once(database, "plan", Ending.DONE)
    await run_once(database, "plan", Ending.NOTHING_TO_DO, 2 * MINUTE)
    await run_once(database, "plan", Ending.GIVEN_UP, 4 * MINUTE, "no folder")
    await database.run(runs.begin, "plan", "schedule", 1, 1, NOON + 6 * MINUTE)  # still under way
    [(name, history)] = (await database.run(runs.histories, JOBS)).items()
    assert name == "plan"
    latest = StoredRun(NOON + 4 * MINUTE, NOON + 5 * MINUTE, Outcome(Ending.GIVEN_UP, "no folder"))
    assert history.last == history.gave_up == latest
    assert history.last_success_at == NOON + 3 * MINUTE
    assert history.endings == {Ending.DONE: 1, Ending.NOTHING_TO_DO: 1, Ending.GIVEN_UP: 1}


async def test_a_job_that_never_succeeded_has_no_success(database: Database) -> None:
    await run_once(database, "plan", Ending.SKIPPED)
    assert (await database.run(runs.histories, JOBS))["plan"].last_success_at is None


@pytest.mark.parametrize(
    ("ending", "trigger", "is_over"),
    [
        (Ending.NOTHING_TO_DO, "schedule", False),
        (Ending.SKIPPED, "schedule", False),
        (Ending.OVER_BUDGET, "schedule", False),
        (Ending.DONE, "schedule", True),
        (Ending.NOTHING_TO_DO, "asked by alice", True),
        (Ending.SKIPPED, "asked by alice", False),
    ],
)
async def test_a_run_that_gave_up_is_told_until_one_shows_that_it_is_over(
    database: Database, ending: Ending, trigger: str, is_over: bool
) -> None:
    await run_once(database, "plan", Ending.GIVEN_UP, detail="no folder")
    await run_once(database, "plan", ending, 2 * MINUTE, trigger=trigger)
    gave_up = (await database.run(runs.histories, JOBS))["plan"].gave_up
    assert (gave_up is None) is is_over
    if gave_up is not None:
        assert (gave_up.started_at, gave_up.outcome.detail) == (NOON, "no folder")


async def test_a_history_has_the_first_start_of_all(database: Database) -> None:
    await run_once(database, "plan", Ending.GIVEN_UP)
    await run_once(database, "plan", Ending.DONE, 5 * MINUTE)
    assert (await database.run(runs.histories, JOBS))["plan"].first_start == NOON


async def test_a_run_that_was_skipped_is_not_the_latest(database: Database) -> None:
    await run_once(database, "plan", Ending.DONE)
    await run_once(database, "plan", Ending.SKIPPED, 5 * MINUTE)
    await run_once(database, "learn", Ending.SKIPPED)
    histories = await database.run(runs.histories, JOBS)
    last = histories["plan"].last
    assert last is not None
    assert (last.outcome.ending, last.started_at) == (Ending.DONE, NOON)
    assert histories["learn"].last is None
    assert histories["plan"].endings == {Ending.DONE: 1, Ending.SKIPPED: 1}


async def test_a_job_that_is_not_asked_for_is_not_told(database: Database) -> None:
    await run_once(database, "of_a_package_that_is_gone", Ending.DONE)
    assert await database.run(runs.histories, JOBS) == {}


async def test_the_endings_of_the_latest_runs_are_counted_and_no_others(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "COUNTED", 3)
    await run_once(database, "plan", Ending.GIVEN_UP)
    for number in range(1, 4):
        await run_once(database, "plan", Ending.DONE, number * MINUTE)
    found = (await database.run(runs.histories, JOBS))["plan"]
    assert found.endings == {Ending.DONE: 3}
    assert found.first_start == NOON


async def test_without_runs_there_are_no_histories(database: Database) -> None:
    assert await database.run(runs.histories, JOBS) == {}


async def test_a_pause_is_kept_until_it_is_ended(database: Database) -> None:
    for job in ("plan", "posting"):
        await database.run(runs.pause, [job], "root", NOON)
    assert await database.run(runs.paused) == {"plan", "posting"}
    await database.run(runs.resume, "plan")
    assert await database.run(runs.paused) == {"posting"}


async def test_a_second_pause_keeps_the_first_ones_name_and_moment(database: Database) -> None:
    await database.run(runs.pause, ["plan"], "alice", NOON)
    await database.run(runs.pause, ["plan"], "bob", NOON + MINUTE)
    [found] = await rows.fetch(database, "SELECT paused_by, paused_at FROM paused_jobs")
    assert tuple(found.values()) == ("alice", NOON)


async def test_resuming_everything_ends_every_pause(database: Database) -> None:
    for job in ("plan", "posting"):
        await database.run(runs.pause, [job], "root", NOON)
    await database.run(runs.resume, None)
    assert await database.run(runs.paused) == set()
