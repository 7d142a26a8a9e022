"""Learning: which posts teach, once each, and what they move."""

import pytest

from orchestrator.db import learned, measurements
from orchestrator.db.pool import Database
from orchestrator.errors import DatabaseUnavailableError, FenceLostError
from orchestrator.jobs import learn as job
from orchestrator.jobs.learn import learn
from orchestrator.model import Ending, Outcome, PostMetrics
from orchestrator.testing.house import PASSWORD, SITE, settings_for
from tests import rows
from tests.fakes_db import raising
from tests.jobs.house import House, make_house, new_fence

LIKED, IGNORED = PostMetrics(likes=50, replies=9, views=400), PostMetrics(likes=0, replies=0, views=300)


async def teach(house: House) -> Outcome:
    return await learn(house.run(job.NAME, priority=5), house.tools)


async def measured(
    house: House, text: str, metrics: PostMetrics, account: str = "ada", topic: str = "bread"
) -> int:
    """A post published now, with what its page shows now; its id."""
    post_id = await rows.published(house.database, house.stamp(), text, account)
    await rows.execute(house.database, "UPDATE posts SET topic = $2 WHERE id = $1", post_id, topic)
    fence, now = house.tools.fence.number, house.moment.now
    await house.database.run(measurements.record, [(post_id, metrics)], [], fence, now)
    return post_id


async def wait_until_settled(house: House, times: float = 1.0) -> None:
    """Let posts settle; then their pages show what they did before."""
    house.moment.go(hours=times * house.tools.settings.learning.settle_h)
    await rows.execute(
        house.database,
        "INSERT INTO post_metrics SELECT DISTINCT ON (post_id) post_id, $1, likes, replies, views "
        "FROM post_metrics ORDER BY post_id, read_at DESC",
        house.moment.now,
    )


async def means(house: House, scope: str = SITE) -> dict[tuple[str, str], float]:
    """What is expected of each arm, 0.5 for one that was never tried."""
    return {
        (row[0], row[1]): row[2] / (row[2] + row[3]) for row in await house.database.run(learned.arms, scope)
    }


async def test_a_settled_post_moves_its_three_arms(house: House) -> None:
    await measured(house, "one", LIKED)
    await wait_until_settled(house)
    outcome = await teach(house)
    assert (outcome.ending, outcome.figures) == (Ending.DONE, {"outcomes": 1})
    assert set(await means(house)) == {("topic", "bread"), ("format", "tip"), ("hour", "9")}


async def test_a_post_teaches_once(house: House) -> None:
    await measured(house, "one", LIKED)
    await wait_until_settled(house)
    await teach(house)
    before = await house.database.run(learned.arms, SITE)
    assert (await teach(house)).ending is Ending.NOTHING_TO_DO
    assert await house.database.run(learned.arms, SITE) == before


async def test_what_people_like_comes_to_be_expected(house: House) -> None:
    for number in range(6):
        await measured(house, f"liked {number}", LIKED, topic="bread")
        await measured(house, f"ignored {number}", IGNORED, topic="stars")
        house.moment.go(minutes=30)
    await wait_until_settled(house)
    assert (await teach(house)).figures == {"outcomes": 12}
    found = await means(house)
    assert found["topic", "bread"] > 0.5 > found["topic", "stars"]


async def test_a_young_post_does_not_teach_yet(house: House) -> None:
    await measured(house, "one", LIKED)
    await wait_until_settled(house, times=0.99)
    assert (await teach(house)).ending is Ending.NOTHING_TO_DO


async def test_a_post_that_was_last_read_before_it_settled_does_not_teach_yet(house: House) -> None:
    """Measuring stood still: what the post had reached by then is not what it reaches."""
    await measured(house, "one", LIKED)
    house.moment.go(days=30)
    assert (await teach(house)).ending is Ending.NOTHING_TO_DO
    await wait_until_settled(house, times=0)
    assert (await teach(house)).figures == {"outcomes": 1}


async def test_a_post_that_few_have_seen_is_waited_for_but_not_for_ever(house: House) -> None:
    await measured(house, "one", PostMetrics(0, 0, views=3))
    await wait_until_settled(house)
    assert (await teach(house)).ending is Ending.NOTHING_TO_DO
    house.moment.go(hours=3 * house.tools.settings.learning.settle_h)
    assert (await teach(house)).ending is Ending.NOTHING_TO_DO  # nobody has looked whether somebody came
    await wait_until_settled(house, times=0)
    assert (await teach(house)).figures == {"outcomes": 1}


async def test_posts_that_are_waited_for_do_not_hold_up_the_others(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "BATCH", 2)
    for number in range(2):
        await measured(house, f"unseen {number}", PostMetrics(0, 0, views=3))
    house.moment.go(minutes=1)
    await measured(house, "seen", LIKED)
    await wait_until_settled(house)
    assert (await teach(house)).figures == {"outcomes": 1}


async def test_two_accounts_of_a_site_teach_the_same_arms(house: House) -> None:
    await measured(house, "one", LIKED, "ada")
    await measured(house, "two", LIKED, "grace")
    await wait_until_settled(house)
    assert (await teach(house)).figures == {"outcomes": 2}
    pulls = {row[:2]: row[2] + row[3] - 2 for row in await house.database.run(learned.arms, SITE)}
    assert pulls["topic", "bread"] > 1.9


async def test_each_site_has_arms_of_its_own(database: Database) -> None:
    accounts = [
        {"name": name, "site": site, "username": name, "password": PASSWORD}
        for name, site in (("ada", "one"), ("grace", "two"))
    ]
    sites = {name: {"profile": "microblog"} for name in ("one", "two")}
    house = make_house(database, await new_fence(database), settings_for(accounts=accounts, sites=sites))
    await measured(house, "hers", LIKED, "ada", "bread")
    await measured(house, "his", LIKED, "grace", "stars")
    await wait_until_settled(house)
    assert (await teach(house)).figures == {"outcomes": 2}
    assert ("topic", "bread") in await means(house, "one")
    assert ("topic", "bread") not in await means(house, "two")


async def test_a_lesson_whose_answer_was_lost_is_not_learned_twice(house: House) -> None:
    await measured(house, "one", LIKED)
    await wait_until_settled(house)
    house.database.after("store", raising(DatabaseUnavailableError("away")))
    with pytest.raises(DatabaseUnavailableError):
        await teach(house)
    before = await house.database.run(learned.arms, SITE)
    assert (await teach(house)).ending is Ending.NOTHING_TO_DO
    assert await house.database.run(learned.arms, SITE) == before


async def test_a_daemon_that_was_overtaken_teaches_nothing(house: House) -> None:
    await measured(house, "one", LIKED)
    await wait_until_settled(house)
    await new_fence(house.database)
    with pytest.raises(FenceLostError):
        await teach(house)
    assert await means(house) == {}
