"""What the actors know of the runs of earlier daemons."""

from datetime import timedelta
from random import Random

import pytest
import trio

from orchestrator import wiring
from orchestrator.actors.actor import Surroundings
from orchestrator.actors.job import Job
from orchestrator.actors.runlog import DatabaseRunLog
from orchestrator.actors.supervisor import Supervisor
from orchestrator.clock import Clock
from orchestrator.db import runs
from orchestrator.db.pool import Database
from orchestrator.errors import PostRefusedError
from orchestrator.metrics import Metrics
from orchestrator.model import Ending, Outcome
from tests.fakes import NOON, Work, a_job

HOUR = timedelta(hours=1)


async def recorded(database: Database, ending: Ending, hours_ago: int) -> None:
    started_at = NOON - hours_ago * HOUR
    run_id = await database.run(runs.begin, "plan", "schedule", 1, 1, started_at)
    await database.run(runs.finish, run_id, Outcome(ending), started_at)


class House:
    """A supervisor over the history that the database has; `ended` says that a run has."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.ended = trio.Event()

    async def supervisor(self, job: Job) -> Supervisor:
        clock = Clock(time=NOON.timestamp)
        run_log = DatabaseRunLog(self._database, 2)
        house = Surroundings(clock, Random(1), run_log, lambda _job: None, lambda *_: self.ended.set())
        return await wiring.make_supervisor([job], house, self._database, Metrics())


async def test_how_long_a_job_has_gone_without_success_is_kept_over_a_restart(database: Database) -> None:
    await recorded(database, Ending.GIVEN_UP, 200)
    await recorded(database, Ending.DONE, 100)
    await recorded(database, Ending.GIVEN_UP, 50)
    house = House(database)
    supervisor = await house.supervisor(a_job("plan", Work([PostRefusedError("no")])))
    actor = supervisor.actors["plan"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervisor.run)
        assert actor.overdue_s == 0  # it gets a run first
        supervisor.run_now("plan", "alice")
        await house.ended.wait()
        assert actor.overdue_s / 3600 == pytest.approx(98.5, abs=0.1)
        nursery.cancel_scope.cancel()


async def test_a_job_that_never_succeeded_counts_from_the_first_start_that_the_database_knows(
    database: Database,
) -> None:
    await recorded(database, Ending.GIVEN_UP, 200)
    await recorded(database, Ending.GIVEN_UP, 50)
    supervisor = await House(database).supervisor(a_job("plan"))
    history = supervisor.actors["plan"].history
    assert (history.first_start, history.last_success_at) == (NOON - 200 * HOUR, None)


async def test_a_run_that_was_skipped_is_not_the_start_that_the_next_one_counts_from(
    database: Database,
) -> None:
    await recorded(database, Ending.DONE, 30)
    await recorded(database, Ending.SKIPPED, 1)
    supervisor = await House(database).supervisor(a_job("plan"))
    assert supervisor.actors["plan"].history.last_start == NOON - 30 * HOUR


async def test_a_job_that_is_paused_still_is_not_overdue_after_a_restart(database: Database) -> None:
    await recorded(database, Ending.DONE, 100)
    await database.run(runs.pause, ["plan"], "alice", NOON)
    supervisor = await House(database).supervisor(a_job("plan"))
    assert supervisor.actors["plan"].is_paused
    assert supervisor.actors["plan"].overdue_s == 0
