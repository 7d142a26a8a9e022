"""How many transactions a run makes: not more of them for more posts or more accounts (B1: no N+1)."""

from collections.abc import Awaitable, Callable

import pytest

from orchestrator.db.pool import Database
from orchestrator.jobs import (
    account_discovery,
    analytics,
    competitive_analysis,
    desks,
    expert_analysis,
    harvester,
    learn,
    opportunity_review,
    plan,
    scrape_background,
    scrape_priority,
)
from orchestrator.jobs.tools import Tools
from orchestrator.model import Outcome, PostMetrics
from orchestrator.testing.house import PASSWORD, SITE, settings_for
from tests import rows
from tests.jobs.house import House, make_house, new_fence
from tests.jobs.test_analytics import measured
from tests.jobs.test_reading import write

Work = Callable[..., Awaitable[Outcome]]

JOBS: dict[str, Work] = {
    analytics.NAME: analytics.analyse,
    expert_analysis.NAME: expert_analysis.analyse,
    competitive_analysis.NAME: competitive_analysis.analyse,
    harvester.NAME: harvester.harvest,
    learn.NAME: learn.learn,
    opportunity_review.NAME: opportunity_review.review,
}
READERS: dict[str, Work] = {
    account_discovery.NAME: account_discovery.discover,
    scrape_priority.NAME: scrape_priority.scrape,
    scrape_background.NAME: scrape_background.scrape,
}


async def house_of(database: Database, accounts: int, **settings: object) -> House:
    listed = [
        {"name": f"account{number}", "site": SITE, "username": "x", "password": PASSWORD}
        for number in range(accounts)
    ]
    return make_house(database, await new_fence(database), settings_for(accounts=listed, **settings))


async def count(house: House, name: str, work: Work, posts_each: int) -> int:
    tools: Tools = house.tools
    for account in tools.accounts:
        for number in range(posts_each):
            await measured(
                house, f"{number} of {account}, one of {len(tools.accounts)}", PostMetrics(3, 1, 90), account
            )
    house.database.asked.clear()
    await work(house.run(name, priority=5), tools)
    return len(house.database.asked)


@pytest.mark.parametrize("name", JOBS)
async def test_a_run_asks_as_often_for_many_accounts_and_posts_as_for_few(
    database: Database, name: str
) -> None:
    few = await count(await house_of(database, accounts=2), name, JOBS[name], posts_each=1)
    many = await count(await house_of(database, accounts=12), name, JOBS[name], posts_each=2)
    assert many <= few


@pytest.mark.parametrize("figures", [False, True])
async def test_planning_asks_as_often_for_many_accounts_as_for_few(database: Database, figures: bool) -> None:
    async def planned(accounts: int) -> tuple[int, int]:
        house = await house_of(database, accounts, content={"figures": figures})
        asked = await count(house, plan.NAME, plan.plan, posts_each=12)  # so that their pace is judged too
        return asked, len(await rows.fetch(database, "SELECT FROM posts WHERE state = 'queued'"))

    (few, _), (many, queued) = await planned(accounts=2), await planned(accounts=12)
    assert queued >= 2 * 12
    assert many <= few


async def test_of_many_accounts_with_many_posts_some_are_planned_for_at_a_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await house_of(database, accounts=5)
    await count(house, learn.NAME, learn.learn, posts_each=2)
    monkeypatch.setattr(desks, "HELD", 4)
    await plan.plan(house.run(plan.NAME, priority=1), house.tools)
    assert house.database.asked.count("used_fingerprints") == 3
    found = await rows.fetch(database, "SELECT DISTINCT account FROM posts WHERE state = 'queued'")
    assert len(found) == 5


async def count_reading(house: House, name: str, posts_each: int) -> int:
    """Of one run over lists of nine people's posts, whom the house knows."""
    inventory = (await house.tools.writer.read()).inventory
    texts = [f"{topic} {form}" for topic in inventory.topics for form in inventory.formats]
    for number in range(9):
        for text in texts[:posts_each]:
            write(house, f"peer{number}", text)
    await discover(house)
    house.database.asked.clear()
    await READERS[name](house.run(name, priority=5), house.tools)
    return len(house.database.asked)


async def discover(house: House) -> None:
    await account_discovery.discover(house.run(account_discovery.NAME, priority=5), house.tools)


@pytest.mark.parametrize("name", READERS)
async def test_reading_others_asks_as_often_for_many_accounts_and_posts_as_for_few(
    database: Database, name: str
) -> None:
    few = await count_reading(await house_of(database, accounts=2), name, posts_each=1)
    many = await count_reading(await house_of(database, accounts=12), name, posts_each=20)
    assert 0 < many <= few
