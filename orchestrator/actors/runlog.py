"""The record of runs in the database."""

from datetime import datetime

from orchestrator.actors.job import Run
from orchestrator.db import runs
from orchestrator.db.pool import Database
from orchestrator.model import Outcome


class DatabaseRunLog:
    """Implements `attempt.RunLog`. Raises DatabaseError when the database can't be written."""

    def __init__(self, database: Database, fence: int) -> None:
        self._database = database
        self._fence = fence

    async def begin(self, run: Run, started_at: datetime) -> int:
        return await self._database.run(
            runs.begin, run.job, run.trigger, run.attempt, self._fence, started_at
        )

    async def finish(self, run_id: int, outcome: Outcome, finished_at: datetime) -> None:
        await self._database.run(runs.finish, run_id, outcome, finished_at)
