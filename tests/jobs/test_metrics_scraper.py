"""The metrics scraper: what it reads, and what is kept when a visit ends early."""

from datetime import timedelta

import pytest
import trio
import trio.testing

from orchestrator.errors import (
    BrowserError,
    ContextBrokenError,
    DatabaseUnavailableError,
    FenceLostError,
    PageUnexpectedError,
    SignedOutError,
    SignInRefusedError,
    SiteError,
    SiteRateLimitedError,
    SiteUnavailableError,
)
from orchestrator.jobs import metrics_scraper
from orchestrator.jobs.metrics_scraper import MAX_FAILED_IN_A_ROW, measure
from orchestrator.jobs.posting import post_one
from orchestrator.model import Ending, Outcome, PostMetrics, done
from orchestrator.testing.site import Pause
from tests import rows
from tests.fakes_db import raising
from tests.jobs.house import House, new_fence

SEEN = PostMetrics(likes=3, replies=1, views=90)


async def scrape(house: House) -> Outcome:
    return await measure(house.run(metrics_scraper.NAME, priority=1), house.tools)


async def publish(house: House, *texts: str, account: str = "ada") -> list[str]:
    """Publish posts a second apart; their references."""
    for text in texts:
        await house.queued(text, account)
        await post_one(house.run("posting"), house.tools)
        house.moment.go(seconds=1)
    references = [entry.reference for entry in house.site.of(account)]
    house.site.metrics |= dict.fromkeys(references, SEEN)
    return references


async def kept(house: House) -> list[str]:
    """The references of the posts that have metrics, in the order of publication."""
    found = await rows.fetch(
        house.database,
        "SELECT reference FROM posts p JOIN post_metrics m ON m.post_id = p.id ORDER BY p.id, m.read_at",
    )
    return [one["reference"] for one in found]


async def test_what_a_posts_page_shows_is_kept_with_its_moment(house: House) -> None:
    await publish(house, "one")
    outcome = await scrape(house)
    assert (outcome.ending, outcome.figures) == (
        Ending.DONE,
        {"pages": 1, "gone": 0, "failed": 0, "gave_back": 0},
    )
    [found] = await rows.fetch(house.database, "SELECT read_at, likes, replies, views FROM post_metrics")
    assert tuple(found.values()) == (house.moment.now, 3, 1, 90)


async def test_without_anything_due_no_slot_is_asked_for(house: House) -> None:
    await publish(house, "one")
    await scrape(house)
    house.site.visits.clear()
    assert (await scrape(house)).ending is Ending.NOTHING_TO_DO
    assert house.site.visits == []


async def test_a_post_is_read_again_when_its_tier_says_so(house: House) -> None:
    [reference] = await publish(house, "one")
    await scrape(house)
    house.moment.go(minutes=20)
    await scrape(house)
    assert house.site.looks == [reference] * 2
    assert await kept(house) == [reference] * 2


async def test_each_accounts_posts_are_read_in_one_visit_of_its_own(house: House) -> None:
    hers, his = await publish(house, "one", "two"), await publish(house, "three", account="grace")
    house.site.visits.clear()
    await scrape(house)
    assert [account for account, _ in house.site.visits] == ["ada", "grace"]
    assert house.site.looks == [*hers, *his]


async def test_a_post_that_is_gone_from_the_site_is_not_looked_for_again_at_once(house: House) -> None:
    gone, there = await publish(house, "one", "two")
    house.site.gone.add(gone)
    assert (await scrape(house)).figures == {"pages": 1, "gone": 1, "failed": 0, "gave_back": 0}
    assert await kept(house) == [there]
    assert (await scrape(house)).ending is Ending.NOTHING_TO_DO


@pytest.mark.parametrize(
    "error",
    [PageUnexpectedError("no likes on it"), SiteUnavailableError("500")],
    ids=lambda e: type(e).__name__,
)
async def test_a_page_that_can_not_be_read_costs_its_own_post_only_and_that_until_its_next_turn(
    house: House, error: Exception
) -> None:
    odd, fine = await publish(house, "one", "two")
    house.site.trouble["read_metrics"].append(error)
    assert (await scrape(house)).figures == {"pages": 1, "gone": 0, "failed": 1, "gave_back": 0}
    assert await kept(house) == [fine]
    assert (await scrape(house)).ending is Ending.NOTHING_TO_DO
    house.moment.go(minutes=20)
    await scrape(house)
    assert await kept(house) == [odd, fine, fine]


