"""What may be asked of the accounts on the control socket, and ordered of them."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from orchestrator.control.peers import Level
from orchestrator.errors import ControlError, NotReadyError, NotThereError, RequestError
from orchestrator.health.problems import iso
from orchestrator.health.status import House
from orchestrator.jobs.registry import Registry

LIMIT = 50
"""Accounts that are listed when nobody says how many."""
MAX_LIMIT = 20_000
PASSWORD = "password"  # noqa: S105 - the name of an argument
NEW = {"account": str, "site": str, "username": str, PASSWORD: str}
OPTIONS = {
    "time_zone": str,
    "posts_per_day": int,
    "replies_per_day": int,
    "sign_ins_per_day": int,
    "visits_per_day": int,
}
LEVELS = {
    "account_add": Level.ADMIN,
    "account_remove": Level.ADMIN,
    "account_disable": Level.OPERATE,
    "account_enable": Level.OPERATE,
}
"""The orders, and who may give them."""

Args = dict[str, Any]


async def listed(house: House, args: Args) -> Args:
    """The accounts, first those that something stands in the way of. Raises ControlError, DatabaseError."""
    limit, account = args.get("limit", LIMIT), args.get("account")
    if not 1 <= limit <= MAX_LIMIT:
        raise RequestError(f"limit must be from 1 to {MAX_LIMIT}, not {limit}")
    if house.roster is None or house.supervisor is None:
        raise _still_starting()
    if account is not None and account not in house.accounts:
        known = ", ".join(house.accounts[:LIMIT]) or "none; add one: orchestrator ctl accounts add"
        raise NotThereError(f"there is no account {account}", remedy=f"Accounts: {known}")
    found = await house.roster()
    rows = [row for row in found if account in (None, row["name"])]
    return {
        "accounts": rows[:limit],
        "more": max(0, len(rows) - limit),
        "min_health": house.min_health,
        "sign_ins": _sign_ins(found),
        "now": iso(house.clock.now()),
    }


def _sign_ins(rows: list[Args]) -> dict[str, int]:
    """How far the first sign-ins have come: accounts that are in, that are to come, and that won't be."""
    new = [row for row in rows if row["signed_in_at"] is None]
    waiting = sum(row["condition"] not in ("refused", "off") for row in new)
    return {"signed_in": len(rows) - len(new), "to_come": waiting, "barred": len(new) - waiting}


async def order(house: House, verb: str, who: str, args: Args) -> Args:
    """Carry out what `who` orders of an account. Raises ControlError and what the registry does."""
    if verb not in house.account_orders or house.supervisor is None:
        raise _still_starting()
    return {"message": await house.account_orders[verb](args, who)}


def orders_of(registry: Registry) -> Mapping[str, Callable[[Args, str], Awaitable[str]]]:
    """What may be ordered of the accounts of a registry, by verb."""

    async def add(args: Args, who: str) -> str:
        given = {"name" if name == "account" else name: value for name, value in args.items()}
        return await registry.add(given, who)

    def named(act: Callable[[str, str], Awaitable[str]]) -> Callable[[Args, str], Awaitable[str]]:
        async def carry_out(args: Args, who: str) -> str:
            return await act(args["account"], who)

        return carry_out

    return {
        "account_add": add,
        "account_remove": named(registry.remove),
        "account_disable": named(registry.disable),
        "account_enable": named(registry.enable),
    }


def _still_starting() -> ControlError:
    return NotReadyError("the daemon is still starting", remedy="See: orchestrator ctl status")
