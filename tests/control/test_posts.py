"""The verbs about posts: what they show, what they refuse, and what a decision is answered with."""

import os
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from orchestrator.control.peers import Caller, Level
from orchestrator.control.verbs import name_of, verbs_of
from orchestrator.db import comparison, doubts, posts
from orchestrator.db.comparison import Findings
from orchestrator.db.fence import Fence, boot_time
from orchestrator.db.pool import Database
from orchestrator.db.posts import Stamp
from orchestrator.errors import ControlError, OrchestratorError, PostStateError
from orchestrator.health.status import House
from orchestrator.model import PostState
from orchestrator.settings import PostingSettings
from tests import rows
from tests.fakes import NOON, a_job, a_stage, make_house
from tests.rows import MINUTE

CALLER = Caller(os.getuid(), os.getpid(), Level.OPERATE)
ME = name_of(CALLER)


async def ask(house: House, verb: str, **args: Any) -> Any:
    return await verbs_of(house, lambda _who: None)[verb].handler(CALLER, args)


async def refusal(house: House, verb: str, **args: Any) -> str:
    with pytest.raises(OrchestratorError) as caught:
        await ask(house, verb, **args)
    return caught.value.line()


@pytest.fixture
async def fence(database: Database) -> Fence:
    return Fence(await rows.take_fence(database), rows.TTL_S, boot_time())


@pytest.fixture
async def early(fence: Fence) -> Stamp:
    """Ten minutes before the house's clock, so that what was pressed then has settled."""
    return Stamp(fence.number, NOON - 10 * MINUTE)


@pytest.fixture
async def house(database: Database, fence: Fence) -> AsyncIterator[House]:
    async with a_stage([a_job("posting"), a_job("reconciliation")]) as stage:
        house = make_house(stage, database)
        house.accounts, house.fence, house.settle_s = ("ada",), fence, 60.0
        house.is_reference = lambda _account, text: text.isalnum()
        yield house


async def test_posts_are_listed_with_what_one_needs_to_decide(
    house: House, database: Database, early: Stamp
) -> None:
    post_id = await rows.in_state(database, PostState.AMBIGUOUS, early, "word " * 100)
    await rows.queued(database, early, "another", "grace")
    [found] = (await ask(house, "posts", state="ambiguous"))["posts"]
    assert found == {
        "id": post_id,
        "account": "ada",
        "state": "ambiguous",
        "due_at": "2026-06-01T11:50:00+00:00",
        "not_before": None,
        "published_at": None,
        "attempts": 1,
        "reference": None,
        "in_reply_to": None,
        "since": "2026-06-01T11:50:00+00:00",
        "detail": "no answer",
        "text": ("word " * 100)[:120],
    }
    assert [row["text"] for row in (await ask(house, "posts", account="grace"))["posts"]] == ["another"]
    assert len((await ask(house, "posts", limit=1))["posts"]) == 1


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"state": "lost"}, "state must be one of: draft, queued, claimed, submitting, published, ambiguous"),
        ({"limit": 0}, "limit must be from 1 to 500, not 0"),
        ({"limit": 501}, "limit must be from 1 to 500, not 501"),
    ],
)
async def test_a_list_that_can_not_be_is_refused(house: House, args: dict[str, Any], said: str) -> None:
    assert (await refusal(house, "posts", **args)).startswith(said)


@pytest.mark.parametrize(
    ("state", "comes"),
    [
        (PostState.QUEUED, "It goes out at posting's next turn"),
        (PostState.CLAIMED, "A run of posting has taken it."),
        (PostState.SUBMITTING, "It is being sent."),
        (PostState.AMBIGUOUS, "Reconciliation has not missed it on the site yet."),
        (PostState.PUBLISHED, "Nothing: that is final."),
        (PostState.FAILED, "Nothing: that is final."),
    ],
)
async def test_one_post_is_shown_whole_with_what_becomes_of_it(
    house: House, database: Database, early: Stamp, state: PostState, comes: str
) -> None:
    post_id = await rows.in_state(database, state, early, "word " * 100)
    answer = await ask(house, "post", post=post_id)
    assert (answer["post"]["text"], answer["post"]["state"]) == ("word " * 100, state)
    assert answer["next"][0].startswith(comes)


