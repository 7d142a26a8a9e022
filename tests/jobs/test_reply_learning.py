"""The job reply_learning: replies are measured, and what they earned moves what is answered next."""

from datetime import timedelta

import pytest

from orchestrator.control import lessons as words
from orchestrator.db import learned, opportunities, rollups
from orchestrator.db.opportunities import Found
from orchestrator.db.pool import Database
from orchestrator.jobs import metrics_scraper, opportunity_review, reply_learning
from orchestrator.jobs.metrics_scraper import measure
from orchestrator.jobs.opportunity_review import review
from orchestrator.jobs.posting import post_one
from orchestrator.jobs.reply_learning import learn
from orchestrator.learning.reply_lessons import LEAST_REPLIES, Lessons, key_of
from orchestrator.model import Ending, Outcome, PostKind, PostMetrics
from orchestrator.testing.house import SITE, settings_for
from tests import rows
from tests.fakes import a_job, a_stage
from tests.fakes import make_house as make_stage_house
from tests.jobs.house import House, make_house, new_fence

LIKED, IGNORED = PostMetrics(30, 5, 200), PostMetrics(0, 0, 200)


@pytest.fixture
async def house(database: Database) -> House:
    settings = settings_for(
        opportunities={"waiting_drafts": 50, "author_days": 0}, posting={"replies_need_approval": False}
    )
    return make_house(database, await new_fence(database), settings)


async def look(house: House) -> Outcome:
    return await learn(house.run(reply_learning.NAME, priority=6), house.tools)


async def scrape(house: House) -> Outcome:
    return await measure(house.run(metrics_scraper.NAME, priority=1), house.tools)


async def lessons(house: House) -> Lessons:
    return Lessons.of(await house.tools.recall(house.run(reply_learning.NAME), key_of(SITE)))


async def offered(house: House, topic: str, *numbers: int) -> None:
    """Posts of as many authors on a topic, an hour old, in the pool."""
    at = house.moment.now - timedelta(hours=1)
    found = [
        Found(f"{topic[:4]}{n}", f"{topic}{n}", f"About {topic}", at, 1, 0, None, 0.5, topic, "")
        for n in numbers
    ]
    await house.database.run(opportunities.add, SITE, ["ada", "grace"], found, house.stamp())


async def answered(house: House, topic: str, count: int, metrics: PostMetrics) -> None:
    """So many replies to posts on a topic, published, with what their pages show."""
    for number in range(count):
        await offered(house, topic, number)
        [one] = await house.database.run(opportunities.best, SITE)
        account = ("ada", "grace")[number % 2]
        run = house.run("my_job")
        text = f"answer {number} on {topic}"
        await house.tools.draft_reply(run, account, one.found.reference, text)
        await post_one(house.run("reply_posting"), house.tools, PostKind.REPLIES)
        house.site.metrics[house.site.ledger[-1].reference] = metrics
        await house.database.run(opportunities.settle, SITE, ["ada", "grace"], house.stamp())


async def settle(house: House) -> None:
    house.moment.go(hours=house.tools.settings.learning.settle_h)
    await scrape(house)


async def test_replies_are_measured_like_posts_and_teach_the_bandit_of_posts_nothing(house: House) -> None:
    await answered(house, "cooking", 1, LIKED)
    await settle(house)
    assert house.site.looks == [house.site.ledger[0].reference]
    assert not await house.database.run(learned.candidates, ["ada"], timedelta(), 0, 9)
    assert not await house.database.run(rollups.settled, ["ada"], timedelta(), 0, 9)


async def test_where_replies_have_no_page_of_their_own_they_are_not_measured(house: House) -> None:
    await answered(house, "cooking", 1, LIKED)
    profile = house.tools.accounts["ada"].site.profile
    assert profile.reply is not None
    object.__setattr__(profile.reply, "own_page", False)
    try:
        await settle(house)
        assert house.site.looks == []
    finally:
        object.__setattr__(profile.reply, "own_page", True)


async def test_what_has_earned_more_is_answered_first(house: House) -> None:
    await answered(house, "cooking", 10, IGNORED)
    await answered(house, "gardening", 10, LIKED)
    await settle(house)
    outcome = await look(house)
    assert (outcome.ending, outcome.detail) == (
        Ending.DONE,
        f"{SITE}: 10 of 20 replies got a reaction",
    )
    factors = (await lessons(house)).factors["topic"]
    assert factors["gardening"].factor > 1.1
    assert factors["cooking"].factor < 0.9
    await offered(house, "cooking", 50)
    await offered(house, "gardening", 50)
    await review(house.run(opportunity_review.NAME, priority=5), house.tools)
    new = await rows.fetch(house.database, "SELECT in_reply_to FROM posts WHERE state = 'queued' ORDER BY id")
    assert [one["in_reply_to"] for one in new] == ["gard50", "cook50"]


async def test_too_few_replies_teach_nothing_and_the_outcome_says_how_many_there_are(house: House) -> None:
    await answered(house, "cooking", 2, LIKED)
    await settle(house)
    outcome = await look(house)
    assert (outcome.ending, outcome.detail) == (
        Ending.NOTHING_TO_DO,
        f"2 of {LEAST_REPLIES} replies have settled on {SITE}",
    )
    assert (await look(house)).detail == "no reply has settled since the last look"


async def test_a_reply_that_has_not_settled_or_that_few_have_seen_is_waited_for(house: House) -> None:
    await answered(house, "cooking", 1, LIKED)
    await scrape(house)
    await look(house)
    assert (await lessons(house)).replies == 0
    house.site.metrics = dict.fromkeys(house.site.metrics, PostMetrics(0, 0, 3))
    await settle(house)
    await look(house)
    assert (await lessons(house)).replies == 0
    house.moment.go(hours=3 * house.tools.settings.learning.settle_h)
    await scrape(house)
    await look(house)
    assert (await lessons(house)).replies == 1


async def test_why_says_what_replies_have_taught(house: House) -> None:
    async with a_stage([a_job(reply_learning.NAME)]) as stage:
        shown = make_stage_house(stage, house.database)
        shown.scopes = (SITE,)
        assert await words.lines(shown) == []
        run = house.run(reply_learning.NAME)
        await house.tools.remember(run, key_of(SITE), Lessons(3, 1).note())
        assert await words.lines(shown) == [
            f"Too few replies to learn from have settled on {SITE}: 3 of {LEAST_REPLIES}."
        ]
        await answered(house, "cooking", 10, IGNORED)
        await answered(house, "gardening", 10, LIKED)
        await settle(house)
        await look(house)
        said = await words.lines(shown)
        assert said[0] == f"10 of the latest 20 replies on {SITE} got a reaction."
        assert any(line.startswith("Scores of posts on murmur by their topic: gard") for line in said)
