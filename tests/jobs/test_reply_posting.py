"""The job reply_posting, and what reconciliation says of replies; a real database, a site in memory."""

import pytest

from orchestrator.db import decisions
from orchestrator.db.decisions import Approval
from orchestrator.errors import PostStateError, PostUnclearError, ReplyImpossibleError
from orchestrator.jobs import reconciliation, reply_posting
from orchestrator.jobs.posting import post_one
from orchestrator.jobs.reconciliation import reconcile
from orchestrator.model import Ending, Outcome, PostKind
from orchestrator.testing.site import dropped
from tests import rows
from tests.jobs.house import House


async def approved(house: House, target: str = "r1xx", text: str = "an answer") -> int:
    post_id = await house.tools.draft_reply(house.run("my_job"), "ada", target, text)
    await house.database.run(decisions.judge, post_id, Approval.APPROVE, "root", house.stamp())
    return post_id


async def reply_one(house: House) -> Outcome:
    return await post_one(house.run(reply_posting.NAME), house.tools, PostKind.REPLIES)


async def in_doubt(house: House, *, is_accepted: bool) -> int:
    post_id = await approved(house)
    house.site.trouble["accepted" if is_accepted else "submit_reply"].append(dropped())
    with pytest.raises(PostUnclearError):
        await reply_one(house)
    assert (await rows.row(house.database, post_id))["state"] == "ambiguous"
    return post_id


async def look_twice(house: House) -> None:
    for _ in range(2):
        house.moment.go(seconds=house.tools.settings.posting.settle_s)
        await reconcile(house.run(reconciliation.NAME, priority=2), house.tools)


async def test_an_approved_reply_goes_out_below_its_target_one_a_run(house: House) -> None:
    await approved(house, "r1xx", "one")
    await approved(house, "r2xx", "two")
    assert (await reply_one(house)).ending is Ending.DONE
    assert [(entry.in_reply_to, entry.text) for entry in house.site.ledger] == [("r1xx", "one")]
    await reply_one(house)
    assert [entry.in_reply_to for entry in house.site.ledger] == ["r1xx", "r2xx"]
    assert (await reply_one(house)).ending is Ending.NOTHING_TO_DO


async def test_a_draft_of_an_own_job_waits_for_a_person(house: House) -> None:
    await house.tools.draft_reply(house.run("my_job"), "ada", "r1xx", "an answer")
    assert (await reply_one(house)).ending is Ending.NOTHING_TO_DO
    assert house.site.presses == []
    with pytest.raises(PostStateError, match="answers r1xx already"):
        await house.tools.draft_reply(house.run("my_job"), "ada", "r1xx", "another answer")


@pytest.mark.parametrize(("target", "text"), [("no reference!", "hi"), ("r123", "  "), ("r123", "x" * 281)])
async def test_what_can_not_be_a_reply_is_no_draft(house: House, target: str, text: str) -> None:
    with pytest.raises(ReplyImpossibleError):
        await house.tools.draft_reply(house.run("my_job"), "ada", target, text)
    assert await rows.all_rows(house.database) == []


async def test_a_reply_in_doubt_that_stands_below_its_target_is_published(house: House) -> None:
    post_id = await in_doubt(house, is_accepted=True)
    await look_twice(house)
    found = await rows.row(house.database, post_id)
    assert (found["state"], found["reference"]) == ("published", house.site.ledger[0].reference)
    assert len(house.site.ledger) == 1


async def test_a_reply_in_doubt_that_is_not_there_in_two_looks_is_tried_again_once(house: House) -> None:
    post_id = await in_doubt(house, is_accepted=False)
    await look_twice(house)
    assert (await rows.row(house.database, post_id))["state"] == "queued"
    await reply_one(house)
    assert len(house.site.ledger) == 1
    assert (await rows.row(house.database, post_id))["state"] == "published"


async def test_a_reply_whose_target_is_gone_is_left_to_a_person(house: House) -> None:
    post_id = await in_doubt(house, is_accepted=True)
    house.site.gone.add("r1xx")
    await look_twice(house)
    found = await rows.row(house.database, post_id)
    assert (found["state"], found["detail"]) == (
        "ambiguous",
        "the site has no post r1xx any more; a person has to look",
    )


async def test_another_answer_of_the_account_there_leaves_it_to_a_person(house: House) -> None:
    post_id = await in_doubt(house, is_accepted=False)
    house.site.accept("ada", "written by hand", "r1xx")
    await look_twice(house)
    found = await rows.row(house.database, post_id)
    assert found["state"] == "ambiguous"
    assert found["detail"].endswith("with another text; a person has to look")


async def test_who_has_answered_by_hand_does_not_answer_again(house: House) -> None:
    house.site.accept("ada", "written by hand", "r1xx")
    post_id = await approved(house)
    await reply_one(house)
    assert (await rows.row(house.database, post_id))["state"] == "failed"
    assert len(house.site.ledger) == 1


async def test_a_first_try_that_the_site_shows_late_is_taken_for_the_reply_and_not_pressed_again(
    house: House,
) -> None:
    post_id = await in_doubt(house, is_accepted=False)
    await look_twice(house)
    assert (await rows.row(house.database, post_id))["state"] == "queued"
    late = house.site.accept("ada", "an  answer", "r1xx")
    presses = len(house.site.presses)
    outcome = await reply_one(house)
    assert (outcome.ending, outcome.figures) == (Ending.DONE, {"published": 1})
    found = await rows.row(house.database, post_id)
    assert (found["state"], found["reference"], len(house.site.presses)) == ("published", late, presses)
    [counter] = await rows.fetch(house.database, "SELECT replies FROM daily_counters")
    assert counter["replies"] == 1


async def test_a_missing_reply_counts_as_missing_only_where_an_earlier_one_is_shown(house: House) -> None:
    """A profile that does not find any answer, or a site that hides them, must not lead to a second one."""
    await approved(house, "r9xx", "an earlier answer")
    await reply_one(house)
    post_id = await in_doubt(house, is_accepted=False)
    house.site.gone.add(house.site.ledger[0].reference)
    await look_twice(house)
    found = await rows.row(house.database, post_id)
    assert found["state"] == "ambiguous"
    assert found["detail"].endswith("recorded as published; a person has to look")
    house.site.gone.clear()
    await look_twice(house)
    assert (await rows.row(house.database, post_id))["state"] == "queued"


async def test_posting_leaves_replies_alone(house: House) -> None:
    await approved(house)
    assert (await post_one(house.run("posting"), house.tools)).ending is Ending.NOTHING_TO_DO
    assert house.site.presses == []
