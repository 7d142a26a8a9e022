"""The posting windows know the posts to come, and forget those that are out."""

from datetime import timedelta

from orchestrator.db import posts
from orchestrator.errors import DatabaseUnavailableError, SiteRateLimitedError
from orchestrator.jobs import learn, metrics_scraper, plan, posting, reconciliation
from tests import rows
from tests.jobs.house import House

MINUTE = timedelta(minutes=1)


async def test_a_queued_post_opens_a_window_until_it_is_published(house: House) -> None:
    await house.queued()
    await house.tools.expect_posts()
    assert house.tools.windows.open_at(house.moment.now) is not None
    await posting.job(house.tools).work(house.run("posting"))
    assert house.tools.windows.open_at(house.moment.now) is None


async def test_what_plan_has_queued_opens_windows(house: House) -> None:
    await plan.job(house.tools).work(house.run("plan"))
    [first, *_] = await rows.fetch(house.database, "SELECT due_at FROM posts ORDER BY due_at")
    assert house.tools.windows.open_at(first["due_at"] - MINUTE) is not None


async def test_posts_of_other_accounts_and_long_past_ones_open_none(house: House) -> None:
    await house.queued(account="somebody_else")
    await house.queued("another text")
    house.moment.go(minutes=11)
    due = await house.database.run(posts.expected, ["ada"], house.moment.now - 10 * MINUTE, 100)
    assert due == []


async def test_the_next_posts_come_in_the_order_of_their_due_times(house: House) -> None:
    for number in range(3):
        await house.queued(f"text {number}")
        house.moment.go(minutes=1)
    due = await house.database.run(posts.expected, ["ada"], house.moment.now - 10 * MINUTE, 2)
    assert due == [house.moment.now - 3 * MINUTE, house.moment.now - 2 * MINUTE]


async def test_a_post_that_was_put_back_opens_its_window_when_its_turn_comes(house: House) -> None:
    await house.queued()
    house.site.trouble["submit_post"].append(SiteRateLimitedError("429", retry_in_s=3600.0))
    await posting.job(house.tools).work(house.run("posting"))
    assert house.tools.windows.open_at(house.moment.now) is None
    assert house.tools.windows.open_at(house.moment.now + timedelta(hours=1)) is not None


async def test_a_database_that_is_away_leaves_the_windows_as_they_were(house: House) -> None:
    await house.queued()
    await house.tools.expect_posts()
    house.database.is_down = lambda: DatabaseUnavailableError("away")
    await house.tools.expect_posts()
    assert house.tools.windows.open_at(house.moment.now) is not None


async def test_only_reading_by_the_hundred_waits_for_the_end_of_a_window(house: House) -> None:
    listed = [module.job(house.tools) for module in (plan, posting, metrics_scraper, learn, reconciliation)]
    assert [job.name for job in listed if job.not_in_window] == ["metrics_scraper"]
