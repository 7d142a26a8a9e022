"""Posts: queueing, claiming, putting back, publishing, and what is read of them, on a real server."""

from datetime import timedelta

import pytest
import trio

from orchestrator.db import post_figures, posts
from orchestrator.db.pool import Database
from orchestrator.db.posts import QueueDepth, Stamp
from orchestrator.errors import DatabaseError, FenceLostError, PostStateError
from orchestrator.model import PostState, fingerprint
from tests import rows
from tests.db.steps import BY_CLAIMING, LATER
from tests.rows import ACCOUNT, MINUTE, NOON

# ── queueing ────────────────────────────────────────────────────────────────────────────────────


async def test_a_new_post_is_queued_with_all_that_the_draft_says(database: Database, stamp: Stamp) -> None:
    draft = rows.draft("Bread  rises\nslowly", due_at=LATER, hour=7)
    post_id = await database.run(posts.add, draft, stamp)
    assert post_id is not None
    found = await rows.row(database, post_id)
    assert found["state"] == "queued"
    assert found["text"] == "Bread  rises\nslowly"
    assert found["fingerprint"] == fingerprint("Bread rises slowly")
    assert (found["topic"], found["format"], found["hour"]) == ("bread", "tip", 7)
    assert (found["due_at"], found["created_at"], found["state_since"]) == (LATER, NOON, NOON)
    assert (found["attempt"], found["reference"], found["counted_on"]) == (0, None, None)


@pytest.mark.parametrize("state", [state for state in PostState if state is not PostState.FAILED])
async def test_the_same_text_is_taken_once_for_an_account(
    database: Database, stamp: Stamp, state: PostState
) -> None:
    await rows.in_state(database, state, stamp, "Bread rises")
    assert await database.run(posts.add, rows.draft(" Bread\n rises "), stamp) is None
    assert len(await rows.all_rows(database)) == 1


async def test_a_text_that_the_site_refused_may_be_written_again(database: Database, stamp: Stamp) -> None:
    await rows.in_state(database, PostState.FAILED, stamp, "Bread rises")
    assert await database.run(posts.add, rows.draft("Bread rises"), stamp) is not None


async def test_two_accounts_may_have_the_same_text(database: Database, stamp: Stamp) -> None:
    for account in ("ada", "grace"):
        assert await database.run(posts.add, rows.draft("Bread rises", account), stamp) is not None


async def test_of_many_who_add_the_same_text_at_once_one_succeeds(database: Database, stamp: Stamp) -> None:
    added: list[int | None] = []

    async def add() -> None:
        added.append(await database.run(posts.add, rows.draft("Bread rises"), stamp))

    async with trio.open_nursery() as nursery:
        for _ in range(16):
            nursery.start_soon(add)
    assert len([post_id for post_id in added if post_id is not None]) == 1


async def test_nothing_is_queued_with_an_old_fence(database: Database, stamp: Stamp) -> None:
    await rows.take_fence(database)
    with pytest.raises(FenceLostError):
        await database.run(posts.add, rows.draft(), stamp)
    assert await rows.all_rows(database) == []


# ── claiming ────────────────────────────────────────────────────────────────────────────────────


async def test_the_oldest_due_post_is_claimed(database: Database, stamp: Stamp) -> None:
    for text, due_at in (("second", NOON - MINUTE), ("first", NOON - 2 * MINUTE), ("later", NOON + MINUTE)):
        await database.run(posts.add, rows.draft(text, due_at=due_at), stamp)
    post = await database.run(posts.claim_due, [ACCOUNT], stamp)
    assert post is not None
    assert (post.text, post.state, post.attempt) == ("first", PostState.CLAIMED, 0)
    found = await rows.row(database, post.id)
    assert (found["state"], found["state_since"], found["fence"]) == ("claimed", NOON, stamp.fence)


