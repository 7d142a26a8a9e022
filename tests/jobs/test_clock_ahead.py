"""What was noted while the clock was ahead stops nothing once the clock is right again."""

from datetime import timedelta

import pytest

from orchestrator.db import posts
from orchestrator.errors import SiteRateLimitedError
from orchestrator.jobs.metrics_scraper import measure
from orchestrator.jobs.posting import post_one
from orchestrator.model import Ending
from tests import rows
from tests.jobs.house import House


async def publish(house: House) -> None:
    reference = house.site.accept("ada", "a text")
    await rows.published(house.database, house.stamp(), "a text", reference=reference)


async def test_a_post_that_was_planned_then_goes_out(house: House) -> None:
    house.moment.go(days=365)
    post_id = await house.queued()
    house.moment.go(days=-365)
    assert (await post_one(house.run("posting"), house.tools)).ending is Ending.DONE
    assert await house.state(post_id) == ("published", 1)


async def test_a_post_that_was_put_back_then_goes_out(house: House) -> None:
    post_id = await house.queued()
    house.moment.go(days=365)
    house.site.trouble["submit_post"].append(SiteRateLimitedError("429", retry_in_s=60.0))
    await post_one(house.run("posting"), house.tools)
    house.moment.go(days=-365)
    house.tools.patience.clear()
    assert (await post_one(house.run("posting"), house.tools)).ending is Ending.DONE
    assert (await house.state(post_id))[0] == "published"


async def test_a_post_that_is_planned_for_tomorrow_waits(house: House) -> None:
    tomorrow = rows.draft(due_at=house.moment.now + timedelta(days=1))
    await house.database.run(posts.add, tomorrow, house.stamp())
    assert (await post_one(house.run("posting"), house.tools)).ending is Ending.NOTHING_TO_DO


async def test_what_a_site_asks_for_holds_on_a_fast_clock_however_long_that_looks(house: House) -> None:
    house.run_clock(240)
    await house.queued()
    house.site.trouble["write_post"].append(SiteRateLimitedError("429", retry_in_s=86_400.0))
    assert (await post_one(house.run("posting"), house.tools)).ending is Ending.OVER_BUDGET
    house.moment.go(days=200)
    assert (await post_one(house.run("posting"), house.tools)).ending is Ending.NOTHING_TO_DO


@pytest.mark.parametrize("is_measured", [True, False])
async def test_a_post_of_then_is_measured_again(house: House, *, is_measured: bool) -> None:
    house.moment.go(days=365)
    await publish(house)
    if is_measured:
        await measure(house.run("metrics_scraper", 1), house.tools)
    house.moment.go(days=-365)
    for _ in range(2):
        assert (await measure(house.run("metrics_scraper", 1), house.tools)).figures["pages"] == 1
        house.moment.go(minutes=20)


async def test_a_post_of_then_grows_older_like_any_other(house: House) -> None:
    house.moment.go(days=365)
    await publish(house)
    house.moment.go(days=-365)
    await measure(house.run("metrics_scraper", 1), house.tools)
    house.moment.go(days=1, minutes=1)
    assert (await measure(house.run("metrics_scraper", 1), house.tools)).figures["pages"] == 1
    house.moment.go(minutes=20)
    assert (await measure(house.run("metrics_scraper", 1), house.tools)).ending is Ending.NOTHING_TO_DO


async def test_a_post_that_was_measured_then_is_measured_again(house: House) -> None:
    await publish(house)
    house.moment.go(days=365)
    await measure(house.run("metrics_scraper", 1), house.tools)
    house.moment.go(days=-365)
    assert (await measure(house.run("metrics_scraper", 1), house.tools)).figures["pages"] == 1