async def test_an_empty_list_says_what_is_true(house: House, database: Database, early: Stamp) -> None:
    async def said(**args: str) -> str:
        answer = await ask(house, "posts", **args)
        assert answer["posts"] == []
        return str(answer["message"])

    assert await said() == "No posts yet."
    assert await said(state="failed") == "No posts yet."
    assert await said(account="ada") == "No posts of ada yet."
    assert await refusal(house, "posts", account="adda") == "there is no account adda. Accounts: ada"
    await rows.queued(database, early, "of other settings", "grace")
    assert await said(state="failed") == "No post is failed."
    assert await said(account="grace", state="failed") == "No post of grace is failed."


@pytest.mark.parametrize(
    ("decision", "state"),
    [
        ({"decision": "published", "reference": "r1"}, "published"),
        ({"decision": "requeue"}, "queued"),
        ({"decision": "drop"}, "failed"),
    ],
    ids=["published", "requeue", "drop"],
)
async def test_a_stuck_post_can_be_decided(
    house: House, database: Database, early: Stamp, decision: dict[str, str], state: str
) -> None:
    stuck_s = timedelta(seconds=PostingSettings().stuck_s)
    pressed = Stamp(early.fence, NOON - stuck_s - MINUTE)
    post_id = await rows.in_state(database, PostState.SUBMITTING, pressed)
    assert (await refusal(house, "resolve", post=post_id, **decision)).startswith(f"post {post_id} is submi")
    assert await database.run(doubts.doubt_stuck, Stamp(early.fence, NOON), NOON - stuck_s) == 1
    await ask(house, "resolve", post=post_id, **decision)
    assert (await rows.row(database, post_id))["state"] == state
    assert await rows.counted(database, day=NOON.date()) == (state == "published")


async def test_a_post_that_was_put_back_says_until_when(
    house: House, database: Database, early: Stamp
) -> None:
    post_id = await rows.in_state(database, PostState.CLAIMED, early)
    await database.run(posts.put_back, post_id, early, NOON + MINUTE, "not now")
    [comes] = (await ask(house, "post", post=post_id))["next"]
    assert comes.startswith("It was put back until 2026-06-01T12:01:00+00:00")


async def test_a_post_of_an_account_that_is_switched_off_says_so(
    house: House, database: Database, early: Stamp
) -> None:
    post_id = await rows.queued(database, early)
    house.off = frozenset({"ada"})
    [says] = (await ask(house, "post", post=post_id))["next"]
    assert says.startswith("Nothing, for the time being: account ada is switched off")


async def test_a_post_in_doubt_says_what_was_seen_and_how_to_decide(
    house: House, database: Database, early: Stamp
) -> None:
    post_id = await rows.in_state(database, PostState.AMBIGUOUS, early)
    decide = (
        f"To decide by hand: orchestrator ctl post resolve {post_id} published --reference REFERENCE, "
        "or requeue, or drop."
    )
    await database.run(doubts.note_missed, post_id, early)
    seen, _rule, last = (await ask(house, "post", post=post_id))["next"]
    assert (seen, last) == ("A look at 2026-06-01T11:50:00+00:00 did not find it on the site.", decide)
    await database.run(doubts.note_unreadable, post_id, early, f"too long ago; {posts.ASK}")
    assert (await ask(house, "post", post=post_id))["next"] == [
        "Reconciliation has looked and can't tell: look at the site and decide.",
        decide,
    ]
    house.accounts = ("grace",)
    assert (await ask(house, "post", post=post_id))["next"] == [
        "Nothing, by itself: there is no account ada.",
        decide,
    ]


