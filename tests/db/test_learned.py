"""What is learned from, once for each post, and the arms that it moves."""

from datetime import timedelta

import pytest

from orchestrator.db import learned, measurements
from orchestrator.db.learned import Candidate, Lesson
from orchestrator.db.pool import Database
from orchestrator.db.posts import Stamp
from orchestrator.errors import DatabaseError, FenceLostError
from orchestrator.model import Arms, PostMetrics, PostState
from tests import rows
from tests.rows import ACCOUNT, NOON

HOUR = timedelta(hours=1)
SITE = "murmur"
SEEN = PostMetrics(likes=3, replies=1, views=90)


@pytest.fixture
async def fence(database: Database) -> int:
    return await rows.take_fence(database)


async def measured(
    database: Database, fence: int, text: str, age: timedelta = HOUR, account: str = ACCOUNT
) -> int:
    """A post published `age` ago with one look at it, just now; its id."""
    post_id = await rows.published(database, Stamp(fence, NOON - age), text, account)
    await database.run(measurements.record, [(post_id, SEEN)], [], fence, NOON)
    return post_id


async def candidates(database: Database, limit: int = 100, settle: timedelta = timedelta()) -> list[int]:
    found = await database.run(learned.candidates, [ACCOUNT], settle, 10, limit)
    return [candidate.post_id for candidate in found]


async def test_a_candidate_has_its_arms_and_its_latest_metrics(database: Database, fence: int) -> None:
    post_id = await measured(database, fence, "a text")
    latest = PostMetrics(8, 2, 200)
    await database.run(measurements.record, [(post_id, latest)], [], fence, NOON + HOUR)
    await database.run(measurements.record, [(post_id, SEEN)], [], fence, NOON - HOUR / 4)
    [candidate] = await database.run(learned.candidates, [ACCOUNT], HOUR, 10, 100)
    bread = Arms("bread", "tip", 9)
    assert candidate == Candidate(post_id, ACCOUNT, bread, NOON - HOUR, latest, NOON + HOUR)


async def test_candidates_come_oldest_first_up_to_the_limit(database: Database, fence: int) -> None:
    ids = [await measured(database, fence, f"{hours}", hours * HOUR) for hours in (3, 9, 1)]
    assert await candidates(database) == [ids[1], ids[0], ids[2]]
    assert await candidates(database, limit=2) == [ids[1], ids[0]]


async def test_at_the_limit_posts_that_few_have_seen_give_way(database: Database, fence: int) -> None:
    unseen, seen = (
        await measured(database, fence, "unseen", 9 * HOUR),
        await measured(database, fence, "seen"),
    )
    await database.run(measurements.record, [(unseen, PostMetrics(0, 0, 9))], [], fence, NOON + HOUR)
    assert await candidates(database, limit=1) == [seen]
    assert await candidates(database, limit=2) == [unseen, seen]


async def test_a_post_is_a_candidate_when_it_was_read_at_that_age(database: Database, fence: int) -> None:
    post_id = await measured(database, fence, "a text", HOUR)
    assert await candidates(database, settle=HOUR) == [post_id]
    assert await candidates(database, settle=HOUR + timedelta(microseconds=1)) == []


async def test_unmeasured_learned_and_unpublished_posts_are_none(database: Database, fence: int) -> None:
    await rows.published(database, Stamp(fence, NOON - HOUR), "never measured")
    post_id = await measured(database, fence, "learned")
    await database.run(learned.store, SITE, [Lesson(post_id, 0.5, SEEN)], [], fence, NOON)
    await measured(database, fence, "hers", account="grace")
    for state in PostState:
        if state is not PostState.PUBLISHED:
            await rows.in_state(database, state, Stamp(fence, NOON - HOUR), state, state)
            await rows.execute(database, "UPDATE posts SET account = $1 WHERE account = $2", ACCOUNT, state)
    assert await candidates(database) == []


# ── storing ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_lesson_is_kept_with_the_arms_that_it_moved(database: Database, fence: int) -> None:
    post_id = await measured(database, fence, "a text")
    arms = [("format", "tip", 1.5, 1.5), ("topic", "bread", 2.5, 1.0)]
    await database.run(learned.store, SITE, [Lesson(post_id, 0.75, SEEN)], arms, fence, NOON)
    assert await database.run(learned.arms, SITE) == arms
    assert await database.run(learned.arms, "another site") == []
    assert await database.run(learned.count_outcomes) == 1
    assert (await rows.row(database, post_id))["learned_at"] == NOON
    [outcome] = await rows.fetch(database, "SELECT scope, reward, likes, replies, views FROM outcomes")
    assert tuple(outcome.values()) == (SITE, 0.75, 3, 1, 90)


async def test_an_arm_is_replaced_by_what_it_has_become(database: Database, fence: int) -> None:
    for alpha in (2.0, 3.0):
        await database.run(learned.store, SITE, [], [("topic", "bread", alpha, 1.0)], fence, NOON)
    assert await database.run(learned.arms, SITE) == [("topic", "bread", 3.0, 1.0)]


async def test_no_post_teaches_twice_and_the_second_lesson_moves_no_arm(
    database: Database, fence: int
) -> None:
    first, second = await measured(database, fence, "one"), await measured(database, fence, "two")
    arms = [("topic", "bread", 2.0, 1.0)]
    await database.run(learned.store, SITE, [Lesson(first, 1.0, SEEN)], arms, fence, NOON)
    again = [Lesson(second, 1.0, SEEN), Lesson(first, 1.0, SEEN)]
    with pytest.raises(DatabaseError):
        await database.run(learned.store, SITE, again, [("topic", "bread", 9.0, 1.0)], fence, NOON)
    assert await database.run(learned.arms, SITE) == arms
    assert await database.run(learned.count_outcomes) == 1
    assert await candidates(database) == [second]


async def test_an_old_daemon_teaches_nothing(database: Database, fence: int) -> None:
    post_id = await measured(database, fence, "a text")
    await rows.take_fence(database)
    with pytest.raises(FenceLostError):
        await database.run(
            learned.store, SITE, [Lesson(post_id, 1.0, SEEN)], [("topic", "bread", 2.0, 1.0)], fence, NOON
        )
    assert await database.run(learned.arms, SITE) == []
    assert await candidates(database) == [post_id]


async def test_the_history_is_the_accounts_latest_lessons_newest_first(
    database: Database, fence: int
) -> None:
    seen = [PostMetrics(number, 0, 10) for number in range(4)]
    for number, metrics in enumerate(seen):
        post_id = await measured(database, fence, f"text {number}")
        moment = NOON + number // 2 * HOUR  # two at the same moment, twice
        await database.run(learned.store, SITE, [Lesson(post_id, 0.5, metrics)], [], fence, moment)
    hers = await measured(database, fence, "hers", account="grace")
    await database.run(learned.store, SITE, [Lesson(hers, 0.5, SEEN)], [], fence, NOON)
    await measured(database, fence, "not learned from yet")
    histories = await database.run(learned.histories, [ACCOUNT, "grace", "nobody"], 3)
    assert histories == {ACCOUNT: [seen[3], seen[2], seen[1]], "grace": [SEEN], "nobody": []}
