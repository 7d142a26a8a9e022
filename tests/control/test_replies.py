"""The verbs about replies: draft, approve, reject, and the list of them."""

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from orchestrator.control.peers import Caller, Level
from orchestrator.control.verbs import name_of, verbs_of
from orchestrator.db.fence import Fence, boot_time
from orchestrator.db.pool import Database
from orchestrator.db.posts import Stamp
from orchestrator.errors import OrchestratorError, ReplyImpossibleError
from orchestrator.health.status import House, SwitchedOff
from tests import rows
from tests.fakes import a_job, a_stage, make_house

CALLER = Caller(os.getuid(), os.getpid(), Level.OPERATE)
ME = name_of(CALLER)


async def ask(house: House, verb: str, **args: Any) -> Any:
    return await verbs_of(house, lambda _who: None)[verb].handler(CALLER, args)


async def refusal(house: House, verb: str, **args: Any) -> str:
    with pytest.raises(OrchestratorError) as caught:
        await ask(house, verb, **args)
    return caught.value.line()


async def draft(house: House, to: str = "r1", text: str = "an answer") -> int:
    number: int = (await ask(house, "draft", account="ada", to=to, text=text))["reply"]
    return number


@pytest.fixture
async def house(database: Database) -> AsyncIterator[House]:
    async with a_stage([a_job("posting"), a_job("reply_posting")]) as stage:
        house = make_house(stage, database)
        house.accounts = ("ada",)
        house.fence = Fence(await rows.take_fence(database), rows.TTL_S, boot_time())
        yield house


async def test_a_draft_waits_for_a_person_and_says_how_to_decide(house: House) -> None:
    answer = await ask(house, "draft", account="ada", to="r1", text="an answer")
    number = answer["reply"]
    assert answer["message"] == (
        f"Reply {number} is a draft. To decide: orchestrator ctl reply approve {number}, or reject."
    )
    shown = await ask(house, "post", post=number)
    assert (shown["post"]["state"], shown["post"]["in_reply_to"], shown["post"]["source"]) == (
        "draft",
        "r1",
        ME,
    )
    assert f"reply approve {number}" in shown["next"][0]


async def test_an_approved_reply_is_queued_and_a_second_decision_is_refused(house: House) -> None:
    number = await draft(house)
    assert "It goes out at reply_posting's next turn" in (await ask(house, "approve", post=number))["message"]
    shown = (await ask(house, "post", post=number))["post"]
    assert (shown["state"], shown["decision"], shown["decided_by"]) == ("queued", "approve", ME)
    assert "is queued, and no draft any more" in await refusal(house, "reject", post=number)


async def test_a_rejected_reply_is_dropped_and_its_target_may_be_answered_otherwise(house: House) -> None:
    number = await draft(house)
    message = (await ask(house, "reject", post=number))["message"]
    assert message == f"Reply {number} is rejected; r1 can be answered otherwise."
    assert (await ask(house, "post", post=number))["post"]["state"] == "failed"
    assert "is failed, and no draft any more" in await refusal(house, "approve", post=number)
    assert await draft(house, text="otherwise") != number


async def test_a_second_reply_to_one_post_is_refused_with_the_first(house: House) -> None:
    number = await draft(house)
    said = await refusal(house, "draft", account="ada", to="r1", text="another")
    assert said == f"ada answers r1 already. See: orchestrator ctl replies {number}"


async def test_a_post_can_not_be_approved_and_what_is_not_there_neither(
    house: House, database: Database
) -> None:
    assert house.fence is not None
    stamp = Stamp(house.fence.number, rows.NOON)
    post = await rows.queued(database, stamp, "a post")
    assert f"post {post} is queued, and no draft" in await refusal(house, "approve", post=post)
    assert f"there is no post {post + 1}" in await refusal(house, "reject", post=post + 1)


async def test_what_the_account_can_not_send_is_no_draft(house: House) -> None:
    def check(_account: str, _target: str, _text: str) -> None:
        raise ReplyImpossibleError("the profile murmur can't reply", remedy="Add the section [reply]")

    assert "there is no account bert. Accounts: ada" in await refusal(
        house, "draft", account="bert", to="r1", text="x"
    )
    house.check_reply = check
    said = await refusal(house, "draft", account="ada", to="r1", text="x")
    assert said == "the profile murmur can't reply. Add the section [reply]"
    assert (await ask(house, "replies"))["posts"] == []


async def test_where_nobody_has_to_approve_a_reply_is_queued_at_once(house: House) -> None:
    house.replies_need_approval = False
    answer = await ask(house, "draft", account="ada", to="r1", text="an answer")
    assert answer["message"] == f"Reply {answer['reply']} is queued."
    assert [reply["state"] for reply in (await ask(house, "replies"))["posts"]] == ["queued"]


async def test_replies_are_listed_alone_by_state(house: House, database: Database) -> None:
    assert house.fence is not None
    await rows.queued(database, Stamp(house.fence.number, rows.NOON), "a post")
    first, second = await draft(house, "r1"), await draft(house, "r2")
    await ask(house, "approve", post=first)
    found = (await ask(house, "replies"))["posts"]
    assert {reply["id"]: reply["in_reply_to"] for reply in found} == {first: "r1", second: "r2"}
    [waiting] = (await ask(house, "replies", state="draft"))["posts"]
    assert waiting["id"] == second


async def test_an_approved_reply_whose_job_is_off_says_that_nothing_happens(house: House) -> None:
    way_on = "Set jobs.reply_posting.enabled to true, then restart the daemon"
    house.switched_off = (SwitchedOff(a_job("reply_posting"), "switched off in the settings", way_on),)
    number = await draft(house)
    message = (await ask(house, "approve", post=number))["message"]
    nothing = f"Nothing: the job reply_posting is switched off in the settings. {way_on}."
    assert message == f"Reply {number} is approved. {nothing}"
