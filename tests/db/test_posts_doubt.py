"""What earlier daemons left, what is stuck, and what reconciliation notes of it."""

import pytest

from orchestrator.db import doubts, posts
from orchestrator.db.doubts import Recovered
from orchestrator.db.pool import Database
from orchestrator.db.posts import Stamp
from orchestrator.errors import FenceLostError
from orchestrator.model import PostState
from tests import rows
from tests.db.steps import LATER
from tests.rows import ACCOUNT, MINUTE, NOON, TODAY, UNLIMITED

# ── what an earlier daemon left, and what is stuck ──────────────────────────────────────────────


async def test_recovery_settles_what_earlier_daemons_left(database: Database, stamp: Stamp) -> None:
    states = sorted(PostState, key=PostState.CLAIMED.__eq__)  # it comes last: claiming frees the others
    ids = {state: await rows.in_state(database, state, stamp, state, f"a-{state}") for state in states}
    before = {found["id"]: found["state"] for found in await rows.all_rows(database)}
    mine = Stamp(await rows.take_fence(database), LATER)
    assert await database.run(doubts.recover, mine) == Recovered(requeued=1, ambiguous=1)
    after = {found["id"]: found["state"] for found in await rows.all_rows(database)}
    changed = {ids[PostState.CLAIMED]: "queued", ids[PostState.SUBMITTING]: "ambiguous"}
    assert after == before | changed
    left = await rows.row(database, ids[PostState.SUBMITTING])
    assert (left["fence"], left["state_since"]) == (mine.fence, LATER)
    assert "the daemon ended" in left["detail"]
    assert await rows.counted(database, f"a-{PostState.SUBMITTING}") == 1


async def test_recovery_leaves_the_present_daemons_own_posts_alone(database: Database, stamp: Stamp) -> None:
    await rows.in_state(database, PostState.SUBMITTING, stamp, "one")
    await rows.in_state(database, PostState.CLAIMED, stamp, "two")
    before = await rows.all_rows(database)
    assert await database.run(doubts.recover, stamp) == Recovered(0, 0)
    assert await rows.all_rows(database) == before


async def test_an_old_daemon_recovers_nothing(database: Database, stamp: Stamp) -> None:
    await rows.in_state(database, PostState.SUBMITTING, stamp)
    old = Stamp(await rows.take_fence(database), NOON)
    await rows.take_fence(database)
    with pytest.raises(FenceLostError):
        await database.run(doubts.recover, old)
    with pytest.raises(FenceLostError):
        await database.run(doubts.doubt_stuck, old, LATER)
    assert [found["state"] for found in await rows.all_rows(database)] == ["submitting"]


async def test_only_what_has_been_submitting_for_long_is_stuck(database: Database, stamp: Stamp) -> None:
    stuck = await rows.in_state(database, PostState.SUBMITTING, stamp, "stuck")
    recent = await rows.in_state(database, PostState.SUBMITTING, Stamp(stamp.fence, LATER), "recent")
    for state in PostState:
        if state is not PostState.SUBMITTING:
            await rows.in_state(database, state, stamp, f"{state}", f"a-{state}")
    before = {found["id"]: found for found in await rows.all_rows(database)}
    mine = Stamp(stamp.fence, LATER)
    assert await database.run(doubts.doubt_stuck, mine, NOON + MINUTE) == 1
    after = {found["id"]: found for found in await rows.all_rows(database)}
    assert {number for number, found in after.items() if found != before[number]} == {stuck}
    assert (after[stuck]["state"], after[stuck]["detail"]) == ("ambiguous", "stuck while submitting")
    assert after[recent]["state"] == "submitting"
    assert await rows.counted(database) == 2


