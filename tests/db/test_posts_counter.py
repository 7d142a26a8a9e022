"""The daily counter: exact at the limit (B4), and given back exactly once."""

from datetime import timedelta

import pytest
import trio

from orchestrator import aio
from orchestrator.db import posts
from orchestrator.db.pool import Database, open_database
from orchestrator.db.posts import Stamp
from orchestrator.errors import PostStateError
from orchestrator.model import PostState
from orchestrator.settings import DatabaseSettings
from tests import rows
from tests.db.steps import LATER, Step, failing, requeueing, step_id
from tests.rows import ACCOUNT, MINUTE, NOON, TODAY, UNLIMITED

# ── the intent and its count (B4) ───────────────────────────────────────────────────────────────


async def test_the_intent_is_written_down_with_its_count(database: Database, stamp: Stamp) -> None:
    post_id = await rows.in_state(database, PostState.CLAIMED, stamp)
    assert await database.run(posts.intend, post_id, Stamp(stamp.fence, LATER), TODAY, 1)
    found = await rows.row(database, post_id)
    assert (found["attempt"], found["submitted_at"], found["counted_on"]) == (1, LATER, TODAY)
    assert await rows.counted(database) == 1


@pytest.mark.parametrize("limit", [0, 1])
async def test_at_the_limit_nothing_changes(database: Database, stamp: Stamp, limit: int) -> None:
    for number in range(limit):
        await rows.published(database, stamp, f"earlier {number}")
    post_id = await rows.in_state(database, PostState.CLAIMED, stamp)
    before = await rows.row(database, post_id)
    assert not await database.run(posts.intend, post_id, Stamp(stamp.fence, LATER), TODAY, limit)
    assert await rows.row(database, post_id) == before
    assert await rows.counted(database) == limit


async def test_a_new_day_and_another_account_count_from_zero(database: Database, stamp: Stamp) -> None:
    tomorrow = TODAY + timedelta(days=1)
    await rows.published(database, stamp, "one")
    again = await rows.in_state(database, PostState.CLAIMED, stamp, "two")
    assert await database.run(posts.intend, again, stamp, tomorrow, 1)
    other = await rows.in_state(database, PostState.CLAIMED, stamp, "three", "grace")
    assert await database.run(posts.intend, other, stamp, TODAY, 1)
    assert await rows.counted(database) == 1
    assert await rows.counted(database, day=tomorrow) == 1
    assert await rows.counted(database, "grace") == 1


async def claimed_many(database: Database, stamp: Stamp, count: int) -> list[int]:
    """Posts that are all claimed, which the one task that claims never lets happen."""
    for number in range(count):
        await rows.queued(database, stamp, f"text {number}")
    await rows.execute(database, "UPDATE posts SET state = 'claimed'")
    return [found["id"] for found in await rows.all_rows(database)]


async def test_64_intents_at_once_count_exactly_to_the_limit_over_midnight(migrated_dsn: str) -> None:
    """B4: a limit is never exceeded, and never missed, with 64 connections that truly run at once."""
    limit, days = 20, (TODAY, TODAY + timedelta(days=1))
    went: dict[int, bool] = {}

    async def intend_one(db: Database, stamp: Stamp, post_id: int) -> None:
        went[post_id] = await db.run(posts.intend, post_id, stamp, days[post_id % 2], limit)

    settings = DatabaseSettings(pool_size=64)
    async with aio.open_bridge(), open_database(migrated_dsn, settings) as db:
        stamp = Stamp(await rows.take_fence(db), NOON)
        claimed = await claimed_many(db, stamp, 64)
        async with trio.open_nursery() as nursery:
            for post_id in claimed:
                nursery.start_soon(intend_one, db, stamp, post_id)
        assert [await rows.counted(db, day=day) for day in days] == [limit, limit]
        states = {found["id"]: found["state"] for found in await rows.all_rows(db)}
    assert sum(went.values()) == 2 * limit
    assert states == {post_id: "submitting" if is_in else "claimed" for post_id, is_in in went.items()}


# ── giving the count back ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "step",
    [
        failing(PostState.SUBMITTING),
        failing(PostState.AMBIGUOUS),
        requeueing(PostState.SUBMITTING),
        requeueing(PostState.AMBIGUOUS),
    ],
    ids=step_id,
)
async def test_what_the_site_did_not_take_is_given_back(database: Database, stamp: Stamp, step: Step) -> None:
    await rows.published(database, stamp, "another one")
    post_id = await rows.in_state(database, step.came_from, stamp)
    assert await rows.counted(database) == 2
    await step.call(database, post_id, Stamp(stamp.fence, LATER))
    assert await rows.counted(database) == 1
    assert (await rows.row(database, post_id))["counted_on"] is None


