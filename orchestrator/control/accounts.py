"""What may be asked of the accounts on the control socket."""

from typing import Any

from orchestrator.errors import ControlError
from orchestrator.health.problems import iso
from orchestrator.health.status import House

LIMIT = 50
"""Accounts that are listed when nobody says how many."""
MAX_LIMIT = 5000

Args = dict[str, Any]


async def listed(house: House, args: Args) -> Args:
    """The accounts, first those that something stands in the way of. Raises ControlError, DatabaseError."""
    limit, account = args.get("limit", LIMIT), args.get("account")
    if not 1 <= limit <= MAX_LIMIT:
        raise ControlError(f"limit must be from 1 to {MAX_LIMIT}, not {limit}")
    if house.roster is None:
        raise ControlError("the daemon is still starting", remedy="See: orchestrator ctl status")
    if account is not None and account not in house.accounts:
        known = ", ".join(house.accounts[:LIMIT]) or "none, the settings have no account"
        raise ControlError(f"there is no account {account}", remedy=f"Accounts: {known}")
    rows = [row for row in await house.roster() if account in (None, row["name"])]
    return {
        "accounts": rows[:limit],
        "more": max(0, len(rows) - limit),
        "min_health": house.min_health,
        "now": iso(house.clock.now()),
    }