async def test_doubt_since_a_moment_yet_to_come_is_doubt_since_now(database: Database, stamp: Stamp) -> None:
    ahead = Stamp(stamp.fence, LATER)
    submitting = await rows.in_state(database, PostState.SUBMITTING, ahead, "one")
    missed = await rows.in_state(database, PostState.AMBIGUOUS, ahead, "two")
    await database.run(doubts.note_missed, missed, ahead)
    queued = await rows.queued(database, ahead, "three")
    before = await rows.row(database, queued)
    assert await database.run(doubts.doubt_stuck, stamp, NOON - MINUTE) == 0
    for post_id in (submitting, missed):
        found = await rows.row(database, post_id)
        assert (found["state_since"], found["submitted_at"]) == (NOON, NOON)
    assert (await rows.row(database, submitting))["missed_at"] is None
    assert (await rows.row(database, missed))["missed_at"] == NOON
    assert await rows.row(database, queued) == before


# ── what reconciliation notes ───────────────────────────────────────────────────────────────────


async def test_the_first_miss_is_remembered_until_the_next_attempt(database: Database, stamp: Stamp) -> None:
    post_id = await rows.in_state(database, PostState.AMBIGUOUS, stamp)
    for moment in (LATER, LATER + MINUTE):
        await database.run(doubts.note_missed, post_id, Stamp(stamp.fence, moment))
    [(post, missed_at)] = await database.run(doubts.ambiguous, [ACCOUNT], 10)
    assert (post.id, missed_at) == (post_id, LATER)
    await database.run(posts.requeue, post_id, PostState.AMBIGUOUS, stamp, NOON, "")
    assert await database.run(posts.claim_due, [ACCOUNT], stamp) is not None
    await database.run(posts.intend, post_id, stamp, TODAY, UNLIMITED)
    await database.run(posts.doubt, post_id, stamp, "again")
    assert [missed for _, missed in await database.run(doubts.ambiguous, [ACCOUNT], 10)] == [None]


@pytest.mark.parametrize("state", [state for state in PostState if state is not PostState.AMBIGUOUS])
async def test_notes_are_only_made_on_ambiguous_posts(
    database: Database, stamp: Stamp, state: PostState
) -> None:
    post_id = await rows.in_state(database, state, stamp)
    before = await rows.row(database, post_id)
    await database.run(doubts.note_missed, post_id, Stamp(stamp.fence, LATER))
    await database.run(doubts.note_unreadable, post_id, stamp, "too long")
    assert await rows.row(database, post_id) == before


async def test_an_old_daemon_makes_no_notes(database: Database, stamp: Stamp) -> None:
    post_id = await rows.in_state(database, PostState.AMBIGUOUS, stamp)
    before = await rows.row(database, post_id)
    await rows.take_fence(database)
    with pytest.raises(FenceLostError):
        await database.run(doubts.note_missed, post_id, stamp)
    with pytest.raises(FenceLostError):
        await database.run(doubts.note_unreadable, post_id, stamp, "too long")
    assert await rows.row(database, post_id) == before


async def test_ambiguous_posts_come_account_by_account_and_of_each_the_latest_up_to_the_limit(
    database: Database, stamp: Stamp
) -> None:
    for number, account in enumerate(("grace", "ada", "grace", "gone")):
        moment = Stamp(stamp.fence, NOON + number * MINUTE)
        await rows.in_state(database, PostState.AMBIGUOUS, moment, f"text {number}", account)

    async def texts(limit: int) -> list[str]:
        return [post.text for post, _ in await database.run(doubts.ambiguous, ["ada", "grace"], limit)]

    assert await texts(10) == ["text 1", "text 0", "text 2"]
    assert await texts(1) == ["text 1", "text 2"]


async def test_known_references_are_those_of_the_account_with_their_moments(
    database: Database, stamp: Stamp
) -> None:
    await rows.published(database, stamp, "one", reference="mine")
    await rows.published(database, stamp, "two", "grace", reference="hers")
    known = await database.run(posts.known_references, ACCOUNT, ["mine", "hers", "nobodys"])
    assert known == {"mine": NOON}
