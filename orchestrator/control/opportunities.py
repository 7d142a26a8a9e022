"""What may be asked of opportunities on the control socket."""

from typing import Any

from orchestrator.db import opportunities
from orchestrator.db.opportunities import Opportunity
from orchestrator.errors import ControlError, NotReadyError
from orchestrator.health.problems import iso
from orchestrator.health.status import House

LIMIT = 20
"""Opportunities that are listed when nobody says how many."""

Args = dict[str, Any]


async def listed(house: House, args: Args) -> Args:
    """The most relevant open ones of each site, and how many there are in each state.

    Raises ControlError and DatabaseError.
    """
    limit = args.get("limit", LIMIT)
    if not 1 <= limit <= opportunities.MOST_OPEN:
        raise ControlError(f"limit must be from 1 to {opportunities.MOST_OPEN}, not {limit}")
    if house.database is None or house.supervisor is None:
        raise NotReadyError("the daemon is still starting", remedy="See: orchestrator ctl status")
    found = [
        _row(one)
        for site in house.scopes
        for one in await house.database.run(opportunities.best, site, limit)
    ]
    found.sort(key=lambda row: -row["relevance"])
    counts = await house.database.run(opportunities.count_by_state)
    return {
        "opportunities": found[:limit],
        "counts": {state.value: count for state, count in counts.items()},
        "now": iso(house.clock.now()),
    }


def _row(one: Opportunity) -> Args:
    found = one.found
    return {
        "id": one.id,
        "site": one.site,
        "reference": found.reference,
        "author": found.author,
        "text": found.text,
        "posted_at": iso(found.posted_at),
        "likes": found.likes,
        "replies": found.replies,
        "views": found.views,
        "relevance": found.relevance,
        "why": found.why,
    }
