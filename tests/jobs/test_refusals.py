"""A sign-in that was refused is not tried again by itself."""

from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator.actors.job import ASKED_BY, Run
from orchestrator.errors import SignInRefusedError
from orchestrator.jobs.metrics_scraper import measure
from orchestrator.jobs.posting import post_one
from orchestrator.jobs.reconciliation import reconcile
from orchestrator.jobs.refusals import Refusals
from orchestrator.model import Ending, Outcome
from tests import rows
from tests.jobs.house import House

REFUSED = SignInRefusedError("murmur refuses the sign-in of ada: wrong password")


async def post(house: House, trigger: str = "schedule") -> Outcome:
    return await post_one(run(house, trigger), house.tools)


def run(house: House, trigger: str) -> Run:
    return replace(house.run("posting"), trigger=trigger)


async def refuse(house: House) -> int:
    """A post of ada's that is put off because the site does not let her in; its id."""
    post_id = await house.queued("hers")
    house.site.refuses["ada"] = REFUSED
    with pytest.raises(SignInRefusedError):
        await post(house)
    return post_id


async def test_no_job_signs_in_again_by_itself_and_each_says_why(house: House) -> None:
    await rows.published(house.database, house.stamp(), "an older one")
    post_id = await refuse(house)
    house.site.visits.clear()
    del house.site.refuses["ada"]
    for _ in range(3):
        house.moment.go(hours=1)
        for work in (post_one, measure):
            with pytest.raises(
                SignInRefusedError, match=r"wrong password \(not tried again by itself\)"
            ) as told:
                await work(run(house, "schedule"), house.tools)
            assert "orchestrator ctl run" in told.value.line()
    assert house.site.visits == []
    found = await rows.row(house.database, post_id)
    assert (found["state"], found["not_before"]) == ("queued", house.moment.now + timedelta(hours=1))


async def test_other_accounts_go_on(house: House) -> None:
    await refuse(house)
    other = await house.queued("his", "grace")
    await post(house)
    assert (await house.state(other))[0] == "published"


async def test_a_run_that_somebody_asks_for_tries_again_at_once(house: House) -> None:
    post_id = await refuse(house)
    with pytest.raises(SignInRefusedError):
        await post(house, f"{ASKED_BY}alice")
    house.moment.go(hours=1)
    house.site.visits.clear()
    with pytest.raises(SignInRefusedError):
        await post(house)
    assert house.site.visits == []  # refused once more, and remembered again
    del house.site.refuses["ada"]
    assert (await post(house, f"{ASKED_BY}alice")).ending is Ending.DONE
    assert await house.state(post_id) == ("published", 1)


@pytest.mark.parametrize("work", [post_one, measure, reconcile])
async def test_any_run_that_is_asked_for_forgets_all_refusals(house: House, work: object) -> None:
    house.tools.refusals.note("ada", REFUSED)
    await work(run(house, f"{ASKED_BY}alice"), house.tools)  # type: ignore[operator]
    house.tools.refusals.check("ada")


async def test_a_retry_of_a_run_that_was_asked_for_does_not_sign_in_again(house: House) -> None:
    house.tools.refusals.note("ada", REFUSED)
    await measure(replace(run(house, f"{ASKED_BY}alice"), is_retry=True), house.tools)
    with pytest.raises(SignInRefusedError):
        house.tools.refusals.check("ada")


async def test_a_restart_forgets(house: House) -> None:
    post_id = await refuse(house)
    house.site.refuses.clear()
    house.tools = replace(house.tools, refusals=Refusals())
    house.moment.go(hours=1)
    await post(house)
    assert await house.state(post_id) == ("published", 1)
