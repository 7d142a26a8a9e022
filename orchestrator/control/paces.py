"""How often accounts post, in sentences: what `ctl why posting` adds."""

from orchestrator.db import pace
from orchestrator.db.pace import Pace
from orchestrator.errors import DatabaseError
from orchestrator.health.modes import DATABASE
from orchestrator.health.problems import iso
from orchestrator.health.status import House
from orchestrator.learning.pacing import MIN_ENDINGS

SHOWN = 20
"""Accounts; with more of them the first ones."""


async def lines(house: House) -> list[str]:
    """A sentence for each account; nothing while the database is away."""
    if house.database is None or house.checks.is_down(DATABASE):
        return []
    try:
        found = await house.database.run(pace.paces, house.accounts[:SHOWN])
    except DatabaseError as error:
        return [f"How often accounts post can't be read: {error}."]
    more = len(house.accounts) - len(found)
    return [_line(one) for one in found] + ([f"And {more} more accounts."] if more > 0 else [])


def _line(one: Pace) -> str:
    ended = one.published + one.failed
    if one.per_hour is None:
        return (
            f"{one.account} posts as often as pacing.start_per_hour says; it is judged when {MIN_ENDINGS} "
            f"posts have ended ({ended} have)."
        )
    since = f"{one.published} of {ended} since then" if ended else "none has ended since then"
    return (
        f"{one.account} posts {one.per_hour:.2f} times an hour at most, judged {iso(one.judged_at)}: "
        f"{one.why}; {since}."
    )