async def test_a_post_is_due_from_its_very_moment_on(database: Database, stamp: Stamp) -> None:
    await database.run(posts.add, rows.draft(due_at=NOON), stamp)
    early = Stamp(stamp.fence, NOON - timedelta(microseconds=1))
    assert await database.run(posts.claim_due, [ACCOUNT], early) is None
    assert await database.run(posts.claim_due, [ACCOUNT], stamp) is not None


async def test_only_posts_of_the_accounts_at_hand_are_claimed(database: Database, stamp: Stamp) -> None:
    await rows.queued(database, stamp, account="grace")
    assert await database.run(posts.claim_due, ["ada"], stamp) is None
    assert await database.run(posts.claim_due, [], stamp) is None
    assert await database.run(posts.claim_due, ["ada", "grace"], stamp) is not None


@pytest.mark.parametrize("state", [state for state in PostState if state not in BY_CLAIMING])
async def test_a_post_in_another_state_is_not_claimed(
    database: Database, stamp: Stamp, state: PostState
) -> None:
    await rows.in_state(database, state, stamp)
    before = await rows.all_rows(database)
    assert await database.run(posts.claim_due, [ACCOUNT], Stamp(stamp.fence, LATER)) is None
    assert await rows.all_rows(database) == before


async def test_a_post_that_a_run_left_claimed_is_claimed_again(database: Database, stamp: Stamp) -> None:
    left = await rows.in_state(database, PostState.CLAIMED, stamp)
    post = await database.run(posts.claim_due, [ACCOUNT], Stamp(stamp.fence, LATER))
    assert post is not None
    assert post.id == left


async def test_nothing_is_claimed_with_an_old_fence(database: Database, stamp: Stamp) -> None:
    await rows.queued(database, stamp)
    await rows.take_fence(database)
    with pytest.raises(FenceLostError):
        await database.run(posts.claim_due, [ACCOUNT], stamp)
    assert [found["state"] for found in await rows.all_rows(database)] == ["queued"]


# ── putting back ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", [PostState.CLAIMED, PostState.SUBMITTING])
async def test_an_attempt_that_pressed_nothing_is_put_back_with_its_count(
    database: Database, stamp: Stamp, state: PostState
) -> None:
    post_id = await rows.in_state(database, state, stamp)
    await database.run(posts.put_back, post_id, Stamp(stamp.fence, LATER), LATER, "no browser")
    found = await rows.row(database, post_id)
    assert (found["state"], found["not_before"], found["detail"]) == ("queued", LATER, "no browser")
    assert found["due_at"] == NOON
    assert await rows.counted(database) == 0


@pytest.mark.parametrize(
    "state", [state for state in PostState if state not in (PostState.CLAIMED, PostState.SUBMITTING)]
)
async def test_nothing_else_can_be_put_back(database: Database, stamp: Stamp, state: PostState) -> None:
    post_id = await rows.in_state(database, state, stamp)
    before = await rows.row(database, post_id)
    with pytest.raises(PostStateError):
        await database.run(posts.put_back, post_id, Stamp(stamp.fence, LATER), LATER, "")
    assert await rows.row(database, post_id) == before


async def test_nothing_is_put_back_with_an_old_fence(database: Database, stamp: Stamp) -> None:
    post_id = await rows.in_state(database, PostState.SUBMITTING, stamp)
    await rows.take_fence(database)
    with pytest.raises(FenceLostError):
        await database.run(posts.put_back, post_id, stamp, LATER, "")
    assert (await rows.row(database, post_id))["state"] == "submitting"


async def put_back(database: Database, stamp: Stamp, text: str, detail: str) -> int:
    """A post that goes back into the queue until later; its id."""
    post_id = await rows.in_state(database, PostState.CLAIMED, stamp, text)
    await database.run(posts.put_back, post_id, stamp, LATER, detail)
    return post_id


