"""Posting: what fails before anything is pressed leaves the post queued and not counted."""

from datetime import UTC, datetime

import pytest
import trio
import trio.testing

from orchestrator.db.fence import Fence, boot_time
from orchestrator.db.pool import Database
from orchestrator.errors import (
    BrowserMissingError,
    ContextBrokenError,
    FenceLostError,
    OrchestratorError,
    PageUnexpectedError,
    PostRefusedError,
    QueueFullError,
    SignInRefusedError,
    SiteUnavailableError,
)
from orchestrator.jobs.posting import SETBACK
from orchestrator.model import Ending
from orchestrator.testing.house import settings_for
from tests import rows
from tests.jobs.house import House, make_house, new_fence
from tests.jobs.runs_of_posting import BROKEN, EARLY, post, post_in_vain
from tests.rows import NOON

# ── before anything is pressed ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("moment", EARLY)
@pytest.mark.parametrize(
    "error",
    [SiteUnavailableError("500"), PageUnexpectedError("garbage"), BROKEN],
    ids=lambda e: type(e).__name__,
)
async def test_a_passing_failure_puts_the_post_back_for_now_and_leaves_the_plan_alone(
    house: House, moment: str, error: OrchestratorError
) -> None:
    post_id = await house.queued()
    house.site.trouble[moment].append(error)
    house.moment.go(seconds=30)
    await post_in_vain(house, type(error))
    assert await house.state(post_id) == ("queued", 0)
    found = await rows.row(house.database, post_id)
    assert (found["not_before"], found["due_at"]) == (house.moment.now, NOON)
    assert house.site.presses == []
    await post(house)
    assert await house.state(post_id) == ("published", 1)


async def test_a_text_that_the_site_can_never_take_fails_before_anything_is_pressed(house: House) -> None:
    post_id = await house.queued("too long")
    house.site.trouble["write_post"].append(PostRefusedError("too long for the site"))
    await post(house)
    assert await house.state(post_id) == ("failed", 0)
    assert house.site.presses == []


async def test_a_lasting_failure_of_the_account_puts_the_post_off_so_that_others_go_on(house: House) -> None:
    stuck, next_one = await house.queued("stuck"), await house.queued("hers", "grace")
    house.site.trouble["write_post"].append(SignInRefusedError("wrong password"))
    await post_in_vain(house, SignInRefusedError)
    assert await house.state(stuck) == ("queued", 0)
    assert (await rows.row(house.database, stuck))["not_before"] == NOON + SETBACK
    await post(house)
    assert (await house.state(next_one))[0] == "published"
    assert house.site.presses == ["hers"]


async def test_a_browser_that_is_missing_leaves_the_post_queued(house: House) -> None:
    post_id = await house.queued()
    house.site.trouble["open_site"].append(BrowserMissingError("none"))
    await post_in_vain(house, BrowserMissingError)
    assert await house.state(post_id) == ("queued", 0)


async def test_a_broken_context_breaks_its_slot(house: House) -> None:
    await house.queued()
    house.site.trouble["write_post"].append(BROKEN)
    await post_in_vain(house, ContextBrokenError)
    assert sorted(house.slots()) == ["broken", "free", "free"]


async def test_a_bug_before_the_press_leaves_the_post_queued(house: House) -> None:
    post_id = await house.queued()
    house.site.trouble["write_post"].append(KeyError("bug"))
    await post_in_vain(house, KeyError)
    assert await house.state(post_id) == ("queued", 0)


async def test_a_full_queue_for_slots_leaves_the_post_queued(database: Database) -> None:
    guarantees = dict.fromkeys(("critical_guarantee", "high_guarantee", "background_guarantee"), 0)
    settings = settings_for(allocator={"queue_limit": 1, "capacity": 1, **guarantees})
    house = make_house(database, await new_fence(database), settings)
    post_id = await house.queued()
    lease = house.tools.allocator.lease
    async with lease("other", priority=0), trio.open_nursery() as nursery:

        async def wait_for_slot() -> None:
            async with lease("waiter", priority=0):
                pass

        nursery.start_soon(wait_for_slot)
        await trio.testing.wait_all_tasks_blocked()
        await post_in_vain(house, QueueFullError)
        assert await house.state(post_id) == ("queued", 0)
        nursery.cancel_scope.cancel()


