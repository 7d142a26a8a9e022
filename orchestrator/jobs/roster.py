"""The accounts as people see them: how each one fares, what it did today, what stands in its way."""

from collections import Counter
from datetime import datetime
from typing import Any

from orchestrator.breakers import ADMITTING
from orchestrator.db import accounts as records
from orchestrator.db.accounts import SIGN_INS, VISITS, AccountState, FiguresRead
from orchestrator.errors import SignInRefusedError, SiteRateLimitedError
from orchestrator.jobs.accounts import Unusable
from orchestrator.jobs.health import BEST
from orchestrator.jobs.tools import Account, Tools
from orchestrator.model import AccountCondition
from orchestrator.sites.breakers import breaker_of

Row = dict[str, Any]


async def roster(tools: Tools) -> list[Row]:
    """A row for each account, as JSON can say it; first those that something stands in the way of.

    The same number of queries for any number of accounts. Raises DatabaseError.
    """
    here, now = tools.accounts.here, tools.clock.now()
    names = list(here)
    days = [(account.name, account.day(now)) for account in here.values()]
    states = await tools.database.run(records.states, names)
    counted = await tools.database.run(records.counts, days)
    figures = await tools.database.run(records.figures, names)
    rows = [_unusable(name, found) for name, found in tools.accounts.unusable.items()]
    for name, account in here.items():
        state = states.get(name, AccountState())
        today = _today(account, counted.get(name, {}))
        rows.append({
            "name": name,
            "site": account.settings.site,
            "signed_in_at": _iso(state.signed_in_at),
            "visited_at": _iso(state.visited_at),
            "health": tools.health.score(name, now),
            "condition": condition(tools, name),
            "today": today,
            "figures": _figures(figures.get(name)),
            "why": _in_the_way(tools, account, today),
        })  # fmt: skip
    return sorted(rows, key=lambda row: (not row["why"], row["health"]))


def conditions(tools: Tools) -> Counter[AccountCondition]:
    """How many accounts are in each condition; of what is in memory, so it may be asked often."""
    accounts = tools.accounts
    return Counter(condition(tools, name) for name in (*accounts.here, *accounts.unusable))


def condition(tools: Tools, name: str) -> AccountCondition:
    if name not in tools.accounts:
        return AccountCondition.OFF
    if tools.refusals.is_refused(name):
        return AccountCondition.REFUSED
    is_spared = tools.standing.why_spared(name) is not None
    return AccountCondition.SPARED if is_spared else AccountCondition.WELL


def _today(account: Account, counted: dict[str, int]) -> dict[str, dict[str, int]]:
    """What the account did on its present day, and how much of it it may do."""
    limits = {
        "posts": account.settings.posts_per_day,
        "replies": account.settings.replies_per_day,
        SIGN_INS: account.settings.sign_ins_per_day,
        VISITS: account.settings.visits_per_day,
    }
    return {action: {"count": counted.get(action, 0), "limit": limit} for action, limit in limits.items()}


def _in_the_way(tools: Tools, account: Account, today: dict[str, dict[str, int]]) -> list[str]:
    """Why the account is not visited, or not by every job, in sentences."""
    found = []
    if (why_not := tools.accounts.why_not(account.name)) is not None:
        found.append(f"it {why_not}{_way_back(tools, account.name)}")
    try:
        tools.refusals.check(account.name)
        tools.check_patience(account.name)
    except (SignInRefusedError, SiteRateLimitedError) as error:
        found.append(f"{error}. {error.remedy}" if error.remedy else str(error))
    breaker = breaker_of(account.settings.site)
    state = tools.breakers.standing(breaker).view.state
    if state not in ADMITTING:
        found.append(f"breaker {breaker} is {state.replace('_', '-')}")
    if (spared := tools.standing.why_spared(account.name)) is not None:
        found.append(f"{spared}; posts and replies go on")
    used_up = [action for action in (VISITS, SIGN_INS) if today[action]["count"] >= today[action]["limit"]]
    found += [f"it has had the {today[one]['limit']} {one.replace('_', '-')} of its day" for one in used_up]
    return found


def _way_back(tools: Tools, name: str) -> str:
    return "" if name in tools.accounts.leaving else f". Back: orchestrator ctl accounts enable {name}"


def _unusable(name: str, found: Unusable) -> Row:
    """An account of which nothing is known but that it can't be used."""
    way = f"Remove it, then add it again: orchestrator ctl accounts remove {name}"
    return {
        "name": name,
        "site": found.site,
        "signed_in_at": None,
        "visited_at": None,
        "health": BEST,
        "condition": AccountCondition.OFF,
        "today": {},
        "figures": None,
        "why": [f"{found.why}. {way}"],
    }


def _figures(found: FiguresRead | None) -> Row | None:
    if found is None:
        return None
    return {
        "read_at": _iso(found.read_at),
        "followers": found.followers,
        "following": found.following,
        "posts": found.posts,
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