async def test_a_post_that_was_put_back_has_its_turn_when_both_its_moments_have_come(
    database: Database, stamp: Stamp
) -> None:
    waits = await put_back(database, stamp, "was due first", "not now")
    others = []
    for minutes in (1, 6):
        due_at = NOON + minutes * MINUTE
        others.append(await database.run(posts.add, rows.draft(f"due {minutes}", due_at=due_at), stamp))
    order = []
    for minutes in (1, 4, 5, 6):
        mine = Stamp(stamp.fence, NOON + minutes * MINUTE)
        post = await database.run(posts.claim_due, [ACCOUNT], mine)
        order.append(post and post.id)
        if post is not None:
            await database.run(posts.fail, post.id, PostState.CLAIMED, mine, "no")
    assert order == [others[0], None, waits, others[1]]


async def test_a_post_that_was_put_back_is_overdue_since_it_was_due_but_not_while_it_waits(
    database: Database, stamp: Stamp
) -> None:
    await put_back(database, stamp, "one", "not now")
    early = LATER - timedelta(microseconds=1)
    assert await database.run(post_figures.oldest_due, [ACCOUNT], early) is None
    assert await database.run(post_figures.oldest_due, [ACCOUNT], LATER) == NOON


async def test_a_post_that_is_postponed_is_planned_anew_and_not_overdue(
    database: Database, stamp: Stamp
) -> None:
    post_id = await put_back(database, stamp, "one", "not now")
    later = Stamp(stamp.fence, LATER)
    assert await database.run(posts.claim_due, [ACCOUNT], later) is not None
    tomorrow = NOON + timedelta(days=1)
    await database.run(posts.postpone, post_id, later, tomorrow, "the limit is reached")
    found = await rows.row(database, post_id)
    assert (found["state"], found["due_at"], found["not_before"]) == ("queued", tomorrow, None)
    assert await database.run(post_figures.oldest_due, [ACCOUNT], tomorrow) == tomorrow


async def test_posts_that_are_put_off_are_counted_with_the_reason_of_the_first(
    database: Database, stamp: Stamp
) -> None:
    assert await database.run(post_figures.put_off, [ACCOUNT]) == (0, "")
    await put_back(database, stamp, "one", f"{posts.PUT_OFF}wrong password")
    await put_back(database, stamp, "two", f"{posts.PUT_OFF}wrong password")
    await put_back(database, stamp, "three", "the browser died")
    await rows.in_state(database, PostState.FAILED, stamp, "four")
    assert await database.run(post_figures.put_off, [ACCOUNT]) == (2, "wrong password")
    assert await database.run(post_figures.put_off, ["others"]) == (0, "")  # that nobody posts for


async def test_a_post_that_is_claimed_again_is_put_off_no_more(database: Database, stamp: Stamp) -> None:
    post_id = await put_back(database, stamp, "one", f"{posts.PUT_OFF}wrong password")
    assert await database.run(posts.claim_due, [ACCOUNT], stamp) is None
    later = Stamp(stamp.fence, LATER)
    assert await database.run(posts.claim_due, [ACCOUNT], later) is not None
    assert await database.run(post_figures.put_off, [ACCOUNT]) == (0, "")
    await database.run(posts.intend, post_id, later, LATER.date(), rows.UNLIMITED)
    await database.run(posts.publish, post_id, PostState.SUBMITTING, "abcd", later)
    assert await database.run(post_figures.put_off, [ACCOUNT]) == (0, "")


async def test_only_posts_that_are_put_off_can_be_hastened(database: Database, stamp: Stamp) -> None:
    put_off = await put_back(database, stamp, "one", f"{posts.PUT_OFF}wrong password")
    other = await put_back(database, stamp, "two", "the limit of 3 posts a day is reached")
    await database.run(posts.hasten, stamp)
    waits = {found["id"]: found["not_before"] for found in await rows.all_rows(database)}
    assert waits == {put_off: NOON, other: LATER}
    await rows.take_fence(database)
    with pytest.raises(FenceLostError):
        await database.run(posts.hasten, stamp)


# ── publishing ──────────────────────────────────────────────────────────────────────────────────


async def test_a_published_post_has_its_reference_and_moment(database: Database, stamp: Stamp) -> None:
    post_id = await rows.in_state(database, PostState.SUBMITTING, stamp)
    await database.run(posts.publish, post_id, PostState.SUBMITTING, "abcd", Stamp(stamp.fence, LATER))
    found = await rows.row(database, post_id)
    assert (found["reference"], found["published_at"]) == ("abcd", LATER)


