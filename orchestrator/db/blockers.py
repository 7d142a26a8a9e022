"""Who holds what our statements wait for: sessions of other programs, of an operator, or our own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.db.connection import Connection

BLOCKERS = """
SELECT waiting.pid AS waiting, b.pid, a.usename, a.application_name, a.state,
    extract(epoch FROM clock_timestamp() - a.xact_start) AS open_s
FROM unnest($1::int[]) AS waiting (pid), unnest(pg_blocking_pids(waiting.pid)) AS b (pid)
LEFT JOIN pg_stat_activity AS a ON a.pid = b.pid
"""


@dataclass(frozen=True, slots=True)
class Blocker:
    """A session of the server. What our user may not see of it is empty."""

    pid: int
    """0 for a prepared transaction, which has no session."""
    user: str
    program: str
    state: str
    open_s: float | None
    """How long its transaction has been open."""

    @property
    def remedy(self) -> str:
        """The statement that ends it."""
        return f"SELECT pg_terminate_backend({self.pid})" if self.pid else "ROLLBACK PREPARED, by its name"

    def __str__(self) -> str:
        who = " of ".join(filter(None, (self.program, self.user)))
        since = "" if self.open_s is None else f"{self.state}, its transaction open for {self.open_s:.0f} s"
        known = ", ".join(filter(None, (who, since)))
        return f"pid {self.pid}" + (f" ({known})" if known else "")


async def find(connection: Connection, waiting: Sequence[int]) -> dict[int, list[Blocker]]:
    """The sessions that those with the pids `waiting` wait for; none for those that wait for no lock."""
    found: dict[int, list[Blocker]] = {}
    for row in await connection.fetch(BLOCKERS, waiting):
        open_s = None if row["open_s"] is None else float(row["open_s"])
        user, program, state = (row[name] or "" for name in ("usename", "application_name", "state"))
        blocker = Blocker(row["pid"], user, program, state, open_s)
        if all(blocker.pid != known.pid for known in found.setdefault(row["waiting"], [])):
            found[row["waiting"]].append(blocker)
    return found
