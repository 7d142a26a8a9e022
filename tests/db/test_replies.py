"""Replies in the table of posts: drafts, decisions, one for each target, and a count of their own."""

import pytest
import trio

from orchestrator import aio
from orchestrator.db import decisions, doubts, posts
from orchestrator.db.decisions import Approval
from orchestrator.db.pool import Database, open_database
from orchestrator.db.posts import Stamp
from orchestrator.errors import DatabaseError, PostStateError
from orchestrator.model import PostKind, PostState, ReplyDraft
from orchestrator.settings import DatabaseSettings
from tests import rows
from tests.rows import ACCOUNT, TODAY


async def draft(database: Database, stamp: Stamp, target: str = "r1", text: str = "an answer") -> int:
    return await database.run(posts.add_reply, ReplyDraft(ACCOUNT, target, text, "a person"), stamp)


async def approved(database: Database, stamp: Stamp, target: str = "r1", text: str = "an answer") -> int:
    post_id = await draft(database, stamp, target, text)
    await database.run(decisions.judge, post_id, Approval.APPROVE, "root", stamp)
    return post_id


async def claim(database: Database, stamp: Stamp, *, replies: bool) -> int | None:
    kind = PostKind.REPLIES if replies else PostKind.POSTS
    post = await database.run(posts.claim_due, [ACCOUNT], stamp, posts.BELIEVED, kind)
    return None if post is None else post.id


async def test_a_draft_goes_out_only_after_a_person_has_approved_it(database: Database, stamp: Stamp) -> None:
    post_id = await draft(database, stamp)
    assert await claim(database, stamp, replies=True) is None
    record = await database.run(decisions.judge, post_id, Approval.APPROVE, "root", stamp)
    assert (record.post.state, record.decision, record.decided_by) == ("queued", Approval.APPROVE, "root")
    assert await claim(database, stamp, replies=False) is None  # the job posting leaves it alone
    assert await claim(database, stamp, replies=True) == post_id
    with pytest.raises(PostStateError, match="is claimed, and no draft any more"):
        await database.run(decisions.judge, post_id, Approval.REJECT, "root", stamp)


async def test_a_rejected_draft_never_goes_out_and_leaves_room_for_another(
    database: Database, stamp: Stamp
) -> None:
    post_id = await draft(database, stamp)
    record = await database.run(decisions.judge, post_id, Approval.REJECT, "root", stamp)
    assert (record.post.state, record.post.detail) == ("failed", "rejected by root")
    assert await claim(database, stamp, replies=True) is None
    assert await draft(database, stamp) != post_id


@pytest.mark.parametrize(
    "state", [state for state in PostState if state not in (PostState.DRAFT, PostState.FAILED)]
)
async def test_nobody_is_answered_twice_by_one_account(
    database: Database, stamp: Stamp, state: PostState
) -> None:
    post_id = await approved(database, stamp)
    if state is not PostState.QUEUED:
        assert await claim(database, stamp, replies=True) == post_id
    if state in (PostState.SUBMITTING, PostState.AMBIGUOUS, PostState.PUBLISHED):
        assert await database.run(posts.intend, post_id, stamp, TODAY, 1)
    if state is PostState.AMBIGUOUS:
        await database.run(posts.doubt, post_id, stamp, "no answer")
    if state is PostState.PUBLISHED:
        await database.run(posts.publish, post_id, PostState.SUBMITTING, "r2", stamp)
    with pytest.raises(PostStateError, match="answers r1 already") as caught:
        await draft(database, stamp, text="quite another answer")
    assert str(post_id) in caught.value.remedy


async def test_the_same_words_may_answer_two_posts_and_be_posted_too(
    database: Database, stamp: Stamp
) -> None:
    first, second = await draft(database, stamp, "r1"), await draft(database, stamp, "r2")
    post = await rows.queued(database, stamp, "an answer")
    assert len({first, second, post}) == 3
    used = await database.run(posts.used_fingerprints, [ACCOUNT, "grace"])
    assert used == {ACCOUNT: {(await rows.row(database, post))["fingerprint"]}, "grace": set()}


