"""What may be asked of past posts on the control socket: what works, and the sums that this rests on."""

from datetime import timedelta
from typing import Any

from orchestrator.db.findings import Standing
from orchestrator.db.rollups import Sum
from orchestrator.errors import NotReadyError, NotThereError
from orchestrator.health.problems import iso
from orchestrator.health.status import House
from orchestrator.learning import cached

LIMIT = 100
"""Findings that are told, the largest effect first."""
DAYS = 28
"""Sums are those of the posts of so many days."""

Args = dict[str, Any]


async def told(house: House, args: Args) -> Args:
    """What holds, for all accounts or for one. Raises NotThereError, NotReadyError and DatabaseError."""
    account: str | None = args.get("account")
    if account is not None and account not in house.site_of:
        known = ", ".join(house.site_of) or "none; add one: orchestrator ctl accounts add"
        raise NotThereError(f"there is no account {account}", remedy=f"Accounts: {known}")
    if house.database is None or house.supervisor is None:
        raise NotReadyError("the daemon is still starting", remedy="See: orchestrator ctl status")
    now = house.clock.now()
    since = (now - timedelta(days=DAYS)).date()
    sites = sorted(set(house.site_of.values())) if account is None else [house.site_of[account]]
    found = await cached.standing(house.cache, house.database, sites, account, LIMIT)
    of = list(house.site_of) if account is None else [account]
    sums = await cached.sums(house.cache, house.database, of, since)
    return {
        "account": account,
        "findings": [_finding(one) for one in found],
        "sums": [_sum(one) for one in sums],
        "days": DAYS,
        "now": iso(now),
    }


def _finding(standing: Standing) -> Args:
    found = standing.finding
    return {
        "kind": found.kind,
        "site": found.site,
        "account": found.account or None,
        "subject": found.subject,
        "statement": found.statement,
        "effect": found.effect,
        "low": found.low,
        "high": found.high,
        "posts": found.posts,
        "since": iso(standing.since),
        "looked_at": iso(standing.looked_at),
    }


def _sum(one: Sum) -> Args:
    return {
        "dimension": one.dimension,
        "value": one.value,
        "posts": one.posts,
        "score": one.score / one.posts,
        "likes": one.likes,
        "replies": one.replies,
        "views": one.views,
    }
