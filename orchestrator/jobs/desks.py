"""What `plan` has to know of accounts before it writes: asked for many of them at a time (B1)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.content import figures
from orchestrator.db import own_figures, pace, posts
from orchestrator.db.findings import Effects, effects_of
from orchestrator.db.own_figures import Week
from orchestrator.db.posts import QueueDepth
from orchestrator.jobs.pace import BEFORE, TAKEN, timetable
from orchestrator.jobs.tools import Account, Tools
from orchestrator.learning.pacing import Timetable

HELD = 50_000
"""Posts whose fingerprints are in memory at a time, 150 bytes each; those of one account at least."""
WEEK = timedelta(days=7)


@dataclass(slots=True)
class Desk:
    """An account's part of what is known; `used` grows with what is written for it."""

    account: Account
    depth: QueueDepth
    per_hour: float
    effects: Effects
    used: set[str]
    """The fingerprints of texts that it is not to post."""
    table: Timetable
    week: Week | None
    """Its own figures, where they are to be told."""


def groups(accounts: Sequence[Account], depths: Mapping[str, QueueDepth]) -> Iterator[list[Account]]:
    """The accounts in their order, as many at a time as have `HELD` posts together."""
    group, held = list[Account](), 0
    for account in accounts:
        depth = depths[account.name]
        count = depth.published + depth.waiting
        if group and held + count > HELD:
            yield group
            group, held = [], 0
        group.append(account)
        held += count
    if group:
        yield group


async def open_desks(
    tools: Tools,
    accounts: Sequence[Account],
    depths: Mapping[str, QueueDepth],
    per_hour: Mapping[str, float],
    effects: Mapping[str, Mapping[str, Effects]],
) -> list[Desk]:
    """Those of one group; `effects` are by site and account. Raises DatabaseError."""
    names, now = [account.name for account in accounts], tools.clock.now()
    used = await tools.database.run(posts.used_fingerprints, names)
    taken = await tools.database.run(pace.taken, names, now - BEFORE, TAKEN)
    weeks: dict[str, Week] = {}
    if tools.settings.content.figures:
        weeks = await tools.database.run(own_figures.weeks, names, now - WEEK, figures.SOURCE)
    desks = []
    for account in accounts:
        name = account.name
        own = effects_of(effects[account.settings.site], name)
        table = timetable(account, per_hour[name], own, taken[name], now)
        desks.append(Desk(account, depths[name], per_hour[name], own, used[name], table, weeks.get(name)))
    return desks