@pytest.mark.parametrize("state", [PostState.SUBMITTING, PostState.AMBIGUOUS, PostState.PUBLISHED])
async def test_what_the_site_has_or_may_have_stays_counted(
    database: Database, stamp: Stamp, state: PostState
) -> None:
    await rows.in_state(database, state, stamp)
    assert await rows.counted(database) == 1


async def test_a_count_is_given_back_to_the_day_that_it_was_taken_from(
    database: Database, stamp: Stamp
) -> None:
    post_id = await rows.in_state(database, PostState.AMBIGUOUS, stamp)
    tomorrow = Stamp(stamp.fence, NOON + timedelta(days=1))
    await rows.published(database, tomorrow, "of the next day")
    await database.run(posts.requeue, post_id, PostState.AMBIGUOUS, tomorrow, tomorrow.now, "")
    assert await rows.counted(database) == 0
    assert await rows.counted(database, day=tomorrow.now.date()) == 1


@pytest.mark.parametrize(("state", "attempts"), [(PostState.SUBMITTING, 0), (PostState.AMBIGUOUS, 1)])
async def test_an_attempt_is_given_back_once_and_only_when_the_site_did_not_look_at_it(
    database: Database, stamp: Stamp, state: PostState, attempts: int
) -> None:
    post_id = await rows.in_state(database, state, stamp)
    for _ in range(2):  # the answer of the first one was lost
        await database.run(posts.requeue, post_id, state, Stamp(stamp.fence, LATER), LATER, "")
    assert (await rows.row(database, post_id))["attempt"] == attempts
    assert await rows.counted(database) == 0


async def test_of_many_who_give_back_at_once_one_does(database: Database, stamp: Stamp) -> None:
    for number in range(3):
        await rows.published(database, stamp, f"another {number}")
    post_id = await rows.in_state(database, PostState.AMBIGUOUS, stamp)
    refused = 0

    async def requeue(number: int) -> None:
        nonlocal refused
        mine = Stamp(stamp.fence, LATER + number * MINUTE)
        try:
            await database.run(posts.requeue, post_id, PostState.AMBIGUOUS, mine, LATER, "")
        except PostStateError:
            refused += 1

    async with trio.open_nursery() as nursery:
        for number in range(16):
            nursery.start_soon(requeue, number)
    assert (refused, await rows.counted(database)) == (15, 3)


async def test_a_post_is_counted_once_for_each_attempt_that_the_site_took(
    database: Database, stamp: Stamp
) -> None:
    post_id = await rows.in_state(database, PostState.AMBIGUOUS, stamp)
    await database.run(posts.requeue, post_id, PostState.AMBIGUOUS, stamp, NOON, "not there")
    assert await database.run(posts.claim_due, [ACCOUNT], stamp) is not None
    assert await database.run(posts.intend, post_id, stamp, TODAY, UNLIMITED)
    await database.run(posts.publish, post_id, PostState.SUBMITTING, "abcd", stamp)
    assert await rows.counted(database) == 1
    assert (await rows.row(database, post_id))["attempt"] == 2


async def test_64_at_once_who_take_places_and_give_them_back_leave_an_exact_count(migrated_dsn: str) -> None:
    """B4: each takes a place, if there is one, gives it back after a "not now", and asks for one again."""
    limit = 20
    taken: list[int] = []

    async def take_and_give(db: Database, stamp: Stamp, post_id: int) -> None:
        if not await db.run(posts.intend, post_id, stamp, TODAY, limit):
            return
        taken.append(await rows.counted(db))
        if post_id % 2:
            await db.run(posts.doubt, post_id, stamp, "no answer")
        came_from = PostState.AMBIGUOUS if post_id % 2 else PostState.SUBMITTING
        await db.run(posts.requeue, post_id, came_from, stamp, NOON, "not now")
        await rows.execute(db, "UPDATE posts SET state = 'claimed' WHERE id = $1", post_id)
        await db.run(posts.intend, post_id, stamp, TODAY, limit)

    async with aio.open_bridge(), open_database(migrated_dsn, DatabaseSettings(pool_size=64)) as db:
        stamp = Stamp(await rows.take_fence(db), NOON)
        claimed = await claimed_many(db, stamp, 64)
        async with trio.open_nursery() as nursery:
            for post_id in claimed:
                nursery.start_soon(take_and_give, db, stamp, post_id)
        held = [found for found in await rows.all_rows(db) if found["counted_on"] is not None]
        assert await rows.counted(db) == len(held) <= limit
    assert {found["state"] for found in held} == {"submitting"}
    assert max(taken) <= limit
    assert len(taken) >= limit