async def test_a_site_that_is_down_is_not_asked_for_every_post(house: House) -> None:
    await publish(house, *(f"text {number}" for number in range(9)))
    his = await publish(house, "his", account="grace")
    house.site.trouble["read_metrics"] += [SiteUnavailableError("500")] * MAX_FAILED_IN_A_ROW
    with pytest.raises(SiteUnavailableError):
        await scrape(house)
    assert house.site.looks == his
    assert (await scrape(house)).figures["pages"] == 9 - MAX_FAILED_IN_A_ROW  # others have their turn first


@pytest.mark.parametrize(
    "error",
    [SiteRateLimitedError("429", retry_in_s=40.0), SignedOutError("it knows nobody")],
    ids=lambda e: type(e).__name__,
)
async def test_what_every_page_would_meet_ends_the_visit_and_costs_no_post_its_turn(
    house: House, error: Exception
) -> None:
    references = await publish(house, "one", "two")
    house.site.trouble["read_metrics"].append(error)
    with pytest.raises(type(error)):
        await scrape(house)
    assert house.site.looks == []
    house.moment.go(seconds=40)
    await scrape(house)
    assert await kept(house) == references


async def test_a_site_that_asks_for_patience_is_not_asked_before_that_in_no_job_and_other_accounts_are(
    house: House,
) -> None:
    hers, his = await publish(house, "one"), await publish(house, "two", account="grace")
    house.site.trouble["read_metrics"].append(SiteRateLimitedError("429", retry_in_s=3600.0))
    with pytest.raises(SiteRateLimitedError):
        await scrape(house)
    house.moment.go(seconds=3599)
    house.site.visits.clear()
    await house.queued("three")
    with pytest.raises(SiteRateLimitedError, match="for 1 s more"):
        await scrape(house)
    assert (await post_one(house.run("posting"), house.tools)).ending is Ending.OVER_BUDGET
    assert [account for account, _ in house.site.visits] == ["grace"]
    house.moment.go(seconds=1)
    assert (await post_one(house.run("posting"), house.tools)).ending is Ending.DONE
    await scrape(house)
    assert set(hers + his) <= set(await kept(house))


async def test_the_account_that_was_looked_at_longest_ago_comes_first(house: House) -> None:
    for account in ("ada", "grace"):
        await publish(house, "one", account=account)
    await scrape(house)
    await publish(house, "two", account="ada")
    await scrape(house)
    house.moment.go(minutes=20)
    house.site.visits.clear()
    await scrape(house)
    assert [account for account, _ in house.site.visits] == ["grace", "ada"]


@pytest.mark.parametrize(
    "error",
    [SiteRateLimitedError("429"), KeyError("bug")],
    ids=lambda e: type(e).__name__,
)
async def test_what_was_read_before_a_failure_is_kept(house: House, error: Exception) -> None:
    first, second, third = await publish(house, "one", "two", "three")
    pause = Pause()
    pause.go_on.set()
    house.site.trouble["read_metrics"] += [pause, pause, error]
    with pytest.raises(type(error)):
        await scrape(house)
    assert await kept(house) == [first, second]
    await scrape(house)
    assert await kept(house) == [first, second, third]


@pytest.mark.parametrize(
    "error",
    [BrowserError("the execution context was destroyed"), ContextBrokenError("the page crashed")],
    ids=lambda e: type(e).__name__,
)
async def test_a_page_that_the_browser_fails_on_holds_up_neither_the_posts_beside_it_nor_other_accounts(
    house: House, error: Exception
) -> None:
    poison, fine = await publish(house, "one", "two")
    his = await publish(house, "three", account="grace")
    house.site.trouble["read_metrics"].append(error)
    with pytest.raises(type(error)):
        await scrape(house)
    assert await kept(house) == his
    await scrape(house)
    assert await kept(house) == [fine, *his]
    house.moment.go(minutes=20)
    await scrape(house)
    assert poison in await kept(house)