@pytest.mark.parametrize(
    ("decision", "said"),
    [
        ({"decision": "published", "reference": " r1\n"}, "is published as r1; it counts for 2026-06-01."),
        ({"decision": "requeue"}, "is queued again, with all its tries. It goes out at posting's next turn"),
        ({"decision": "drop"}, "is dropped: it is not counted, and its text is not queued again."),
    ],
)
async def test_a_decision_is_carried_out_recorded_and_logged(
    house: House, database: Database, early: Stamp, decision: dict[str, str], said: str
) -> None:
    post_id = await rows.in_state(database, PostState.AMBIGUOUS, early)
    with capture_logs() as logs:
        answer = await ask(house, "resolve", post=post_id, **decision)
    assert answer["message"].startswith(f"Post {post_id} {said}")
    assert [(line["event"], line["by"]) for line in logs if "by" in line] == [("post_decided", ME)]
    shown = (await ask(house, "post", post=post_id))["post"]
    assert (shown["decision"], shown["decided_by"]) == (decision["decision"], ME)
    assert shown["decided_at"] == "2026-06-01T12:00:00+00:00"


@pytest.mark.parametrize(
    ("decision", "said"),
    [
        ({"decision": "publish"}, "the decision must be one of: published, requeue, drop"),
        ({"decision": "published"}, "a published post has the reference that the site gave it. Say it: "),
        ({"decision": "published", "reference": "  "}, "a published post has the reference"),
        (
            {"decision": "published", "reference": "http://x/r1"},
            "'http://x/r1' can't be a reference on the site of ada",
        ),
        ({"decision": "requeue", "reference": "r1"}, "requeue takes no reference"),
    ],
)
async def test_a_decision_that_can_not_be_changes_nothing(
    house: House, database: Database, early: Stamp, decision: dict[str, str], said: str
) -> None:
    post_id = await rows.in_state(database, PostState.AMBIGUOUS, early)
    before = await rows.row(database, post_id)
    assert (await refusal(house, "resolve", post=post_id, **decision)).startswith(said)
    assert await rows.row(database, post_id) == before


async def test_the_second_operator_is_told_what_the_first_one_decided(
    house: House, database: Database, early: Stamp
) -> None:
    post_id = await rows.in_state(database, PostState.AMBIGUOUS, early)
    await ask(house, "resolve", post=post_id, decision="drop")
    with pytest.raises(PostStateError) as caught:
        await ask(house, "resolve", post=post_id, decision="requeue")
    assert caught.value.line() == (
        f"post {post_id} is failed since 2026-06-01 12:00:00 UTC "
        f"(drop, decided by {ME} at 2026-06-01 12:00:00 UTC): nothing is to be decided. That is final"
    )


async def test_what_the_site_may_still_be_taking_can_be_decided_after_the_settle_time_of_the_clock(
    house: House, database: Database, fence: Fence
) -> None:
    post_id = await rows.in_state(database, PostState.AMBIGUOUS, Stamp(fence.number, NOON))
    assert await refusal(house, "resolve", post=post_id, decision="requeue") == (
        f"the site may still be taking post {post_id}, which was pressed at 2026-06-01 12:00:00 UTC. "
        "Look again after 2026-06-01 12:01:00 UTC"
    )


async def test_why_reconciliation_tells_what_the_latest_comparisons_found(
    house: House, database: Database, early: Stamp
) -> None:
    assert house.supervisor is not None
    found = Findings("ada", early.now, ["gone from the site: post 7 (p7)"], ["p9 has the text of post 8"])
    await database.run(comparison.remember, found, early)
    nothing = Findings("grace", early.now, [], [])
    await database.run(comparison.remember, nothing, early)
    house.accounts = ("grace", "ada")
    assert (await ask(house, "why", job="reconciliation"))["lines"][-2:] == [
        "grace was compared with the site 2026-06-01T11:50:00+00:00: nothing unknown, nothing gone.",
        (
            "ada was compared with the site 2026-06-01T11:50:00+00:00: "
            "p9 has the text of post 8; gone from the site: post 7 (p7)."
        ),
    ]
    assert not any("compared" in line for line in (await ask(house, "why", job="posting"))["lines"])


async def test_before_the_jobs_are_there_nothing_is_known_of_posts(house: House) -> None:
    house.supervisor = None
    for verb, args in (("posts", {}), ("post", {"post": 1}), ("resolve", {"post": 1, "decision": "drop"})):
        with pytest.raises(ControlError, match="still starting"):
            await ask(house, verb, **args)