async def test_replies_have_a_limit_and_a_count_of_their_own(database: Database, stamp: Stamp) -> None:
    post = await rows.in_state(database, PostState.CLAIMED, stamp, "a post")
    assert await database.run(posts.intend, post, stamp, TODAY, 1)
    first, second = await approved(database, stamp, "r1"), await approved(database, stamp, "r2")
    assert await claim(database, stamp, replies=True) == first
    assert await database.run(posts.intend, first, stamp, TODAY, 1)  # the post does not count
    assert await claim(database, stamp, replies=True) == second
    assert not await database.run(posts.intend, second, stamp, TODAY, 1)
    [counter] = await rows.fetch(database, "SELECT posts, replies FROM daily_counters")
    assert counter == {"posts": 1, "replies": 1}
    await database.run(posts.requeue, first, PostState.SUBMITTING, stamp, stamp.now, "not now")
    assert await database.run(posts.intend, second, stamp, TODAY, 1)  # its place was given back
    [counter] = await rows.fetch(database, "SELECT posts, replies FROM daily_counters")
    assert counter == {"posts": 1, "replies": 1}


async def test_each_job_puts_back_only_what_it_has_claimed_itself(database: Database, stamp: Stamp) -> None:
    post = await rows.in_state(database, PostState.CLAIMED, stamp, "a post")
    reply = await approved(database, stamp)
    assert await claim(database, stamp, replies=True) == reply
    assert (await rows.row(database, post))["state"] == "claimed"
    assert await claim(database, stamp, replies=False) == post
    assert (await rows.row(database, reply))["state"] == "claimed"


async def test_what_a_daemon_left_of_replies_is_settled_as_posts_are(
    database: Database, stamp: Stamp
) -> None:
    first, second = await approved(database, stamp, "r1"), await approved(database, stamp, "r2")
    assert await claim(database, stamp, replies=True) == first
    assert await database.run(posts.intend, first, stamp, TODAY, 5)
    assert await claim(database, stamp, replies=True) == second
    mine = Stamp(await rows.take_fence(database), stamp.now)
    assert await database.run(doubts.recover, mine) == doubts.Recovered(requeued=1, ambiguous=1)
    assert (await rows.row(database, first))["state"] == "ambiguous"


async def test_64_who_draft_and_claim_at_once_get_one_reply_between_them(migrated_dsn: str) -> None:
    settings = DatabaseSettings(pool_size=64)
    async with aio.open_bridge(), open_database(migrated_dsn, settings) as database:
        stamp = Stamp(await rows.take_fence(database), rows.NOON)
        drafts: list[int] = []
        refused: list[PostStateError] = []

        async def try_to_draft(number: int) -> None:
            try:
                drafts.append(await draft(database, stamp, text=f"answer {number}"))
            except PostStateError as error:
                refused.append(error)

        async with trio.open_nursery() as nursery:
            for number in range(64):
                nursery.start_soon(try_to_draft, number)
        assert (len(drafts), len(refused)) == (1, 63)
        await database.run(decisions.judge, drafts[0], Approval.APPROVE, "root", stamp)
        for number in range(63):
            await approved(database, stamp, f"t{number}")
        intended: list[int] = []

        async def claim_and_intend() -> None:
            """As the job does; another one who claims meanwhile takes the reply out of its hands."""
            while True:
                try:
                    post = await database.run(
                        posts.claim_due, [ACCOUNT], stamp, posts.BELIEVED, PostKind.REPLIES
                    )
                    if post is None or not await database.run(posts.intend, post.id, stamp, TODAY, 10):
                        return
                except DatabaseError:
                    continue
                intended.append(post.id)

        async with trio.open_nursery() as nursery:
            for _ in range(64):
                nursery.start_soon(claim_and_intend)
        assert len(intended) == len(set(intended)) == 10
        submitting = [row["id"] for row in await rows.all_rows(database) if row["state"] == "submitting"]
        assert sorted(intended) == sorted(submitting)
        [counter] = await rows.fetch(database, "SELECT posts, replies FROM daily_counters")
        assert counter == {"posts": 0, "replies": 10}
