"""The daemon's hold on the database: taken at start, renewed for ever, checked before each effect."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
import trio

from orchestrator import crash
from orchestrator.crash import Step
from orchestrator.db import lease
from orchestrator.db.pool import Database
from orchestrator.errors import DatabaseRefusedError, DatabaseUnavailableError, FenceLostError

RENEWALS_PER_TTL = 4
"""So many tries to renew fit in the lease's time, so that a short outage loses nothing. Each is given up
after its share of that time: a database that hangs must not use up all of it with the first one."""
RELEASE_PATIENCE_S = 2.0

log = structlog.get_logger("fence")


class Fence:
    """A number that grows with each change of owner, and until when it is ours for sure."""

    def __init__(self, number: int, ttl_s: float, asked_at: float) -> None:
        """`asked_at`: `boot_time()` before the lease was asked for, so at the latest when it was given."""
        self.number = number
        self.ttl_s = ttl_s
        self._sure_until = asked_at + ttl_s
        self._renewals = 0

    def check(self) -> None:
        """Raises FenceLostError when the lease may have passed to another daemon by now."""
        if boot_time() >= self._sure_until:
            raise FenceLostError(
                f"the lease on the database was not renewed for {self.ttl_s:g} s; another daemon may have it",
                remedy="It is renewed as soon as the database lets us. If nothing else is wrong with that, "
                "see who locks the table daemon_lease, or raise database.lease_ttl_s",
            )

    async def keep(self, database: Database) -> None:
        """Renew for ever. FenceLostError: another daemon has taken over, or the database was replaced.

        A database that is away, or refuses us for a while, is asked again and again. The first time is at
        once: an older state of the database is told by its count of renewals, which only the answer says.
        """
        share_s = self.ttl_s / RENEWALS_PER_TTL
        while True:
            next_at = trio.current_time() + share_s
            with trio.move_on_after(share_s) as scope:
                await self._renew(database)
            if scope.cancelled_caught:
                log.warning("lease_not_renewed", error=f"no answer within {share_s:g} s")
                database.doubt()
            await trio.sleep_until(next_at)

    async def _renew(self, database: Database) -> None:
        asked_at = boot_time()
        try:
            self._renewals = await database.run(
                lease.renew, self.number, self.ttl_s, self._renewals, is_apart=True
            )
        except (DatabaseUnavailableError, DatabaseRefusedError) as error:
            log.warning("lease_not_renewed", error=str(error))
        else:
            self._sure_until = asked_at + self.ttl_s


@asynccontextmanager
async def open_fence(
    database: Database, owner: str, ttl_s: float, on_wait: Callable[[str], None] = lambda note: None
) -> AsyncIterator[Fence]:
    """Wait until the database is ours, and hand it on at the end; `on_wait` is told why it takes long.

    `owner` is the same for every daemon that works in one state directory, whose lock admits one at
    a time; so a daemon that was killed gets its own lease back at once. A database that is away for a
    while is waited for.
    """
    fence = None
    while fence is None:
        fence = await _try_to_take(database, owner, ttl_s, on_wait)
    try:
        yield fence
    finally:
        with trio.CancelScope(shield=True), trio.move_on_after(RELEASE_PATIENCE_S):
            try:
                await database.run(lease.release, fence.number)
            except DatabaseUnavailableError as error:
                log.warning("lease_not_released", error=str(error))


async def _try_to_take(
    database: Database, owner: str, ttl_s: float, on_wait: Callable[[str], None]
) -> Fence | None:
    """The fence, or None after a while in which it could not be had."""
    try:
        await database.run(lease.prepare)
        asked_at = boot_time()
        with crash.around(Step.LEASE):
            found = await database.run(lease.claim, owner, ttl_s)
    except DatabaseUnavailableError as error:
        log.warning("waiting_for_lease", reason=str(error))
        on_wait(f"the start waits for the database: {error}")
        await trio.sleep(ttl_s / RENEWALS_PER_TTL)
        return None
    if isinstance(found, int):
        return Fence(found, ttl_s, asked_at)
    log.warning(
        "waiting_for_lease",
        reason="another daemon owns this database",
        owner=found.owner,
        left_s=round(found.left_s, 1),
    )
    on_wait(f"daemon {found.owner} owns this database; this one stands by")
    await trio.sleep(min(found.left_s, ttl_s))
    return None


def boot_time() -> float:
    """Seconds that go on while the machine sleeps, unlike trio's clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