async def test_one_reference_never_belongs_to_two_posts_of_an_account(
    database: Database, stamp: Stamp
) -> None:
    await rows.published(database, stamp, "one", reference="abcd")
    post_id = await rows.in_state(database, PostState.SUBMITTING, stamp, "two")
    with pytest.raises(DatabaseError):
        await database.run(posts.publish, post_id, PostState.SUBMITTING, "abcd", stamp)
    assert (await rows.row(database, post_id))["state"] == "submitting"


async def test_a_published_post_keeps_its_first_reference(database: Database, stamp: Stamp) -> None:
    post_id = await rows.published(database, stamp, "one", reference="abcd")
    for came_from in (PostState.SUBMITTING, PostState.AMBIGUOUS):
        with pytest.raises(PostStateError):
            await database.run(posts.publish, post_id, came_from, "other", Stamp(stamp.fence, LATER))
    assert (await rows.row(database, post_id))["reference"] == "abcd"


# ── reading ─────────────────────────────────────────────────────────────────────────────────────


async def test_the_depth_counts_what_is_on_its_way_and_what_is_out(database: Database, stamp: Stamp) -> None:
    for number, state in enumerate(PostState):
        await rows.in_state(database, state, stamp, f"text {number}", "grace")
        await rows.execute(database, "UPDATE posts SET account = 'ada' WHERE account = 'grace'")
    depths = await database.run(posts.depths, ["ada", "grace"])
    assert depths == {"ada": QueueDepth(waiting=4, published=1), "grace": QueueDepth(0, 0)}


async def test_recent_texts_leave_out_what_failed(database: Database, stamp: Stamp) -> None:
    await rows.in_state(database, PostState.FAILED, stamp, "refused")
    for text in ("one", "two", "three"):
        await rows.published(database, stamp, text)
    await rows.published(database, stamp, "hers", "grace")
    assert await database.run(posts.recent_texts, [ACCOUNT], 2) == ["three", "two"]
    assert await database.run(posts.recent_texts, [ACCOUNT], 9) == ["three", "two", "one"]


async def test_every_state_is_counted_also_at_zero(database: Database, stamp: Stamp) -> None:
    assert await database.run(post_figures.count_by_state) == dict.fromkeys(PostState, 0)
    await rows.in_state(database, PostState.AMBIGUOUS, stamp)
    counts = await database.run(post_figures.count_by_state)
    assert counts == dict.fromkeys(PostState, 0) | {PostState.AMBIGUOUS: 1}


async def test_recent_posts_come_newest_first_with_their_latest_metrics(
    database: Database, stamp: Stamp
) -> None:
    old = await rows.published(database, stamp, "old")
    new = await rows.published(database, Stamp(stamp.fence, LATER), "new")
    for minutes, likes in ((1, 3), (9, 7), (5, 5)):
        await rows.execute(
            database,
            "INSERT INTO post_metrics VALUES ($1, $2, $3, 1, 90)",
            old,
            NOON + minutes * MINUTE,
            likes,
        )
    found = await database.run(post_figures.recent, 5)
    assert [(post.id, seen) for post, seen in found] == [(new, None), (old, (7, 1, 90))]
    assert [post.id for post, _ in await database.run(post_figures.recent, 1)] == [new]


async def test_a_post_that_changed_is_recent_however_long_ago_it_was_written(
    database: Database, stamp: Stamp
) -> None:
    first = await rows.in_state(database, PostState.SUBMITTING, stamp, "first")
    others = [await rows.queued(database, Stamp(stamp.fence, NOON + MINUTE), f"text {n}") for n in range(3)]
    await database.run(posts.doubt, first, Stamp(stamp.fence, LATER), "no answer")
    found = await database.run(post_figures.recent, 2)
    assert [post.id for post, _ in found] == [first, others[2]]
