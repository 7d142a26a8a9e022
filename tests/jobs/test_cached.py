"""What jobs keep in the cache is asked of the database once, and forgotten when its data changes."""

from orchestrator.cache.namespace import Level, Namespace
from orchestrator.db import findings
from orchestrator.db.findings import ALL, Finding
from orchestrator.jobs import expert_analysis
from orchestrator.jobs.plan import plan
from orchestrator.learning import cached
from orchestrator.learning.bandit import DIMENSIONS
from orchestrator.testing.house import SITE
from tests.jobs.house import House
from tests.jobs.test_learn import LIKED, measured, teach, wait_until_settled
from tests.jobs.test_metrics_scraper import publish, scrape

LIKES: Namespace[int] = Namespace("likes", Level.FIVE_MINUTES, int)


async def test_planning_asks_for_arms_and_effects_once(house: House) -> None:
    await plan(house.run("plan"), house.tools)
    asked = house.database.asked
    drafts = asked.count("add")
    assert drafts == 2 * len(house.tools.accounts)
    assert asked.count("arms") == 1
    tallies = house.tools.cache.tallies
    assert (tallies["arms"].hits, tallies["arms"].misses) == (drafts - 1, 1)
    assert tallies["effects"].misses == len(house.tools.accounts)


async def test_what_was_learned_is_known_at_once(house: House) -> None:
    async def known() -> tuple[int, int]:
        arms = await cached.arms(house.tools.cache, house.database, SITE)
        return len(arms), await cached.count_outcomes(house.tools.cache, house.database)

    assert await known() == (0, 0)
    await measured(house, "one", LIKED)
    await wait_until_settled(house)
    await teach(house)
    assert await known() == (3, 1)
    asked = len(house.database.asked)
    assert await known() == (3, 1)
    assert len(house.database.asked) == asked


async def test_a_look_at_past_posts_changes_what_is_known_of_effects(house: House) -> None:
    async def known() -> dict[tuple[str, str], float]:
        return await cached.effects(house.tools.cache, house.database, SITE, "ada", DIMENSIONS)

    assert await known() == {}
    found = Finding(DIMENSIONS[0], SITE, ALL, "bread", "Bread does better.", 0.3, 0.1, 0.5, 40)
    fence, now = house.tools.fence.number, house.moment.now
    await house.database.run(findings.replace, SITE, [ALL], [found.kind], [found], fence, now)
    assert await known() == {}, "nobody said that it has changed"
    await expert_analysis.analyse(house.run(expert_analysis.NAME), house.tools)
    house.database.asked.clear()
    await known()
    assert house.database.asked == ["effects"]


async def test_what_is_kept_for_an_account_is_forgotten_when_its_posts_were_read(house: House) -> None:
    count = 0

    async def read() -> int:
        nonlocal count
        count += 1
        return count

    async def likes(account: str) -> int:
        return await house.tools.cache.get_or_set(LIKES, "sum", read, account=account)

    assert [await likes(account) for account in ("ada", "grace", "ada", "grace")] == [1, 2, 1, 2]
    await publish(house, "one", account="ada")
    await scrape(house)
    assert [await likes(account) for account in ("ada", "grace")] == [3, 2]
