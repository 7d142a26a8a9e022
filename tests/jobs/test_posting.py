"""Posting: the way of a post that is published, and what follows from each answer of the site."""

from datetime import timedelta

import pytest
import trio
import trio.testing

from orchestrator.db import posts
from orchestrator.errors import (
    PageUnexpectedError,
    PostNotPressedError,
    PostRefusedError,
    PostUnclearError,
    SiteRateLimitedError,
    SiteUnavailableError,
)
from orchestrator.jobs.posting import RATE_LIMIT_PAUSE_S
from orchestrator.model import Ending
from orchestrator.testing.site import Pause, dropped
from tests import rows
from tests.jobs.house import House
from tests.jobs.runs_of_posting import BROKEN, post, post_in_vain
from tests.rows import NOON

# ── when all goes well ──────────────────────────────────────────────────────────────────────────


async def test_a_due_post_is_pressed_once_and_recorded_with_the_sites_reference(house: House) -> None:
    post_id = await house.queued("Bread rises")
    outcome = await post(house)
    assert (outcome.ending, outcome.figures) == (Ending.DONE, {"published": 1})
    assert await house.state(post_id) == ("published", 1)
    found = await rows.row(house.database, post_id)
    [entry] = house.site.ledger
    assert (entry.account, entry.text, found["reference"]) == ("ada", "Bread rises", entry.reference)
    assert house.site.presses == ["Bread rises"]
    assert set(house.slots()) == {"free"}
    assert house.woken == []


async def test_the_intent_is_committed_before_anything_is_pressed(house: House) -> None:
    post_id = await house.queued()
    pause = Pause()
    house.site.trouble["submit_post"].append(pause)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(post, house)
        await pause.is_reached.wait()
        found = await rows.row(house.database, post_id)
        assert (found["state"], found["attempt"], found["submitted_at"]) == ("submitting", 1, NOON)
        assert await rows.counted(house.database) == 1
        pause.go_on.set()


async def test_without_a_due_post_no_slot_is_asked_for(house: House) -> None:
    await rows.queued(house.database, posts.Stamp(house.tools.fence.number, NOON + rows.MINUTE))
    assert (await post(house)).ending is Ending.NOTHING_TO_DO
    assert house.site.visits == []


async def test_one_run_publishes_one_post_the_oldest_due_one(house: House) -> None:
    for text in ("one", "two"):
        await house.queued(text)
    await post(house)
    assert house.site.presses == ["one"]


async def test_how_late_a_post_came_is_measured(house: House) -> None:
    await house.queued()
    house.moment.go(seconds=90)
    await post(house)
    assert b"orchestrator_post_delay_seconds_sum 90.0" in house.tools.metrics.render()


# ── what the site answers ───────────────────────────────────────────────────────────────────────


async def test_a_post_that_the_site_refuses_is_failed_and_not_counted(house: House) -> None:
    post_id = await house.queued()
    house.site.trouble["submit_post"].append(PostRefusedError("murmur refuses the post: too long"))
    outcome = await post(house)
    assert (outcome.ending, outcome.figures) == (Ending.DONE, {"refused": 1})
    assert await house.state(post_id) == ("failed", 0)
    assert "too long" in (await rows.row(house.database, post_id))["detail"]
    assert (await post(house)).ending is Ending.NOTHING_TO_DO


@pytest.mark.parametrize("moment", ["write_post", "submit_post"])
@pytest.mark.parametrize("speed", [1.0, 240.0])
@pytest.mark.parametrize(("wish_s", "pause_s"), [(42.0, 42.0), (None, RATE_LIMIT_PAUSE_S)])
async def test_a_rate_limited_post_waits_as_long_as_the_site_wishes_in_real_time(
    house: House, moment: str, speed: float, wish_s: float | None, pause_s: float
) -> None:
    house.run_clock(speed)
    post_id = await house.queued()
    house.site.trouble[moment].append(SiteRateLimitedError("429", retry_in_s=wish_s))
    assert (await post(house)).ending is Ending.OVER_BUDGET
    assert await house.state(post_id) == ("queued", 0)
    found = await rows.row(house.database, post_id)
    assert (found["not_before"], found["detail"]) == (NOON + timedelta(seconds=pause_s * speed), "429")
    assert found["due_at"] == NOON
    assert (await post(house)).ending is Ending.NOTHING_TO_DO
    house.moment.go(seconds=pause_s * speed)
    await post(house)
    assert (await rows.row(house.database, post_id))["state"] == "published"
    assert len(house.site.ledger) == 1


async def test_what_a_site_asks_for_holds_over_a_restart(house: House) -> None:
    await house.queued()
    house.site.trouble["submit_post"].append(SiteRateLimitedError("429", retry_in_s=600.0))
    await post(house)
    await house.restart()
    await house.queued("another text")
    assert (await post(house)).ending is Ending.OVER_BUDGET
    assert len(house.site.visits) == 1
    house.moment.go(minutes=10)
    await post(house)
    assert len(house.site.ledger) == 1


async def test_what_the_site_has_not_looked_at_uses_up_no_try(house: House) -> None:
    post_id = await house.queued()
    for _ in range(house.tools.settings.posting.attempts):
        house.site.trouble["submit_post"].append(SiteRateLimitedError("429", retry_in_s=1.0))
        await post(house)
        house.moment.go(seconds=1)
    assert (await rows.row(house.database, post_id))["attempt"] == 0


async def test_a_post_that_could_not_be_pressed_is_put_back_and_uses_up_no_try(house: House) -> None:
    post_id = await house.queued()
    for _ in range(house.tools.settings.posting.attempts + 1):
        house.site.trouble["submit_post"].append(PostNotPressedError("submit was not pressed"))
        await post_in_vain(house, PostNotPressedError)
        assert await house.state(post_id) == ("queued", 0)
    assert house.woken == []
    await post(house)
    assert (await rows.row(house.database, post_id))["state"] == "published"


# ── what nobody knows ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("moment", ["submit_post", "accepted"])
@pytest.mark.parametrize(
    "error",
    [dropped(), PageUnexpectedError("garbage"), SiteUnavailableError("502"), KeyError("bug")],
    ids=lambda e: type(e).__name__,
)
async def test_after_the_press_whatever_is_no_plain_answer_makes_the_post_ambiguous(
    house: House, moment: str, error: Exception
) -> None:
    post_id = await house.queued()
    house.site.trouble[moment].append(error)
    await post_in_vain(house, type(error))
    assert await house.state(post_id) == ("ambiguous", 1)
    assert house.woken == ["reconciliation"]
    assert (await post(house)).ending is Ending.NOTHING_TO_DO  # it is never pressed again from here
    assert len(house.site.presses) == 1


async def test_a_browser_that_breaks_under_the_press_breaks_its_slot_too(house: House) -> None:
    post_id = await house.queued()
    error = PostUnclearError("submit was pressed, then: the browser died")
    error.__cause__ = BROKEN
    house.site.trouble["accepted"].append(error)
    await post_in_vain(house, PostUnclearError)
    assert await house.state(post_id) == ("ambiguous", 1)
    assert sorted(house.slots()) == ["broken", "free", "free"]


async def test_an_ambiguous_post_does_not_hold_up_the_next_one(house: House) -> None:
    await house.queued("one")
    second = await house.queued("two")
    house.site.trouble["accepted"].append(dropped())
    await post_in_vain(house, PostUnclearError)
    await post(house)
    assert (await house.state(second))[0] == "published"