async def test_what_was_read_before_a_cancellation_is_kept(house: House) -> None:
    first, _ = await publish(house, "one", "two")
    through, stop = Pause(), Pause()
    through.go_on.set()
    house.site.trouble["read_metrics"] += [through, stop]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scrape, house)
        await stop.is_reached.wait()
        nursery.cancel_scope.cancel()
    assert await kept(house) == [first]


async def test_a_slot_that_is_called_back_is_given_back_after_the_present_page_and_another_asked_for(
    house: House,
) -> None:
    references, pause = await publish(house, "one", "two", "three"), Pause()
    house.site.trouble["read_metrics"].append(pause)
    assert await scrape_and_call_back(house, pause, looks_before=references[:1]) == done(
        "3 read, 1 × gave its context back", pages=3, gone=0, failed=0, gave_back=1
    )
    assert house.site.looks == await kept(house) == references


async def test_a_slot_that_is_called_back_before_the_first_page_is_asked_for_again(house: House) -> None:
    references, pause = await publish(house, "one"), Pause()
    house.site.trouble["open_site"].append(pause)
    assert await scrape_and_call_back(house, pause, looks_before=[]) == done(
        "1 read, 1 × gave its context back", pages=1, gone=0, failed=0, gave_back=1
    )
    assert house.site.looks == await kept(house) == references


async def scrape_and_call_back(house: House, pause: Pause, looks_before: list[str]) -> Outcome:
    """A run whose slot is called back in the pause, for one who then holds it until the run waits again."""
    allocator, outcomes = house.tools.allocator, []
    is_called_back_for, is_over = trio.Event(), trio.Event()

    async def hold(priority: int, has_it: trio.Event) -> None:
        async with allocator.lease("other", priority=priority):
            has_it.set()
            await is_over.wait()

    async def run() -> None:
        outcomes.append(await scrape(house))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold, 1, trio.Event())  # high's guarantee is taken, so the scraper borrows
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(run)
        await pause.is_reached.wait()
        nursery.start_soon(hold, 2, is_called_back_for)
        await trio.testing.wait_all_tasks_blocked()
        pause.go_on.set()
        await is_called_back_for.wait()
        while not allocator.snapshot().queue:
            await trio.sleep(0.001)
        assert house.site.looks == await kept(house) == looks_before
        is_over.set()
    [outcome] = outcomes
    return outcome


@pytest.mark.parametrize(
    "error",
    [SignInRefusedError("wrong password"), SiteRateLimitedError("429")],
    ids=lambda e: type(e).__name__,
)
async def test_an_account_that_can_not_be_used_does_not_hold_up_the_others(
    house: House, error: SiteError
) -> None:
    await publish(house, "one")
    his = await publish(house, "two", account="grace")
    house.site.refuses["ada"] = error
    with pytest.raises(type(error)):
        await scrape(house)
    assert await kept(house) == his


async def test_a_record_that_fails_is_made_up_by_the_next_look(house: House) -> None:
    [reference] = await publish(house, "one")
    house.database.before("record", raising(DatabaseUnavailableError("away")))
    with pytest.raises(DatabaseUnavailableError):
        await scrape(house)
    await scrape(house)
    assert await kept(house) == [reference]


async def test_a_record_that_takes_long_is_waited_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_scraper, "STORE_PATIENCE_S", 0.0)
    [reference] = await publish(house, "one")
    house.database.before("record", trio.testing.wait_all_tasks_blocked)
    await scrape(house)
    assert await kept(house) == [reference]


async def test_a_daemon_that_was_overtaken_records_nothing(house: House) -> None:
    await publish(house, "one")
    await new_fence(house.database)
    with pytest.raises(FenceLostError):
        await scrape(house)
    assert await kept(house) == []


async def test_a_batch_is_bounded_and_the_rest_follows(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_scraper, "BATCH", 2)
    references = await publish(house, "one", "two", "three")
    assert (await scrape(house)).figures["pages"] == 2
    assert (await scrape(house)).figures["pages"] == 1
    assert await kept(house) == references
    assert house.moment.now - rows.NOON == timedelta(seconds=3)
