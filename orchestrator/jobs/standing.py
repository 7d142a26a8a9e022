"""What stands between a job and a visit: is the account well, and within its day's limits?"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from orchestrator.actors.job import Run
from orchestrator.clock import Clock
from orchestrator.db import accounts as records
from orchestrator.db.accounts import SIGN_INS, VISITS
from orchestrator.db.fence import Fence
from orchestrator.db.pool import Database
from orchestrator.db.posts import Stamp
from orchestrator.errors import AccountLimitError, AccountNotUsableError, DatabaseError
from orchestrator.jobs.health import Health, kind_of

if TYPE_CHECKING:
    from orchestrator.jobs.tools import Account

SPARED_FROM = 4
"""Jobs of this priority and less urgent ones pass over accounts that are not well."""
SPARED_ALSO = frozenset({"harvester"})

log = structlog.get_logger("jobs")


@dataclass(frozen=True, slots=True)
class Standing:
    """The accounts' standing, kept in the database and, where visits ask for it, in memory."""

    database: Database
    clock: Clock
    fence: Fence
    accounts: Mapping[str, "Account"]
    health: Health
    min_health: int

    def check(self, run: Run, name: str) -> None:
        """Raises AccountNotUsableError for an account that this run is not to visit."""
        if not self.is_for(run, name):
            raise AccountNotUsableError(f"account {name} is {self.why_spared(name)}")

    def is_for(self, run: Run, name: str) -> bool:
        """Whether the account is well enough for the run: for what is urgent it always is."""
        is_sparing = run.priority >= SPARED_FROM or run.job in SPARED_ALSO
        return not is_sparing or self.why_spared(name) is None

    def why_spared(self, name: str) -> str | None:
        """Why what is not urgent passes the account over; None when it does not."""
        now = self.clock.now()
        score = self.health.score(name, now)
        if score >= self.min_health:
            return None
        return f"spared: its health is {score}, below {self.min_health}; {self.health.worst(name, now)}"

    @asynccontextmanager
    async def visit(self, account: "Account") -> AsyncIterator[None]:
        """Count a visit, and note what trouble comes of it. Raises AccountLimitError, DatabaseError."""
        await self._count(account, VISITS, account.settings.visits_per_day)
        try:
            yield
        except Exception as error:
            await self._note(account.name, error)  # noqa: ASYNC120 - cancelled is cancelled
            raise

    async def before_sign_in(self, name: str) -> None:
        """Count a sign-in. Raises AccountLimitError when the day has no more of them, DatabaseError."""
        account = self.accounts[name]
        await self._count(account, SIGN_INS, account.settings.sign_ins_per_day)

    async def after_sign_in(self, name: str) -> None:
        await self.is_signed_in(name, is_new=True)

    async def is_signed_in(self, name: str, *, is_new: bool = False) -> None:
        """The site knows the account, by a new sign-in or an older one. A failed record is only logged."""
        try:
            await self.database.run(records.signed_in, name, self._stamp(), is_new)
        except DatabaseError as error:
            log.warning("sign_in_not_noted", account=name, error=str(error))

    async def _count(self, account: "Account", action: str, limit: int) -> None:
        now = self.clock.now()
        on = (account.day(now), now)
        if not await self.database.run(records.count, account.name, action, on, limit, self.fence.number):
            what = action.replace("_", "-")
            raise AccountLimitError(f"{account.name} has reached its {limit} {what} for the day")

    async def _note(self, name: str, error: Exception) -> None:
        kind = kind_of(error)
        if kind is None:
            return
        mark = self.health.note(name, kind, str(error), self.clock.now())
        try:
            await self.database.run(records.mark, name, kind, mark, self.fence.number)
        except DatabaseError as failed:
            log.warning("trouble_not_noted", account=name, error=str(failed))

    def _stamp(self) -> Stamp:
        return Stamp(self.fence.number, self.clock.now())
