"""The record of runs, in memory."""

from dataclasses import dataclass, field
from datetime import datetime

import trio

from orchestrator.actors.job import Run
from orchestrator.errors import DatabaseUnavailableError
from orchestrator.model import Ending, Outcome


@dataclass
class FakeRunLog:
    """A record of runs in memory. `is_down` refuses as a database does; `hangs` never answers."""

    begun: list[Run] = field(default_factory=list)
    started_at: list[datetime] = field(default_factory=list)
    finished: dict[int, tuple[Outcome, datetime]] = field(default_factory=dict)
    is_down: bool = False
    hangs: bool = False

    async def begin(self, run: Run, started_at: datetime) -> int:
        await self._answer()
        self.begun.append(run)
        self.started_at.append(started_at)
        return len(self.begun)

    async def finish(self, run_id: int, outcome: Outcome, finished_at: datetime) -> None:
        await self._answer()
        self.finished[run_id] = outcome, finished_at

    async def _answer(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.hangs:
            await trio.sleep_forever()
        if self.is_down:
            raise DatabaseUnavailableError("the database can't be reached", remedy="Start it.")

    @property
    def endings(self) -> list[Ending]:
        return [outcome.ending for outcome, _ in self.finished.values()]
