"""What stands between a job and a visit: limits of a day, health, contexts at a time."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
import trio
from structlog.contextvars import get_contextvars

from orchestrator.db import accounts as records
from orchestrator.db.accounts import SIGN_INS, VISITS
from orchestrator.db.pool import Database
from orchestrator.errors import (
    AccountLimitError,
    AccountNotUsableError,
    OrchestratorError,
    PageUnexpectedError,
    PostNotPressedError,
    PostUnclearError,
    SignInRefusedError,
    SiteRateLimitedError,
    SiteUnavailableError,
    VisitNotAllowedError,
)
from orchestrator.jobs.health import Health
from orchestrator.jobs.metrics_scraper import measure
from orchestrator.jobs.posting import post_one
from orchestrator.testing.house import settings_for
from tests import rows
from tests.jobs.house import House, make_house, new_fence

TASKS, EACH, LIMIT = 64, 25, 100
BERLIN = "Europe/Berlin"


async def visit(house: House, job: str = "metrics_scraper", priority: int = 1, name: str = "ada") -> None:
    async with house.tools.visit(house.run(job, priority), house.tools.accounts[name]):
        pass


async def fail(house: House, error: Exception) -> None:
    house.site.trouble["open_site"].append(error)
    with pytest.raises(OrchestratorError):
        await visit(house)
    house.tools.patience.clear()
    house.tools.refusals._words.clear()


def limited(**limits: int) -> list[dict[str, object]]:
    account: dict[str, object] = {
        "name": "ada",
        "site": "murmur",
        "username": "ada",
        "password": "pass-of-nobody",
    }
    return [account | {"time_zone": BERLIN} | limits]


def score(house: House, name: str = "ada") -> int:
    return house.tools.health.score(name, house.moment.now)


# ── limits ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.timeout(240)
@pytest.mark.parametrize("action", [VISITS, SIGN_INS])
async def test_any_number_of_tasks_count_exactly_up_to_the_limit(database: Database, action: str) -> None:
    fence, day = await rows.take_fence(database), date(2026, 5, 4)
    taken = 0

    async def take() -> None:
        nonlocal taken
        for _ in range(EACH):
            is_taken = await database.run(records.count, "ada", action, (day, rows.NOON), LIMIT, fence)
            taken += is_taken

    async with trio.open_nursery() as nursery:
        for _ in range(TASKS):
            nursery.start_soon(take)
    assert taken == LIMIT
    assert (await database.run(records.counts, [("ada", day)]))["ada"][action] == LIMIT


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "midnight",
    [
        datetime(2026, 5, 3, 22, tzinfo=UTC),
        datetime(2026, 3, 28, 23, tzinfo=UTC),  # the day that begins has 23 hours
        datetime(2026, 3, 29, 22, tzinfo=UTC),
        datetime(2026, 10, 24, 22, tzinfo=UTC),  # and this one 25
        datetime(2026, 10, 25, 23, tzinfo=UTC),
    ],
)
async def test_each_day_of_the_accounts_own_zone_has_its_limit(
    database: Database, midnight: datetime
) -> None:
    """64 tasks visit while the clock goes from before midnight to beyond it."""
    settings = settings_for(accounts=limited(visits_per_day=40))
    house = make_house(database, await new_fence(database), settings)
    house.moment.now = midnight - timedelta(seconds=1)
    account = house.tools.accounts["ada"]
    begun: dict[date, int] = {}

    async def work() -> None:
        for _ in range(4):
            day = account.day(house.moment.now)
            try:
                async with house.tools.standing.visit(account):
                    begun[day] = begun.get(day, 0) + 1
            except AccountLimitError:
                pass

    for _ in range(2):
        async with trio.open_nursery() as nursery:
            for _ in range(TASKS // 2):
                nursery.start_soon(work)
        house.moment.go(seconds=2)
    before, after = account.day(midnight - timedelta(seconds=1)), account.day(midnight)
    assert after - before == timedelta(days=1)
    assert begun == {before: 40, after: 40}


async def test_an_account_that_has_had_its_visits_is_passed_over_and_others_go_on(database: Database) -> None:
    accounts = [*limited(visits_per_day=1), limited()[0] | {"name": "grace"}]
    house = make_house(database, await new_fence(database), settings_for(accounts=accounts))
    for name in ("ada", "grace"):
        await rows.published(house.database, house.stamp(), f"of {name}", name)
    await visit(house)
    house.site.visits.clear()
    outcome = await measure(house.run("metrics_scraper", 1), house.tools)
    assert [name for name, _ in house.site.visits] == ["grace"]
    assert "ada" in outcome.detail
    house.moment.go(days=1)
    await visit(house)


async def test_a_post_of_an_account_without_visits_left_is_put_off(database: Database) -> None:
    accounts = limited(visits_per_day=1)
    house = make_house(database, await new_fence(database), settings_for(accounts=accounts))
    post_id = await house.queued()
    await visit(house)
    with pytest.raises(AccountLimitError, match="ada has reached its 1 visits for the day"):
        await post_one(house.run("posting"), house.tools)
    found = await rows.row(house.database, post_id)
    assert found["state"] == "queued"
    assert "1 visits for the day" in found["detail"]
    assert house.site.presses == []


# ── health ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "left"),
    [
        (SignInRefusedError("no"), 30),
        (PostUnclearError("?"), 75),
        (SiteRateLimitedError("slowly", retry_in_s=1), 80),
        (PageUnexpectedError("what"), 90),
        (PostNotPressedError("died", costs_attempt=False), 100),
        (SiteUnavailableError("away"), 100),
    ],
)
async def test_each_trouble_costs_its_points(house: House, error: Exception, left: int) -> None:
    await fail(house, error)
    assert score(house) == left
    assert score(house, "grace") == 100


async def test_troubles_add_up_and_half_of_their_cost_is_gone_after_six_hours(house: House) -> None:
    for _ in range(4):
        await fail(house, PageUnexpectedError("what"))
    assert score(house) == 60
    house.moment.go(hours=6)
    assert score(house) == 80
    await fail(house, PageUnexpectedError("what"))
    assert score(house) == 70
    for _ in range(3):
        await fail(house, SignInRefusedError("no"))
    assert score(house) == 0
    house.moment.go(days=3)
    assert score(house) > 95


async def test_a_restart_remembers_how_an_account_fares(house: House) -> None:
    await fail(house, PostUnclearError("?"))
    await fail(house, PageUnexpectedError("what"))
    again = Health()
    again.recall(await house.database.run(records.marks))
    assert again.score("ada", house.moment.now) == 65
    assert again.worst("ada", house.moment.now) == "?"


async def test_an_account_that_is_not_well_is_spared_what_is_not_urgent(house: House) -> None:
    await fail(house, SignInRefusedError("the site says no"))
    for job, priority in (("follower_snapshot", 4), ("scrape_background", 8), ("harvester", 1)):
        with pytest.raises(AccountNotUsableError, match="its health is 30, below 40; the site says no"):
            await visit(house, job, priority)
    for job, priority in (
        ("posting", 0),
        ("metrics_scraper", 1),
        ("reconciliation", 2),
        ("session_keeper", 3),
    ):
        await visit(house, job, priority)
    house.moment.go(hours=6)
    await visit(house, "follower_snapshot", 4)


# ── how many at a time ────────────────────────────────────────────────────────


async def test_a_job_has_as_many_contexts_at_a_time_as_it_has_declared(house: House) -> None:
    run, account = replace(house.run("onboarding", 6), contexts=2), house.tools.accounts["ada"]
    async with house.tools.visit(run, account), house.tools.visit(run, account):
        with pytest.raises(VisitNotAllowedError, match="more than 2 contexts"):
            async with house.tools.visit(run, account):
                pass


async def test_whatever_logs_while_a_context_is_held_says_of_which_lease_it_is(house: House) -> None:
    async with house.tools.visit(house.run("metrics_scraper", 1), house.tools.accounts["ada"]) as visit:
        assert get_contextvars()["lease"] == visit.lease.id
    assert "lease" not in get_contextvars()