# ── the daily limit ─────────────────────────────────────────────────────────────────────────────


async def house_with_limit(database: Database, now: datetime, limit: int) -> House:
    """Only grace, who lives in Berlin."""
    grace = {
        "name": "grace",
        "site": "murmur",
        "username": "grace",
        "password": "pass-of-nobody",
        "time_zone": "Europe/Berlin",
        "posts_per_day": limit,
    }
    house = make_house(database, await new_fence(database), settings_for(accounts=[grace]))
    house.moment.now = now
    return house


@pytest.mark.parametrize(
    ("now", "midnight"),
    [
        ("2026-05-04T12:00", "2026-05-04T22:00"),
        ("2026-05-04T21:59:59.999999", "2026-05-04T22:00"),
        ("2026-05-04T22:00", "2026-05-05T22:00"),
        ("2026-03-28T23:30", "2026-03-29T22:00"),  # a day of 23 hours
        ("2026-10-24T22:30", "2026-10-25T23:00"),  # a day of 25 hours
    ],
)
async def test_at_the_limit_the_post_waits_for_the_accounts_own_midnight(
    database: Database, now: str, midnight: str
) -> None:
    house = await house_with_limit(database, datetime.fromisoformat(now).replace(tzinfo=UTC), limit=1)
    await house.queued("one", "grace")
    await post(house)
    second = await house.queued("two", "grace")
    outcome = await post(house)
    assert outcome.ending is Ending.OVER_BUDGET
    found = await rows.row(house.database, second)
    assert (found["state"], found["attempt"], found["counted_on"]) == ("queued", 0, None)
    assert found["due_at"] == datetime.fromisoformat(midnight).replace(tzinfo=UTC)
    assert found["not_before"] is None  # it is planned for that day now, and not late before
    assert house.site.presses == ["one"]
    house.moment.now = found["due_at"]
    await post(house)
    assert house.site.presses == ["one", "two"]


async def test_a_limit_of_zero_never_posts(database: Database) -> None:
    house = await house_with_limit(database, NOON, limit=0)
    await house.queued("one", "grace")
    assert (await post(house)).ending is Ending.OVER_BUDGET
    assert house.site.presses == []


# ── the fence ───────────────────────────────────────────────────────────────────────────────────


def expired(number: int) -> Fence:
    """A fence that was not renewed in time."""
    return Fence(number, 10.0, asked_at=boot_time() - 10.0)


async def test_a_lease_that_may_be_lost_stops_the_press_and_the_post_is_put_back(database: Database) -> None:
    number = (await new_fence(database)).number
    house = make_house(database, expired(number), settings_for())
    post_id = await house.queued()
    await post_in_vain(house, FenceLostError)
    assert await house.state(post_id) == ("queued", 0)
    assert house.site.presses == []


async def test_a_daemon_that_was_overtaken_before_the_intent_presses_nothing(house: House) -> None:
    post_id = await house.queued()

    async def overtake() -> None:
        await new_fence(house.database)

    house.database.before("intend", overtake)
    await post_in_vain(house, FenceLostError)
    assert await house.state(post_id) == ("claimed", 0)
    assert house.site.presses == []
    await rows.recover(house.database, NOON)
    assert await house.state(post_id) == ("queued", 0)


async def test_a_daemon_that_was_overtaken_after_the_intent_presses_nothing_and_writes_nothing(
    database: Database,
) -> None:
    number = (await new_fence(database)).number
    house = make_house(database, expired(number), settings_for())
    post_id = await house.queued()

    async def overtake() -> None:
        await new_fence(house.database)

    house.database.after("intend", overtake)
    await post_in_vain(house, FenceLostError)
    assert house.site.presses == []
    assert await house.state(post_id) == ("submitting", 1)
    await rows.recover(house.database, NOON)
    assert await house.state(post_id) == ("ambiguous", 1)


async def test_a_daemon_that_was_overtaken_during_the_press_leaves_the_record_to_the_new_one(
    house: House,
) -> None:
    post_id = await house.queued()

    async def overtake() -> None:
        await new_fence(house.database)

    house.database.before("publish", overtake)
    await post_in_vain(house, FenceLostError)
    assert await house.state(post_id) == ("submitting", 1)
    assert len(house.site.ledger) == 1
