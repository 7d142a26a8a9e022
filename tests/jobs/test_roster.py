"""The accounts as people see them."""

from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.breakers import Order
from orchestrator.db import accounts as records
from orchestrator.db.accounts import VISITS, FiguresRead
from orchestrator.db.pool import Database
from orchestrator.errors import (
    OrchestratorError,
    PostUnclearError,
    SignInRefusedError,
    SiteRateLimitedError,
)
from orchestrator.jobs.roster import conditions, roster
from orchestrator.model import AccountCondition
from orchestrator.testing.house import PASSWORD, SITE, settings_for
from tests.jobs.house import House, make_house, new_fence


async def visit(house: House, name: str, error: OrchestratorError | None = None) -> None:
    """A visit for posting, which fails with `error`."""
    if error is not None:
        house.site.trouble["open_site"].append(error)
    with nullcontext() if error is None else pytest.raises(type(error)):
        async with house.tools.visit(house.run("posting"), house.tools.accounts[name]):
            pass


async def row_of(house: House, name: str) -> dict[str, Any]:
    [row] = [row for row in await roster(house.tools) if row["name"] == name]
    return row


async def test_a_row_has_what_was_done_on_the_day_with_its_limits(house: House) -> None:
    await house.tools.standing.is_signed_in("ada")
    at = house.moment.now.isoformat(timespec="seconds")
    found = FiguresRead(house.moment.now, 70, 12, 5)
    await house.database.run(records.record_figures, "ada", found, house.stamp().fence)
    await visit(house, "ada")
    await house.tools.standing.before_sign_in("ada")
    assert await row_of(house, "ada") == {
        "name": "ada",
        "site": SITE,
        "signed_in_at": at,
        "visited_at": at,
        "health": 100,
        "condition": "well",
        "today": {
            "posts": {"count": 0, "limit": 24},
            "replies": {"count": 0, "limit": 10},
            "sign_ins": {"count": 1, "limit": 24},
            "visits": {"count": 1, "limit": 5000},
        },
        "figures": {"read_at": at, "followers": 70, "following": 12, "posts": 5},
        "why": [],
    }
    house.moment.go(days=1)
    assert (await row_of(house, "ada"))["today"]["visits"]["count"] == 0


async def test_an_account_of_which_nothing_is_known_has_a_row(house: House) -> None:
    row = await row_of(house, "grace")
    assert (row["signed_in_at"], row["visited_at"], row["figures"]) == (None, None, None)
    assert row["today"]["posts"] == {"count": 0, "limit": 24}


async def test_a_refused_account_says_so_and_stands_first(house: House) -> None:
    await visit(house, "grace", SignInRefusedError("the site refuses the sign-in of grace"))
    rows = await roster(house.tools)
    assert [(row["name"], row["condition"]) for row in rows] == [("grace", "refused"), ("ada", "well")]
    assert rows[0]["why"][0].startswith("the site refuses the sign-in of grace (not tried again by itself). ")
    assert rows[0]["why"][1].startswith("spared: its health is 30, below 40; ")


async def test_a_spared_account_says_what_has_lowered_its_health(house: House) -> None:
    for _ in range(3):
        await visit(house, "ada", PostUnclearError("nobody knows"))
    row = await row_of(house, "ada")
    assert row["why"] == ["spared: its health is 25, below 40; nobody knows; posts and replies go on"]
    assert conditions(house.tools) == {AccountCondition.SPARED: 1, AccountCondition.WELL: 1}
    house.moment.go(hours=12)
    assert (await row_of(house, "ada"))["why"] == []
    assert conditions(house.tools) == {AccountCondition.WELL: 2}


async def test_patience_and_an_open_breaker_stand_in_the_way(house: House) -> None:
    await visit(house, "ada", SiteRateLimitedError("slow down", retry_in_s=60))
    [said] = (await row_of(house, "ada"))["why"]
    assert said.startswith("the site asked for patience with ada, for 60 s more")
    house.moment.go(minutes=2)
    house.tools.breakers.obey(f"site:{SITE}", Order.OPEN, "somebody")
    assert (await row_of(house, "ada"))["why"] == [f"breaker site:{SITE} is forced-open"]
    house.tools.breakers.obey(f"site:{SITE}", Order.AUTO, "somebody")


async def test_a_day_that_is_used_up_stands_in_the_way(database: Database) -> None:
    account = {"name": "ada", "site": SITE, "username": "ada", "password": PASSWORD, "visits_per_day": 1}
    house = make_house(database, await new_fence(database), settings_for(accounts=[account]))
    await visit(house, "ada")
    row = await row_of(house, "ada")
    assert row["today"][VISITS] == {"count": 1, "limit": 1}
    assert row["why"] == ["it has had the 1 visits of its day"]
    house.moment.now += timedelta(days=1)
    assert (await row_of(house, "ada"))["why"] == []


@pytest.mark.parametrize("accounts", [1, 40])
async def test_any_number_of_accounts_costs_three_queries(database: Database, accounts: int) -> None:
    listed = [
        {"name": f"account{number}", "site": SITE, "username": "x", "password": PASSWORD}
        for number in range(accounts)
    ]
    house = make_house(database, await new_fence(database), settings_for(accounts=listed))
    house.database.asked.clear()
    assert len(await roster(house.tools)) == accounts
    assert len(house.database.asked) == 3
