"""Which posts are due for a look (A8.1), and what is kept of a look."""

from datetime import timedelta

import pytest

from orchestrator.db import measurements
from orchestrator.db.measurements import DuePost
from orchestrator.db.pool import Database
from orchestrator.db.posts import Stamp
from orchestrator.errors import FenceLostError
from orchestrator.model import PostMetrics, PostState
from tests import rows
from tests.rows import ACCOUNT, NOON

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TICK = timedelta(microseconds=1)
MINUTES_20 = timedelta(minutes=20)
SEEN = PostMetrics(likes=3, replies=1, views=90)


@pytest.fixture
async def fence(database: Database) -> int:
    return await rows.take_fence(database)


async def looked_at(
    database: Database, fence: int, text: str, age: timedelta, since: timedelta | None
) -> int:
    """A post that was published `age` ago and looked at `since` ago (None: never); its id."""
    post_id = await rows.published(database, Stamp(fence, NOON - age), text)
    if since is not None:
        await database.run(measurements.record, [(post_id, SEEN)], [], fence, NOON - since)
    return post_id


async def due(database: Database, limit: int = 100) -> list[int]:
    return [post.id for post in await database.run(measurements.due, ACCOUNT, NOON, limit)]


async def test_a_post_that_was_never_measured_is_due_whatever_its_age(database: Database, fence: int) -> None:
    ids = [await looked_at(database, fence, f"{age}", age, None) for age in (400 * DAY, 3 * DAY, HOUR, TICK)]
    assert await due(database) == ids


@pytest.mark.parametrize(
    ("age", "every"),
    [
        (HOUR, MINUTES_20),
        (DAY - TICK, MINUTES_20),
        (DAY, 2 * HOUR),
        (7 * DAY - TICK, 2 * HOUR),
        (7 * DAY, DAY),
        (90 * DAY, DAY),
    ],
    ids=str,
)
async def test_each_tier_has_its_own_interval_to_the_tick(
    database: Database, fence: int, age: timedelta, every: timedelta
) -> None:
    is_due = await looked_at(database, fence, "due", age, every)
    await looked_at(database, fence, "not yet", age, every - TICK)
    assert await due(database) == [is_due]


async def test_never_measured_posts_come_first_then_young_ones_then_the_most_overdue(
    database: Database, fence: int
) -> None:
    old = await looked_at(database, fence, "old", 30 * DAY, 20 * DAY)
    week = await looked_at(database, fence, "of the week", 3 * DAY, 2 * DAY)
    young_late = await looked_at(database, fence, "young, late", 20 * HOUR, 10 * HOUR)
    young = await looked_at(database, fence, "young", 20 * HOUR, HOUR)
    new = await looked_at(database, fence, "new", HOUR, None)
    older = await looked_at(database, fence, "older and never seen", 50 * DAY, None)
    assert await due(database) == [older, new, young_late, young, week, old]


async def test_the_limit_cuts_what_is_least_urgent(database: Database, fence: int) -> None:
    overdue = [
        await looked_at(database, fence, f"late {n}", HOUR, (30 - n) * timedelta(minutes=1)) for n in range(3)
    ]
    new = [await looked_at(database, fence, f"new {n}", (9 - n) * HOUR, None) for n in range(2)]
    assert await due(database, 4) == [*new, *overdue[:2]]
    assert await due(database, 1) == new[:1]


@pytest.mark.parametrize("state", [state for state in PostState if state is not PostState.PUBLISHED])
async def test_only_published_posts_are_looked_at(database: Database, fence: int, state: PostState) -> None:
    await rows.in_state(database, state, Stamp(fence, NOON - HOUR))
    assert await due(database) == []


async def test_another_accounts_posts_are_not_due(database: Database, fence: int) -> None:
    await rows.published(database, Stamp(fence, NOON - HOUR), "hers", "grace")
    assert await due(database) == []


async def test_a_due_post_comes_with_its_reference(database: Database, fence: int) -> None:
    post_id = await rows.published(database, Stamp(fence, NOON - HOUR), "a text", reference="abcd")
    assert await database.run(measurements.due, ACCOUNT, NOON, 9) == [DuePost(post_id, "abcd")]


# ── recording ───────────────────────────────────────────────────────────────────────────────────


async def test_what_was_seen_is_kept_look_by_look(database: Database, fence: int) -> None:
    post_id = await looked_at(database, fence, "a text", DAY, None)
    looks = [(HOUR, PostMetrics(1, 0, 9)), (timedelta(), PostMetrics(5, 2, 80))]
    for since, seen in looks:
        await database.run(measurements.record, [(post_id, seen)], [], fence, NOON - since)
    found = await rows.fetch(
        database,
        "SELECT read_at, likes, replies, views FROM post_metrics WHERE post_id = $1 ORDER BY read_at",
        post_id,
    )
    assert [tuple(look.values()) for look in found] == [(NOON - HOUR, 1, 0, 9), (NOON, 5, 2, 80)]
    assert (await rows.row(database, post_id))["measured_at"] == NOON


async def test_a_post_that_is_gone_counts_as_looked_at_and_shows_nothing(
    database: Database, fence: int
) -> None:
    post_id = await looked_at(database, fence, "a text", HOUR, None)
    await database.run(measurements.record, [], [post_id], fence, NOON)
    assert await rows.fetch(database, "SELECT * FROM post_metrics") == []
    assert (await rows.row(database, post_id))["measured_at"] == NOON
    assert await due(database) == []


async def test_a_record_that_is_made_twice_counts_once(database: Database, fence: int) -> None:
    post_id = await looked_at(database, fence, "a text", HOUR, None)
    for _ in range(2):
        await database.run(measurements.record, [(post_id, SEEN)], [], fence, NOON)
    assert len(await rows.fetch(database, "SELECT * FROM post_metrics")) == 1


async def test_an_old_daemon_records_nothing(database: Database, fence: int) -> None:
    post_id = await looked_at(database, fence, "a text", HOUR, None)
    await rows.take_fence(database)
    with pytest.raises(FenceLostError):
        await database.run(measurements.record, [(post_id, SEEN)], [], fence, NOON)
    assert await rows.fetch(database, "SELECT * FROM post_metrics") == []
    assert (await rows.row(database, post_id))["measured_at"] is None
