"""What a person decides of an ambiguous post: once, in one transaction, counted rightly."""

from dataclasses import replace
from datetime import timedelta

import pytest
import trio

from orchestrator.db import decisions, doubts, posts
from orchestrator.db.decisions import Decision
from orchestrator.db.pool import Database
from orchestrator.db.posts import Stamp
from orchestrator.errors import FenceLostError, PostStateError
from orchestrator.model import PostState
from tests import rows
from tests.rows import ACCOUNT, MINUTE, NOON, TODAY, UNLIMITED

SETTLE = timedelta(seconds=60)
DECISIONS = list(Decision)


def later(stamp: Stamp, minutes: int = 5) -> Stamp:
    return Stamp(stamp.fence, NOON + minutes * MINUTE)


async def decide(
    database: Database,
    post_id: int,
    decision: Decision,
    stamp: Stamp,
    who: str = "alice",
    reference: str = "r1",
) -> decisions.PostRecord:
    given = reference if decision is Decision.PUBLISHED else ""
    return await database.run(decisions.decide, post_id, decision, given, who, stamp, SETTLE)


@pytest.mark.parametrize(
    ("decision", "state", "counted", "attempts"),
    [
        (Decision.PUBLISHED, "published", 2, 1),
        (Decision.REQUEUE, "queued", 1, 0),
        (Decision.DROP, "failed", 1, 1),
    ],
)
async def test_a_decision_moves_the_post_counts_rightly_and_is_recorded(
    database: Database, stamp: Stamp, decision: Decision, state: str, counted: int, attempts: int
) -> None:
    await rows.published(database, stamp, "another one")
    post_id = await rows.in_state(database, PostState.AMBIGUOUS, stamp)
    mine = later(stamp)
    await decide(database, post_id, decision, mine)
    found = await rows.row(database, post_id)
    assert (found["state"], found["state_since"], found["attempt"]) == (state, mine.now, attempts)
    assert (found["decision"], found["decided_by"], found["decided_at"]) == (decision, "alice", mine.now)
    assert await rows.counted(database) == counted


async def test_what_was_dropped_says_by_whom_and_its_text_is_not_posted_again(
    database: Database, stamp: Stamp
) -> None:
    post_id = await rows.in_state(database, PostState.AMBIGUOUS, stamp)
    refused = await rows.in_state(database, PostState.FAILED, stamp, "a text that the site refused")
    await decide(database, post_id, Decision.DROP, later(stamp))
    found = await rows.row(database, post_id)
    assert found["detail"] == "dropped by alice"
    used = (await database.run(posts.used_fingerprints, [ACCOUNT]))[ACCOUNT]
    assert found["fingerprint"] in used
    assert (await rows.row(database, refused))["fingerprint"] not in used


async def test_what_was_queued_again_is_due_and_counts_once_more_when_it_goes_out(
    database: Database, stamp: Stamp
) -> None:
    post_id = await rows.in_state(database, PostState.AMBIGUOUS, stamp)
    mine = later(stamp)
    await decide(database, post_id, Decision.REQUEUE, mine)
    assert await database.run(posts.claim_due, [ACCOUNT], mine) is not None
    assert await database.run(posts.intend, post_id, mine, TODAY, 1)
    await database.run(posts.publish, post_id, PostState.SUBMITTING, "r9", mine)
    assert await rows.counted(database) == 1
    assert (await rows.row(database, post_id))["decided_by"] == "alice"


@pytest.mark.parametrize("state", [state for state in PostState if state is not PostState.AMBIGUOUS])
@pytest.mark.parametrize("decision", DECISIONS)
async def test_only_ambiguous_posts_are_decided(
    database: Database, stamp: Stamp, state: PostState, decision: Decision
) -> None:
    post_id = await rows.in_state(database, state, stamp)
    before = await rows.row(database, post_id), await rows.counted(database)
    with pytest.raises(PostStateError, match=f"post {post_id} is {state} since .*: nothing is to be decided"):
        await decide(database, post_id, decision, later(stamp))
    assert (await rows.row(database, post_id), await rows.counted(database)) == before


