"""Every step of a post from state to state, and every refusal of a wrong one, on a real server."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
import trio

from orchestrator import aio
from orchestrator.db import posts
from orchestrator.db.pool import Database, open_database
from orchestrator.db.posts import QueueDepth, Recovered, Stamp
from orchestrator.errors import DatabaseError, FenceLostError, PostStateError
from orchestrator.model import POST_TRANSITIONS, PostState, fingerprint
from orchestrator.settings import DatabaseSettings
from tests import rows
from tests.rows import ACCOUNT, MINUTE, NOON, TODAY, UNLIMITED

LATER = NOON + 5 * MINUTE


@pytest.fixture
async def stamp(database: Database) -> Stamp:
    return Stamp(await rows.take_fence(database), NOON)


# ── the table of transitions ────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Step:
    """A function that makes one step; `call` gets the database, the post and a stamp."""

    name: str
    came_from: PostState
    goes_to: PostState
    call: Callable[[Database, int, Stamp], Awaitable[object]]


def publishing(came_from: PostState) -> Step:
    async def call(db: Database, post_id: int, stamp: Stamp) -> None:
        await db.run(posts.publish, post_id, came_from, "a-reference", stamp)

    return Step("publish", came_from, PostState.PUBLISHED, call)


def failing(came_from: PostState) -> Step:
    async def call(db: Database, post_id: int, stamp: Stamp) -> None:
        await db.run(posts.fail, post_id, came_from, stamp, "why")

    return Step("fail", came_from, PostState.FAILED, call)


def requeueing(came_from: PostState) -> Step:
    async def call(db: Database, post_id: int, stamp: Stamp) -> None:
        await db.run(posts.requeue, post_id, came_from, stamp, LATER, "why")

    return Step("requeue", came_from, PostState.QUEUED, call)


async def doubt(db: Database, post_id: int, stamp: Stamp) -> None:
    await db.run(posts.doubt, post_id, stamp, "why")


async def intend(db: Database, post_id: int, stamp: Stamp) -> None:
    assert await db.run(posts.intend, post_id, stamp, TODAY, UNLIMITED)


STEPS = [
    Step("intend", PostState.CLAIMED, PostState.SUBMITTING, intend),
    publishing(PostState.SUBMITTING),
    publishing(PostState.AMBIGUOUS),
    failing(PostState.CLAIMED),
    failing(PostState.SUBMITTING),
    failing(PostState.AMBIGUOUS),
    requeueing(PostState.CLAIMED),
    requeueing(PostState.SUBMITTING),
    requeueing(PostState.AMBIGUOUS),
    Step("doubt", PostState.SUBMITTING, PostState.AMBIGUOUS, doubt),
]
BY_CLAIMING = (PostState.QUEUED, PostState.CLAIMED)
FROM_DRAFT = {(PostState.DRAFT, PostState.QUEUED), (PostState.DRAFT, PostState.FAILED)}
"""Nothing makes drafts yet: `add` queues at once."""


def step_id(step: object) -> str:
    return f"{step.name}-from-{step.came_from}" if isinstance(step, Step) else str(step)


def test_the_steps_are_all_transitions_of_the_table() -> None:
    made = {(step.came_from, step.goes_to) for step in STEPS} | {BY_CLAIMING} | FROM_DRAFT
    assert made == {(a, b) for a, goes_to in POST_TRANSITIONS.items() for b in goes_to}


@pytest.mark.parametrize("step", STEPS, ids=step_id)
async def test_a_step_from_the_right_state_is_made_and_stamped(
    database: Database, stamp: Stamp, step: Step
) -> None:
    post_id = await rows.in_state(database, step.came_from, stamp)
    mine = Stamp(stamp.fence, LATER)
    await step.call(database, post_id, mine)
    found = await rows.row(database, post_id)
    assert (found["state"], found["state_since"], found["fence"]) == (step.goes_to, LATER, mine.fence)


WRONG = [(step, state) for step in STEPS for state in PostState if state is not step.came_from]


@pytest.mark.parametrize(("step", "state"), WRONG, ids=step_id)
async def test_a_step_from_any_other_state_is_refused_and_changes_nothing(
    database: Database, stamp: Stamp, step: Step, state: PostState
) -> None:
    post_id = await rows.in_state(database, state, stamp)
    before = await rows.row(database, post_id), await rows.counted(database)
    with pytest.raises(PostStateError, match=f"post {post_id} is {state}, not {step.came_from}"):
        await step.call(database, post_id, Stamp(stamp.fence, LATER))
    assert (await rows.row(database, post_id), await rows.counted(database)) == before


@pytest.mark.parametrize("step", STEPS, ids=step_id)
async def test_a_step_of_a_post_that_is_not_there_is_refused(
    database: Database, stamp: Stamp, step: Step
) -> None:
    with pytest.raises(PostStateError, match="post -1 is not there"):
        await step.call(database, -1, stamp)


@pytest.mark.parametrize("step", STEPS, ids=step_id)
async def test_an_old_fence_changes_nothing(database: Database, stamp: Stamp, step: Step) -> None:
    post_id = await rows.in_state(database, step.came_from, stamp)
    before = await rows.row(database, post_id), await rows.counted(database)
    await rows.take_fence(database)
    with pytest.raises(FenceLostError):
        await step.call(database, post_id, Stamp(stamp.fence, LATER))
    assert (await rows.row(database, post_id), await rows.counted(database)) == before


@pytest.mark.parametrize("step", [step for step in STEPS if step.name != "intend"], ids=step_id)
async def test_a_step_whose_answer_was_lost_can_be_made_again(
    database: Database, stamp: Stamp, step: Step
) -> None:
    post_id = await rows.in_state(database, step.came_from, stamp)
    await step.call(database, post_id, Stamp(stamp.fence, LATER))
    once = await rows.row(database, post_id), await rows.counted(database)
    await step.call(database, post_id, Stamp(stamp.fence, LATER))
    assert (await rows.row(database, post_id), await rows.counted(database)) == once


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


# ── putting back ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", [PostState.CLAIMED, PostState.SUBMITTING])
async def test_an_attempt_that_pressed_nothing_is_put_back_with_its_count(
    database: Database, stamp: Stamp, state: PostState
) -> None:
    post_id = await rows.in_state(database, state, stamp)
    await database.run(posts.put_back, post_id, Stamp(stamp.fence, LATER), LATER, "no browser")
    found = await rows.row(database, post_id)
    assert (found["state"], found["due_at"], found["detail"]) == ("queued", LATER, "no browser")
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


# ── what an earlier daemon left, and what is stuck ──────────────────────────────────────────────


async def test_recovery_settles_what_earlier_daemons_left(database: Database, stamp: Stamp) -> None:
    states = sorted(PostState, key=PostState.CLAIMED.__eq__)  # it comes last: claiming frees the others
    ids = {state: await rows.in_state(database, state, stamp, state, f"a-{state}") for state in states}
    before = {found["id"]: found["state"] for found in await rows.all_rows(database)}
    mine = Stamp(await rows.take_fence(database), LATER)
    assert await database.run(posts.recover, mine) == Recovered(requeued=1, ambiguous=1)
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
    assert await database.run(posts.recover, stamp) == Recovered(0, 0)
    assert await rows.all_rows(database) == before


async def test_an_old_daemon_recovers_nothing(database: Database, stamp: Stamp) -> None:
    await rows.in_state(database, PostState.SUBMITTING, stamp)
    old = Stamp(await rows.take_fence(database), NOON)
    await rows.take_fence(database)
    with pytest.raises(FenceLostError):
        await database.run(posts.recover, old)
    with pytest.raises(FenceLostError):
        await database.run(posts.doubt_stuck, old, LATER)
    assert [found["state"] for found in await rows.all_rows(database)] == ["submitting"]


async def test_only_what_has_been_submitting_for_long_is_stuck(database: Database, stamp: Stamp) -> None:
    stuck = await rows.in_state(database, PostState.SUBMITTING, stamp, "stuck")
    recent = await rows.in_state(database, PostState.SUBMITTING, Stamp(stamp.fence, LATER), "recent")
    for state in PostState:
        if state is not PostState.SUBMITTING:
            await rows.in_state(database, state, stamp, f"{state}", f"a-{state}")
    before = {found["id"]: found for found in await rows.all_rows(database)}
    mine = Stamp(stamp.fence, LATER)
    assert await database.run(posts.doubt_stuck, mine, NOON + MINUTE) == 1
    after = {found["id"]: found for found in await rows.all_rows(database)}
    assert {number for number, found in after.items() if found != before[number]} == {stuck}
    assert (after[stuck]["state"], after[stuck]["detail"]) == ("ambiguous", "stuck while submitting")
    assert after[recent]["state"] == "submitting"
    assert await rows.counted(database) == 2


# ── what reconciliation notes ───────────────────────────────────────────────────────────────────


async def test_the_first_miss_is_remembered_until_the_next_attempt(database: Database, stamp: Stamp) -> None:
    post_id = await rows.in_state(database, PostState.AMBIGUOUS, stamp)
    for moment in (LATER, LATER + MINUTE):
        await database.run(posts.note_missed, post_id, Stamp(stamp.fence, moment))
    [(post, missed_at)] = await database.run(posts.ambiguous, [ACCOUNT], 10)
    assert (post.id, missed_at) == (post_id, LATER)
    await database.run(posts.requeue, post_id, PostState.AMBIGUOUS, stamp, NOON, "")
    assert await database.run(posts.claim_due, [ACCOUNT], stamp) is not None
    await database.run(posts.intend, post_id, stamp, TODAY, UNLIMITED)
    await database.run(posts.doubt, post_id, stamp, "again")
    assert [missed for _, missed in await database.run(posts.ambiguous, [ACCOUNT], 10)] == [None]


@pytest.mark.parametrize("state", [state for state in PostState if state is not PostState.AMBIGUOUS])
async def test_notes_are_only_made_on_ambiguous_posts(
    database: Database, stamp: Stamp, state: PostState
) -> None:
    post_id = await rows.in_state(database, state, stamp)
    before = await rows.row(database, post_id)
    await database.run(posts.note_missed, post_id, Stamp(stamp.fence, LATER))
    await database.run(posts.note_unreadable, post_id, stamp, "too long")
    assert await rows.row(database, post_id) == before


async def test_an_old_daemon_makes_no_notes(database: Database, stamp: Stamp) -> None:
    post_id = await rows.in_state(database, PostState.AMBIGUOUS, stamp)
    before = await rows.row(database, post_id)
    await rows.take_fence(database)
    with pytest.raises(FenceLostError):
        await database.run(posts.note_missed, post_id, stamp)
    with pytest.raises(FenceLostError):
        await database.run(posts.note_unreadable, post_id, stamp, "too long")
    assert await rows.row(database, post_id) == before


async def test_ambiguous_posts_come_account_by_account_and_at_the_limit_the_latest(
    database: Database, stamp: Stamp
) -> None:
    for number, account in enumerate(("grace", "ada", "grace", "gone")):
        moment = Stamp(stamp.fence, NOON + number * MINUTE)
        await rows.in_state(database, PostState.AMBIGUOUS, moment, f"text {number}", account)

    async def texts(limit: int) -> list[str]:
        return [post.text for post, _ in await database.run(posts.ambiguous, ["ada", "grace"], limit)]

    assert await texts(10) == ["text 1", "text 0", "text 2"]
    assert await texts(2) == ["text 1", "text 2"]


async def test_known_references_are_those_of_the_account_with_their_moments(
    database: Database, stamp: Stamp
) -> None:
    await rows.published(database, stamp, "one", reference="mine")
    await rows.published(database, stamp, "two", "grace", reference="hers")
    known = await database.run(posts.known_references, ACCOUNT, ["mine", "hers", "nobodys"])
    assert known == {"mine": NOON}


# ── reading ─────────────────────────────────────────────────────────────────────────────────────


async def test_the_depth_counts_what_is_on_its_way_and_what_is_out(database: Database, stamp: Stamp) -> None:
    for number, state in enumerate(PostState):
        await rows.in_state(database, state, stamp, f"text {number}", "grace")
        await rows.execute(database, "UPDATE posts SET account = 'ada' WHERE account = 'grace'")
    assert await database.run(posts.depth, "ada") == QueueDepth(waiting=5, published=1)
    assert await database.run(posts.depth, "grace") == QueueDepth(0, 0)


async def test_recent_texts_leave_out_what_failed(database: Database, stamp: Stamp) -> None:
    await rows.in_state(database, PostState.FAILED, stamp, "refused")
    for text in ("one", "two", "three"):
        await rows.published(database, stamp, text)
    await rows.published(database, stamp, "hers", "grace")
    assert await database.run(posts.recent_texts, [ACCOUNT], 2) == ["three", "two"]
    assert await database.run(posts.recent_texts, [ACCOUNT], 9) == ["three", "two", "one"]


async def test_every_state_is_counted_also_at_zero(database: Database, stamp: Stamp) -> None:
    assert await database.run(posts.count_by_state) == dict.fromkeys(PostState, 0)
    await rows.in_state(database, PostState.AMBIGUOUS, stamp)
    counts = await database.run(posts.count_by_state)
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
    found = await database.run(posts.recent, 5)
    assert [(post.id, seen) for post, seen in found] == [(new, None), (old, (7, 1, 90))]
    assert [post.id for post, _ in await database.run(posts.recent, 1)] == [new]
