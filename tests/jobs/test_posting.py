"""Posting, with a failure at every point: what the post and the counter say then, and what was pressed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import trio
import trio.testing

from orchestrator.db import posts
from orchestrator.db.fence import Fence, boot_time
from orchestrator.db.pool import Database
from orchestrator.errors import (
    BrowserMissingError,
    ContextBrokenError,
    DatabaseUnavailableError,
    FenceLostError,
    LeaseEndedError,
    OrchestratorError,
    PageUnexpectedError,
    PostRefusedError,
    PostStateError,
    PostUnclearError,
    QueueFullError,
    SignInRefusedError,
    SiteRateLimitedError,
    SiteUnavailableError,
)
from orchestrator.jobs import posting
from orchestrator.jobs.posting import RATE_LIMIT_PAUSE_S, SETBACK_S, post_one
from orchestrator.model import Ending, Outcome
from tests import rows
from tests.fakes_db import Hook, cancelling, raising
from tests.fakes_site import Pause, dropped
from tests.jobs.house import House, make_house, new_fence, settings_for
from tests.rows import NOON

AWAY = DatabaseUnavailableError("the database is away")
BROKEN = ContextBrokenError("the browser died")


async def post(house: House) -> Outcome:
    return await post_one(house.run(posting.NAME), house.tools)


async def post_in_vain(house: House, error: type[Exception]) -> None:
    with pytest.raises(error):
        await post(house)


async def post_until_cancelled(house: House, scope: trio.CancelScope) -> None:
    with scope:
        await post(house)
    assert scope.cancelled_caught


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


# ── before anything is pressed ──────────────────────────────────────────────────────────────────

EARLY = ["open_site", "write_post"]


@pytest.mark.parametrize("moment", EARLY)
@pytest.mark.parametrize(
    "error",
    [SiteUnavailableError("500"), PageUnexpectedError("garbage"), BROKEN],
    ids=lambda e: type(e).__name__,
)
async def test_a_passing_failure_puts_the_post_back_due_now(
    house: House, moment: str, error: OrchestratorError
) -> None:
    post_id = await house.queued()
    house.site.trouble[moment].append(error)
    house.moment.go(seconds=30)
    await post_in_vain(house, type(error))
    assert await house.state(post_id) == ("queued", 0)
    assert (await rows.row(house.database, post_id))["due_at"] == house.moment.now
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
    assert (await rows.row(house.database, stuck))["due_at"] == NOON + timedelta(seconds=SETBACK_S)
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
    settings = settings_for(
        allocator={"queue_limit": 1, "capacity": 1, "high_guarantee": 0, "background_guarantee": 0}
    )
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


# ── what the site answers ───────────────────────────────────────────────────────────────────────


async def test_a_post_that_the_site_refuses_is_failed_and_not_counted(house: House) -> None:
    post_id = await house.queued()
    house.site.trouble["submit_post"].append(PostRefusedError("murmur refuses the post: too long"))
    outcome = await post(house)
    assert (outcome.ending, outcome.figures) == (Ending.DONE, {"refused": 1})
    assert await house.state(post_id) == ("failed", 0)
    assert "too long" in (await rows.row(house.database, post_id))["detail"]
    assert (await post(house)).ending is Ending.NOTHING_TO_DO


@pytest.mark.parametrize(("wish_s", "pause_s"), [(42.0, 42.0), (None, RATE_LIMIT_PAUSE_S)])
async def test_a_rate_limited_post_is_due_again_when_the_site_wishes(
    house: House, wish_s: float | None, pause_s: float
) -> None:
    post_id = await house.queued()
    house.site.trouble["submit_post"].append(SiteRateLimitedError("429", retry_in_s=wish_s))
    assert (await post(house)).ending is Ending.OVER_BUDGET
    assert await house.state(post_id) == ("queued", 0)
    assert (await rows.row(house.database, post_id))["due_at"] == NOON + timedelta(seconds=pause_s)
    assert (await post(house)).ending is Ending.NOTHING_TO_DO
    house.moment.go(seconds=pause_s)
    await post(house)
    assert await house.state(post_id) == ("published", 1)
    assert len(house.site.ledger) == 1


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


# ── cancelled ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("moment", EARLY)
async def test_cancelled_before_the_press_the_post_is_queued(house: House, moment: str) -> None:
    post_id = await house.queued()
    pause, scope = Pause(), trio.CancelScope()
    house.site.trouble[moment].append(pause)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(post_until_cancelled, house, scope)
        await pause.is_reached.wait()
        scope.cancel()
    assert await house.state(post_id) == ("queued", 0)
    assert house.site.presses == []
    assert set(house.slots()) == {"free"}


async def test_cancelled_while_it_waits_for_a_slot_the_post_is_queued(house: House) -> None:
    post_id = await house.queued()
    scope = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(hold_slot, house)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(post_until_cancelled, house, scope)
        while not house.tools.allocator.snapshot().queue:
            await trio.sleep(0.001)
        scope.cancel()
        while (await house.state(post_id))[0] != "queued":
            await trio.sleep(0.001)
        nursery.cancel_scope.cancel()
    assert await house.state(post_id) == ("queued", 0)


async def hold_slot(house: House) -> None:
    async with house.tools.allocator.lease("other", priority=0):
        await trio.sleep_forever()


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("work", ["claim_due", "intend"])
async def test_cancelled_around_a_commit_before_the_press_nothing_is_pressed_and_it_goes_on(
    house: House, work: str, place: str
) -> None:
    post_id = await house.queued()
    scope = trio.CancelScope()
    put: Callable[[str, Hook], None] = getattr(house.database, place)
    put(work, cancelling(scope))
    await post_until_cancelled(house, scope)
    assert house.site.presses == []
    await post(house)
    assert await house.state(post_id) == ("published", 1)
    assert len(house.site.ledger) == 1


@pytest.mark.parametrize("moment", ["submit_post", "accepted"])
async def test_cancelled_during_the_press_the_post_is_ambiguous(house: House, moment: str) -> None:
    post_id = await house.queued()
    pause, scope = Pause(), trio.CancelScope()
    house.site.trouble[moment].append(pause)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(post_until_cancelled, house, scope)
        await pause.is_reached.wait()
        scope.cancel()
    assert await house.state(post_id) == ("ambiguous", 1)
    assert house.woken == ["reconciliation"]


@pytest.mark.parametrize(("place", "state"), [("before", "ambiguous"), ("after", "published")])
async def test_cancelled_around_the_record_of_the_answer_the_post_is_not_lost(
    house: House, place: str, state: str
) -> None:
    post_id = await house.queued()
    scope = trio.CancelScope()
    put: Callable[[str, Hook], None] = getattr(house.database, place)
    put("publish", cancelling(scope))
    await post_until_cancelled(house, scope)
    assert await house.state(post_id) == (state, 1)
    assert len(house.site.ledger) == 1


async def test_a_lease_that_expires_under_the_press_makes_the_post_ambiguous(
    house: House, autojump_clock: trio.testing.MockClock
) -> None:
    post_id = await house.queued()
    house.site.trouble["accepted"].append(Pause())
    await post_in_vain(house, LeaseEndedError)
    assert await house.state(post_id) == ("ambiguous", 1)


# ── the database is away ────────────────────────────────────────────────────────────────────────


async def test_a_database_that_is_away_before_the_claim_costs_nothing(house: House) -> None:
    post_id = await house.queued()
    house.database.before("claim_due", raising(AWAY))
    await post_in_vain(house, DatabaseUnavailableError)
    assert await house.state(post_id) == ("queued", 0)


async def test_a_claim_whose_answer_was_lost_is_made_again(house: House) -> None:
    post_id = await house.queued()
    house.database.after("claim_due", raising(AWAY))
    await post_in_vain(house, DatabaseUnavailableError)
    assert await house.state(post_id) == ("claimed", 0)
    await post(house)
    assert await house.state(post_id) == ("published", 1)


@pytest.mark.parametrize("place", ["before", "after"])
async def test_an_intent_that_may_not_have_been_committed_presses_nothing_and_gives_the_count_back(
    house: House, place: str
) -> None:
    post_id = await house.queued()
    put: Callable[[str, Hook], None] = getattr(house.database, place)
    put("intend", raising(AWAY))
    await post_in_vain(house, DatabaseUnavailableError)
    assert await house.state(post_id) == ("queued", 0)
    assert house.site.presses == []


ANSWERS: list[tuple[str, Exception | None, tuple[str, int]]] = [
    ("publish", None, ("published", 1)),
    ("fail", PostRefusedError("no"), ("failed", 0)),
    ("requeue", SiteRateLimitedError("429"), ("queued", 0)),
]


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize(("work", "answer", "state"), ANSWERS, ids=[work for work, _, _ in ANSWERS])
async def test_the_sites_answer_is_recorded_once_the_database_is_back(
    house: House,
    autojump_clock: trio.testing.MockClock,
    work: str,
    answer: Exception | None,
    state: tuple[str, int],
    place: str,
) -> None:
    await rows.published(house.database, house.stamp(), "another one")  # a second refund would show
    post_id = await house.queued()
    house.database.asked.clear()
    if answer is not None:
        house.site.trouble["submit_post"].append(answer)
    put: Callable[..., None] = getattr(house.database, place)
    put(work, *[raising(AWAY)] * 4)
    await post(house)
    assert await house.state(post_id) == (state[0], state[1] + 1)
    assert house.database.asked.count(work) == 5
    assert len(house.site.presses) == 1


async def test_a_database_that_stays_away_leaves_the_post_visibly_submitting_until_it_is_stuck(
    house: House, autojump_clock: trio.testing.MockClock
) -> None:
    post_id = await house.queued()

    async def go_away() -> None:
        house.database.is_down = lambda: AWAY
        await trio.lowlevel.checkpoint()

    house.database.before("publish", go_away)
    await post_in_vain(house, DatabaseUnavailableError)
    house.database.is_down = None
    assert await house.state(post_id) == ("submitting", 1)
    assert (await post(house)).ending is Ending.NOTHING_TO_DO
    stuck_s = house.tools.settings.posting.stuck_s
    await house.database.run(posts.doubt_stuck, house.stamp(), NOON - timedelta(seconds=stuck_s))
    assert await house.state(post_id) == ("submitting", 1)
    later = house.moment.go(seconds=stuck_s + 1)
    assert await house.database.run(posts.doubt_stuck, house.stamp(), later - timedelta(seconds=stuck_s)) == 1
    assert await house.state(post_id) == ("ambiguous", 1)
    assert len(house.site.presses) == 1


async def test_an_answer_that_comes_after_the_post_was_called_stuck_changes_nothing(house: House) -> None:
    """Reconciliation may have looked already: only it may go on from there."""
    post_id = await house.queued()

    async def call_stuck() -> None:
        await house.database.run(posts.doubt_stuck, house.stamp(), NOON + timedelta(seconds=1))

    house.database.before("publish", call_stuck)
    await post_in_vain(house, PostStateError)
    assert await house.state(post_id) == ("ambiguous", 1)