async def test_a_post_that_is_not_there_is_an_error_of_one_line(database: Database, stamp: Stamp) -> None:
    with pytest.raises(PostStateError) as caught:
        await decide(database, 4711, Decision.DROP, stamp)
    assert caught.value.line() == "there is no post 4711. See: orchestrator ctl posts"


async def test_a_reference_that_another_post_has_is_refused(database: Database, stamp: Stamp) -> None:
    other = await rows.published(database, stamp, "another one", reference="r1")
    post_id = await rows.in_state(database, PostState.AMBIGUOUS, stamp)
    before = await rows.row(database, post_id)
    with pytest.raises(PostStateError, match=f"r1 is post {other} already"):
        await decide(database, post_id, Decision.PUBLISHED, later(stamp))
    assert await rows.row(database, post_id) == before


@pytest.mark.parametrize("decision", [Decision.REQUEUE, Decision.DROP])
async def test_what_the_site_may_still_be_taking_is_not_taken_back(
    database: Database, stamp: Stamp, decision: Decision
) -> None:
    post_id = await rows.in_state(database, PostState.AMBIGUOUS, stamp)
    just_before = Stamp(stamp.fence, NOON + SETTLE - timedelta(microseconds=1))
    with pytest.raises(PostStateError, match="may still be taking post"):
        await decide(database, post_id, decision, just_before)
    assert await rows.counted(database) == 1
    await decide(database, post_id, decision, Stamp(stamp.fence, NOON + SETTLE))
    assert await rows.counted(database) == 0


async def test_what_is_seen_on_the_site_need_not_settle(database: Database, stamp: Stamp) -> None:
    post_id = await rows.in_state(database, PostState.AMBIGUOUS, stamp)
    assert (await decide(database, post_id, Decision.PUBLISHED, stamp)).post.reference == "r1"


async def test_a_daemon_that_was_overtaken_decides_nothing(database: Database, stamp: Stamp) -> None:
    post_id = await rows.in_state(database, PostState.AMBIGUOUS, stamp)
    before = await rows.row(database, post_id)
    await rows.take_fence(database)
    for decision in DECISIONS:
        with pytest.raises(FenceLostError):
            await decide(database, post_id, decision, later(stamp))
    assert await rows.row(database, post_id) == before


async def test_of_many_who_decide_at_once_one_does_and_the_others_are_told_who(
    database: Database, stamp: Stamp
) -> None:
    """At the same moment of the same clock, too: what tells is the row."""
    await rows.published(database, stamp, "another one")
    post_id = await rows.in_state(database, PostState.AMBIGUOUS, stamp)
    done: list[tuple[str, Decision]] = []
    told: list[str] = []

    async def one(number: int) -> None:
        who, decision = f"operator{number}", DECISIONS[number % 3]
        try:
            await decide(database, post_id, decision, later(stamp), who)
        except PostStateError as error:
            told.append(str(error))
        else:
            done.append((who, decision))

    async with trio.open_nursery() as nursery:
        for number in range(15):
            nursery.start_soon(one, number)
    [(who, decision)] = done
    assert len(told) == 14
    assert all(f"({decision}, decided by {who} at 2026-05-04 12:05:00 UTC)" in line for line in told)
    assert await rows.counted(database) == (2 if decision is Decision.PUBLISHED else 1)


# ── beside reconciliation ───────────────────────────────────────────────────────────────────────


