"""What jobs keep in the cache is asked of the database once, and forgotten when its data changes."""

from datetime import timedelta

from orchestrator.cache.namespace import Level, Namespace
from orchestrator.db import findings
from orchestrator.db.findings import ALL, Finding
from orchestrator.jobs import analytics, expert_analysis
from orchestrator.jobs.plan import plan
from orchestrator.learning import cached
from orchestrator.learning.findings import KINDS
from orchestrator.testing.house import SITE
from tests.jobs.house import House
from tests.jobs.models import settle
from tests.jobs.test_analytics import measured as settled
from tests.jobs.test_learn import LIKED, measured, teach, wait_until_settled
from tests.jobs.test_metrics_scraper import publish, scrape
from tests.jobs.test_model_review import GOOD, SPOILED, add, judge, serve, speak

LIKES: Namespace[int] = Namespace("likes", Level.FIVE_MINUTES, int)


async def test_planning_asks_for_arms_once(house: House) -> None:
    for _ in range(2):
        await plan(house.run("plan"), house.tools)
    assert house.database.asked.count("arms") == 1
    tally = house.tools.cache.tallies["arms"]
    assert (tally.hits, tally.misses) == (1, 1)


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


async def in_use(house: House) -> dict[str, int]:
    found = await cached.models_in_use(house.tools.cache, house.database, SITE)
    return {version.state.value: version.version for version in found}


async def test_which_models_are_in_use_is_asked_once_and_known_anew_when_one_was_trained(
    house: House,
) -> None:
    await settle(house, house.tools.settings.predictor.min_posts)
    for _ in range(2):
        await plan(house.run("plan"), house.tools)
    assert house.database.asked.count("in_use") == 1
    assert await in_use(house) == {}
    await teach(house)
    assert list(await in_use(house)) == ["candidate"]


async def test_a_model_that_was_promoted_retired_or_rolled_back_is_known_as_such_at_once(
    house: House,
) -> None:
    first = await add(house, GOOD)
    assert await in_use(house) == {"candidate": first.version}
    await speak(house)
    await judge(house)
    assert await in_use(house) == {"serving": first.version}
    second = await add(house, SPOILED)
    await cached.forget_models(house.tools.cache, SITE)
    assert await in_use(house) == {"serving": first.version, "candidate": second.version}
    await speak(house, seed=2)
    await judge(house)
    assert await in_use(house) == {"serving": first.version}
    spoiled = await serve(house, SPOILED, first)
    await cached.forget_models(house.tools.cache, SITE)
    assert await in_use(house) == {"serving": spoiled.version}
    await speak(house, seed=3)
    await judge(house)
    assert await in_use(house) == {"serving": first.version}


async def test_sums_are_asked_for_once_and_known_anew_when_posts_were_summed_up(house: House) -> None:
    async def sums() -> dict[tuple[str, str], int]:
        accounts, since = list(house.tools.accounts), house.today - timedelta(days=28)
        found = await cached.sums(house.tools.cache, house.database, accounts, since)
        return {(one.dimension, one.value): one.likes for one in found}

    assert await sums() == {}
    assert await sums() == {}
    assert house.database.asked.count("totals") == 1
    await settled(house, "one", LIKED)
    await analytics.analyse(house.run(analytics.NAME), house.tools)
    assert sum((await sums()).values()) > 0


async def test_findings_for_people_are_asked_for_once_and_known_anew_after_an_analysis(house: House) -> None:
    async def known(account: str | None) -> list[str]:
        found = await cached.standing(house.tools.cache, house.database, [SITE], account, 100)
        return [one.finding.subject for one in found]

    assert (await known(None), await known("ada")) == ([], [])
    for account, subject in ((ALL, "bread"), ("ada", "tea")):
        found = Finding(KINDS[0], SITE, account, subject, "So it is.", 0.3, 0.1, 0.5, 40)
        stamp = house.stamp()
        await house.database.run(
            findings.replace, SITE, [account], [found.kind], [found], stamp.fence, stamp.now
        )
    assert (await known(None), await known("ada")) == ([], [])
    await cached.forget_findings(house.tools.cache)
    assert (await known(None), set(await known("ada"))) == (["bread"], {"bread", "tea"})
    await expert_analysis.analyse(house.run(expert_analysis.NAME), house.tools)
    house.database.asked.clear()
    await known("ada")
    assert house.database.asked == ["standing"]


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
