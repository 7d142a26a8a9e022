"""How many transactions a run makes: not more of them for more posts or more accounts (B1: no N+1)."""

from collections.abc import Awaitable, Callable

import pytest

from orchestrator.db.pool import Database
from orchestrator.jobs import (
    account_discovery,
    analytics,
    competitive_analysis,
    expert_analysis,
    harvester,
    learn,
    opportunity_review,
    scrape_background,
    scrape_priority,
)
from orchestrator.jobs.tools import Tools
from orchestrator.model import Outcome, PostMetrics
from orchestrator.testing.house import PASSWORD, SITE, settings_for
from tests.jobs.house import House, make_house, new_fence
from tests.jobs.test_analytics import measured
from tests.jobs.test_reading import write

Work = Callable[..., Awaitable[Outcome]]

JOBS: dict[str, Work] = {
    analytics.NAME: analytics.analyse,
    expert_analysis.NAME: expert_analysis.analyse,
    competitive_analysis.NAME: competitive_analysis.analyse,
    harvester.NAME: harvester.harvest,
    opportunity_review.NAME: opportunity_review.review,
}
READERS: dict[str, Work] = {
    account_discovery.NAME: account_discovery.discover,
    scrape_priority.NAME: scrape_priority.scrape,
    scrape_background.NAME: scrape_background.scrape,
}


async def house_of(database: Database, accounts: int) -> House:
    listed = [
        {"name": f"account{number}", "site": SITE, "username": "x", "password": PASSWORD}
        for number in range(accounts)
    ]
    return make_house(database, await new_fence(database), settings_for(accounts=listed))


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


async def test_learning_asks_once_more_for_each_account_and_no_oftener(database: Database) -> None:
    """Each account's history is read by itself."""
    few = await count(await house_of(database, accounts=2), learn.NAME, learn.learn, posts_each=3)
    many = await count(await house_of(database, accounts=6), learn.NAME, learn.learn, posts_each=9)
    assert many - few <= 4


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
