"""Posting, cancelled or without its database at every point: nothing pressed twice, nothing lost."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from orchestrator.db import doubts
from orchestrator.errors import (
    DatabaseUnavailableError,
    LeaseEndedError,
    PostRefusedError,
    PostStateError,
    SiteRateLimitedError,
    SiteUnavailableError,
)
from orchestrator.jobs import posting
from orchestrator.model import Ending
from orchestrator.testing.site import Pause
from tests import rows
from tests.fakes_db import Hook, cancelling, raising
from tests.jobs.house import House
from tests.jobs.runs_of_posting import AWAY, EARLY, post, post_in_vain, post_until_cancelled
from tests.rows import NOON

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


async def test_a_settlement_that_takes_long_is_waited_for(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "RECORD_PATIENCE_S", 0.0)
    post_id = await house.queued()
    house.site.trouble["write_post"].append(SiteUnavailableError("down"))
    house.database.before("put_back", trio.testing.wait_all_tasks_blocked)
    await post_in_vain(house, SiteUnavailableError)
    assert await house.state(post_id) == ("queued", 0)


async def test_a_settlement_that_is_cut_off_is_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "RECORD_PATIENCE_S", 0.0)
    await house.queued()
    pause, scope = Pause(), trio.CancelScope()
    house.site.trouble["submit_post"].append(pause)
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(post_until_cancelled, house, scope)
            await pause.is_reached.wait()
            scope.cancel()
    assert "not_recorded" in [line["event"] for line in logs]


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
    await house.database.run(doubts.doubt_stuck, house.stamp(), NOON - timedelta(seconds=stuck_s))
    assert await house.state(post_id) == ("submitting", 1)
    later = house.moment.go(seconds=stuck_s + 1)
    assert (
        await house.database.run(doubts.doubt_stuck, house.stamp(), later - timedelta(seconds=stuck_s)) == 1
    )
    assert await house.state(post_id) == ("ambiguous", 1)
    assert len(house.site.presses) == 1


async def test_an_answer_that_comes_after_the_post_was_called_stuck_changes_nothing(house: House) -> None:
    """Reconciliation may have looked already: only it may go on from there."""
    post_id = await house.queued()

    async def call_stuck() -> None:
        await house.database.run(doubts.doubt_stuck, house.stamp(), NOON + timedelta(seconds=1))

    house.database.before("publish", call_stuck)
    await post_in_vain(house, PostStateError)
    assert await house.state(post_id) == ("ambiguous", 1)