async def pressed_again(database: Database, stamp: Stamp) -> tuple[int, Stamp]:
    """A post that somebody queued again and whose next press is in doubt too; its id, a look's old stamp."""
    post_id = await rows.in_state(database, PostState.AMBIGUOUS, stamp)
    mine = later(stamp)
    await decide(database, post_id, Decision.REQUEUE, mine)
    assert await database.run(posts.claim_due, [ACCOUNT], mine) is not None
    assert await database.run(posts.intend, post_id, mine, TODAY, UNLIMITED)
    await database.run(posts.doubt, post_id, mine, "no answer again")
    return post_id, replace(later(stamp, 6), attempt_at=NOON)


async def test_a_look_that_began_before_the_decision_says_nothing_of_the_next_attempt(
    database: Database, stamp: Stamp
) -> None:
    post_id, old = await pressed_again(database, stamp)
    before = await rows.row(database, post_id)
    with pytest.raises(PostStateError, match="tried anew meanwhile"):
        await database.run(posts.requeue, post_id, PostState.AMBIGUOUS, old, old.now, "not in two looks")
    with pytest.raises(PostStateError):
        await database.run(posts.fail, post_id, PostState.AMBIGUOUS, old, "not after five tries")
    with pytest.raises(PostStateError):
        await database.run(posts.publish, post_id, PostState.AMBIGUOUS, "r1", old)
    await database.run(doubts.note_missed, post_id, old)
    await database.run(doubts.note_unreadable, post_id, old, "too long")
    assert await rows.row(database, post_id) == before
    assert await rows.counted(database) == 1
    present = replace(old, attempt_at=later(stamp).now)
    await database.run(posts.requeue, post_id, PostState.AMBIGUOUS, present, present.now, "not in two looks")
    assert await rows.counted(database) == 0


@pytest.mark.parametrize("decision", DECISIONS)
async def test_a_person_and_reconciliation_at_once_settle_a_post_once(
    database: Database, stamp: Stamp, decision: Decision
) -> None:
    await rows.published(database, stamp, "another one")
    post_id = await rows.in_state(database, PostState.AMBIGUOUS, stamp)
    mine, looked = later(stamp), replace(later(stamp, 6), attempt_at=NOON)
    outcomes: list[str] = []

    async def person() -> None:
        try:
            await decide(database, post_id, decision, mine)
            outcomes.append(decision)
        except PostStateError:
            pass

    async def reconciliation() -> None:
        try:
            await database.run(posts.requeue, post_id, PostState.AMBIGUOUS, looked, looked.now, "not there")
            outcomes.append("reconciliation")
        except PostStateError:
            pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(person)
        nursery.start_soon(reconciliation)
    [by] = outcomes
    found = await rows.row(database, post_id)
    expected = {Decision.PUBLISHED: ("published", 2), Decision.DROP: ("failed", 1)}
    assert (found["state"], await rows.counted(database)) == expected.get(by, ("queued", 1))  # type: ignore[call-overload]
    assert (found["decision"] is None) == (by == "reconciliation")


# ── looking ─────────────────────────────────────────────────────────────────────────────────────


async def test_posts_are_listed_by_their_latest_change_and_by_state_and_account(
    database: Database, stamp: Stamp
) -> None:
    for number, (account, state) in enumerate(
        [
            ("ada", PostState.PUBLISHED),
            ("grace", PostState.AMBIGUOUS),
            ("ada", PostState.AMBIGUOUS),
            ("ada", PostState.QUEUED),
        ]
    ):
        moment = Stamp(stamp.fence, NOON + number * MINUTE)
        await rows.in_state(database, state, moment, f"text {number}", account)

    async def texts(state: PostState | None = None, account: str | None = None, limit: int = 9) -> list[str]:
        found = await database.run(decisions.listed, state, account, limit)
        return [record.post.text[-1] for record in found]

    assert await texts() == ["3", "2", "1", "0"]
    assert await texts(limit=2) == ["3", "2"]
    assert await texts(PostState.AMBIGUOUS) == ["2", "1"]
    assert await texts(PostState.AMBIGUOUS, "grace") == ["1"]
    assert await texts(account="ada") == ["3", "2", "0"]
    assert await texts(account="nobody") == []
