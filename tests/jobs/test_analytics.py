"""Analytics: which posts are summed up, once each, and what the sums say."""

from datetime import UTC, date, datetime

import pytest

from orchestrator.db import measurements, rollups
from orchestrator.errors import DatabaseUnavailableError, FenceLostError
from orchestrator.jobs import analytics as job
from orchestrator.jobs.analytics import analyse
from orchestrator.model import Ending, Outcome, PostMetrics
from tests import rows
from tests.fakes_db import raising
from tests.jobs.house import House, new_fence

LIKED, IGNORED = PostMetrics(likes=50, replies=9, views=400), PostMetrics(likes=0, replies=0, views=300)
LONG_AGO = date(2000, 1, 1)


async def sum_up(house: House) -> Outcome:
    return await analyse(house.run(job.NAME, priority=5), house.tools)


async def measured(house: House, text: str, metrics: PostMetrics, account: str = "ada") -> int:
    """A post published now, with what its page shows when it has settled; its id."""
    post_id = await rows.published(house.database, house.stamp(), text, account)
    await read(house, post_id, metrics, after_h=house.tools.settings.learning.settle_h)
    return post_id


async def read(house: House, post_id: int, metrics: PostMetrics, after_h: float) -> None:
    before = house.moment.now
    read_at = house.moment.go(hours=after_h)
    house.moment.now = before
    await house.database.run(measurements.record, [(post_id, metrics)], [], house.tools.fence.number, read_at)


async def sums(house: House, *accounts: str) -> dict[tuple[str, str], rollups.Sum]:
    found = await house.database.run(rollups.sums, list(accounts) or ["ada"], LONG_AGO)
    return {(one.dimension, one.value): one for one in found}


async def test_a_settled_post_counts_for_everything_that_it_was_made_of(house: House) -> None:
    await measured(house, "Tip: let the dough rest.", LIKED)
    outcome = await sum_up(house)
    assert (outcome.ending, outcome.figures) == (Ending.DONE, {"posts": 1})
    found = await sums(house)
    assert set(found) == {
        ("topic", "bread"), ("format", "tip"), ("hour", "12"), ("opening", "label"), ("length", "under 80"),
    }  # fmt: skip
    one = found["format", "tip"]
    assert (one.posts, one.likes, one.replies, one.views, one.score) == (1, 50, 9, 400, 0.5)


async def test_hour_and_day_are_those_of_the_publication_in_the_accounts_zone(house: House) -> None:
    house.moment.now = datetime(2026, 5, 4, 22, 30, tzinfo=UTC)  # 0:30 of the next day in Berlin
    await measured(house, "one", LIKED, "grace")
    await sum_up(house)
    [found] = await rows.fetch(house.database, "SELECT day, hour FROM attributions")
    assert (found["day"], found["hour"]) == (date(2026, 5, 5), 0)


async def test_posts_add_up_and_each_counts_once_however_often_it_runs(house: House) -> None:
    for number in range(3):
        await measured(house, f"one {number}", LIKED)
    await sum_up(house)
    await measured(house, "one more", IGNORED)
    await sum_up(house)
    assert (await sum_up(house)).ending is Ending.NOTHING_TO_DO
    one = (await sums(house))["format", "tip"]
    assert (one.posts, one.likes, one.views) == (4, 150, 1500)
    [held] = await rows.fetch(
        house.database,
        "SELECT count(*) AS posts, sum(score) AS score, sum(score * score) AS squares FROM attributions",
    )
    assert (one.posts, one.score, one.squares) == pytest.approx(
        (held["posts"], held["score"], held["squares"])
    )


async def test_a_post_ranks_among_those_of_its_own_account(house: House) -> None:
    for account in ("ada", "grace"):
        await measured(house, f"ignored by {account}'s", IGNORED, account)
    await sum_up(house)
    house.moment.go(minutes=5)
    await measured(house, "liked", LIKED, "ada")
    await sum_up(house)
    scores = await rows.fetch(house.database, "SELECT account, score FROM attributions ORDER BY post_id")
    assert [(one["account"], one["score"]) for one in scores] == [("ada", 0.5), ("grace", 0.5), ("ada", 0.75)]


async def test_a_post_that_has_not_settled_is_waited_for(house: House) -> None:
    post_id = await rows.published(house.database, house.stamp(), "one")
    await read(house, post_id, LIKED, after_h=house.tools.settings.learning.settle_h * 0.99)
    assert (await sum_up(house)).ending is Ending.NOTHING_TO_DO
    await read(house, post_id, LIKED, after_h=house.tools.settings.learning.settle_h)
    assert (await sum_up(house)).figures == {"posts": 1}


async def test_a_post_that_few_have_seen_is_waited_for_but_not_for_ever(house: House) -> None:
    post_id = await measured(house, "one", PostMetrics(0, 0, views=3))
    assert (await sum_up(house)).ending is Ending.NOTHING_TO_DO
    await read(house, post_id, PostMetrics(0, 0, 3), after_h=4 * house.tools.settings.learning.settle_h)
    assert (await sum_up(house)).figures == {"posts": 1}


async def test_more_posts_than_a_batch_are_summed_up_in_one_run(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "BATCH", 2)
    for number in range(5):
        await measured(house, f"one {number}", LIKED)
    assert (await sum_up(house)).figures == {"posts": 5}


async def test_what_was_summed_up_and_whose_answer_was_lost_counts_once(house: House) -> None:
    await measured(house, "one", LIKED)
    house.database.after("store", raising(DatabaseUnavailableError("away")))
    with pytest.raises(DatabaseUnavailableError):
        await sum_up(house)
    assert (await sum_up(house)).ending is Ending.NOTHING_TO_DO
    assert (await sums(house))["format", "tip"].posts == 1


async def test_a_daemon_that_was_overtaken_sums_nothing_up(house: House) -> None:
    await measured(house, "one", LIKED)
    await new_fence(house.database)
    with pytest.raises(FenceLostError):
        await sum_up(house)
    assert await sums(house) == {}
