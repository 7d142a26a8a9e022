from datetime import timedelta

import pytest
import structlog
import trio

from orchestrator.actors.job import Run
from orchestrator.actors.runlog import DatabaseRunLog
from orchestrator.db.pool import Database
from orchestrator.errors import DatabaseUnavailableError
from orchestrator.model import Ending, Outcome, done
from tests import rows
from tests.fakes import NOON, DownDatabase

FENCE = 7
LATER = NOON + timedelta(seconds=90)


def a_run(job: str = "plan", attempt: int = 1) -> Run:
    return Run(job, 5, "schedule", attempt, structlog.get_logger())


async def recorded(database: Database) -> list[rows.Row]:
    return await rows.fetch(database, "SELECT * FROM job_runs ORDER BY id")


async def test_a_run_that_has_begun_is_an_open_row(database: Database) -> None:
    run_id = await DatabaseRunLog(database, FENCE).begin(a_run(attempt=2), NOON)
    [row] = await recorded(database)
    assert row["id"] == run_id
    assert (row["job"], row["trigger"], row["attempt"], row["fence"]) == ("plan", "schedule", 2, FENCE)
    assert (row["started_at"], row["finished_at"], row["ending"]) == (NOON, None, None)


async def test_the_end_of_a_run_closes_its_own_row_with_all_there_is_to_say(database: Database) -> None:
    run_log = DatabaseRunLog(database, FENCE)
    first, second = [await run_log.begin(a_run(), NOON) for _ in range(2)]
    await run_log.finish(first, done("2 drafts", drafts=2, spent=0.5), LATER)
    closed, still_open = await recorded(database)
    assert (closed["id"], closed["finished_at"], closed["ending"]) == (first, LATER, "done")
    assert (closed["detail"], closed["figures"]) == ("2 drafts", {"drafts": 2, "spent": 0.5})
    assert (still_open["id"], still_open["ending"]) == (second, None)


@pytest.mark.parametrize("ending", list(Ending))
async def test_every_ending_can_be_recorded(ending: Ending, database: Database) -> None:
    run_log = DatabaseRunLog(database, FENCE)
    await run_log.finish(await run_log.begin(a_run(), NOON), Outcome(ending), LATER)
    [row] = await recorded(database)
    assert row["ending"] == ending


async def test_a_database_that_is_away_is_a_database_error() -> None:
    run_log = DatabaseRunLog(DownDatabase(), FENCE)
    with pytest.raises(DatabaseUnavailableError):
        await run_log.begin(a_run(), NOON)
    with pytest.raises(DatabaseUnavailableError):
        await run_log.finish(1, done(), LATER)


async def test_a_record_that_hangs_can_be_cancelled(autojump_clock: object) -> None:
    run_log = DatabaseRunLog(DownDatabase(hangs=True), FENCE)
    with trio.move_on_after(3) as scope:
        await run_log.begin(a_run(), NOON)
    assert scope.cancelled_caught
