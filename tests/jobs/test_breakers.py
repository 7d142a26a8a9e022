"""Jobs and the breakers before the sites: a site that is left alone costs no try, no slot and no post."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio
import trio.testing

from orchestrator.actors import attempt
from orchestrator.actors.job import Job, Run
from orchestrator.db.pool import Database
from orchestrator.errors import BreakerOpenError, PostUnclearError, SiteUnavailableError
from orchestrator.jobs.metrics_scraper import measure
from orchestrator.jobs.posting import post_one
from orchestrator.jobs.reconciliation import reconcile
from orchestrator.model import Ending, Outcome
from orchestrator.retry import Tries
from orchestrator.testing.house import PASSWORD, settings_for
from orchestrator.testing.site import Pause, dropped
from tests import rows
from tests.jobs.house import House, make_house, new_fence

ADAS, GRACES = "site:murmur", "site:forum"


@pytest.fixture
async def house(database: Database) -> House:
    """Ada and grace, each on a site of their own."""
    sites = {name: {"profile": "microblog"} for name in ("murmur", "forum")}
    accounts = [
        {"name": name, "site": site, "username": name, "password": PASSWORD}
        for name, site in (("ada", "murmur"), ("grace", "forum"))
    ]
    settings = settings_for(sites=sites, accounts=accounts, breakers={"failures": 3})
    return make_house(database, await new_fence(database), settings)


async def post(house: House) -> Outcome:
    return await post_one(house.run("posting"), house.tools)


def force(house: House, order: str, *names: str) -> None:
    for name in names or (ADAS, GRACES):
        house.tools.breakers.obey(name, order, "root")


async def doubtful(house: House, account: str) -> int:
    """A post of the account that is on the site, and nobody knows; its id."""
    post_id = await house.queued(f"of {account}", account)
    house.site.trouble["accepted"].append(dropped())
    with pytest.raises(PostUnclearError):
        await post(house)
    return post_id


@asynccontextmanager
async def all_slots_taken(house: House) -> AsyncIterator[None]:
    async with AsyncExitStack() as leases:
        for _ in house.slots():
            await leases.enter_async_context(house.tools.allocator.lease("another job", priority=0))
        yield


# ── posting ─────────────────────────────────────────────────────────────────────────────────────


async def test_visits_without_an_answer_open_the_breaker_and_then_the_post_just_waits(house: House) -> None:
    post_id = await house.queued()
    for _ in range(3):
        house.site.trouble["write_post"].append(SiteUnavailableError("murmur answers 500"))
        with pytest.raises(SiteUnavailableError):
            await post(house)
    visits = len(house.site.visits)
    outcome = await post(house)
    assert outcome.ending is Ending.SKIPPED
    assert "site:murmur is not asked" in outcome.detail
    assert "murmur answers 500" in outcome.detail
    assert len(house.site.visits) == visits
    assert await house.state(post_id) == ("queued", 0)
    force(house, "close", ADAS)
    assert house.woken == ["posting"]
    await post(house)
    assert await house.state(post_id) == ("published", 1)


async def test_a_site_that_is_left_alone_holds_up_no_other_one(house: House) -> None:
    hers, his = await house.queued("hers", "ada"), await house.queued("his", "grace")
    force(house, "open", ADAS)
    assert (await post(house)).ending is Ending.DONE
    assert (await house.state(his))[0] == "published"
    assert await house.state(hers) == ("queued", 0)
    assert (await rows.row(house.database, hers))["detail"] == ""
    force(house, "auto", ADAS)  # it is to be looked at first; without a keeper the next visit is the look
    await post(house)
    assert house.woken == ["posting"]
    assert (await house.state(hers))[0] == "published"


async def test_a_breaker_that_opens_while_a_context_is_waited_for_leaves_the_post_queued(
    house: House,
) -> None:
    hers = await house.queued("hers", "ada")
    his = await house.queued("his", "grace")
    async with trio.open_nursery() as nursery, all_slots_taken(house):
        nursery.start_soon(post, house)
        while not house.tools.allocator.snapshot().queue:
            await trio.lowlevel.checkpoint()
        assert (await house.state(hers))[0] == "claimed"
        force(house, "open", ADAS)
    assert await house.state(hers) == ("queued", 0)
    assert (await house.state(his))[0] == "published"  # its turn came in the same run
    assert [account for account, _ in house.site.visits] == ["grace"]
    assert set(house.slots()) == {"free"}


@pytest.mark.parametrize("moment", ["write_post", "submit_post", "accepted"])
async def test_a_breaker_that_opens_during_a_visit_changes_nothing_of_it(house: House, moment: str) -> None:
    post_id = await house.queued()
    pause = Pause()
    house.site.trouble[moment].append(pause)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(post, house)
        await pause.is_reached.wait()
        force(house, "open")
        pause.go_on.set()
    assert await house.state(post_id) == ("published", 1)
    assert len(house.site.ledger) == 1


async def test_an_open_breaker_waits_for_no_context(house: House) -> None:
    await house.queued()
    force(house, "open")
    async with all_slots_taken(house):
        assert (await post(house)).ending is Ending.SKIPPED
        with pytest.raises(BreakerOpenError, match="by order of an operator"):
            async with house.tools.visit(house.run("own"), house.tools.accounts["ada"]):
                pytest.fail("the site was visited")


# ── the other jobs ──────────────────────────────────────────────────────────────────────────────


async def test_reconciliation_settles_what_it_can_and_names_the_site_that_was_not_asked(
    house: House,
) -> None:
    hers, his = await doubtful(house, "ada"), await doubtful(house, "grace")
    house.woken.clear()
    force(house, "open", ADAS)
    outcome = await reconcile(house.run("reconciliation"), house.tools)
    assert (outcome.ending, outcome.figures) == (Ending.DONE, {"settled": 1, "left": 1})
    assert outcome.detail == "1 of 2 settled; not asked: site:murmur"
    assert (await house.state(his))[0] == "published"
    found = await rows.row(house.database, hers)
    assert (found["state"], found["missed_at"]) == ("ambiguous", None)
    force(house, "close", ADAS)
    assert house.woken == ["posting", "reconciliation"]  # its latest press there was unclear; turned away


async def test_a_run_that_could_ask_no_site_is_skipped(house: House) -> None:
    await doubtful(house, "ada")
    await rows.published(house.database, house.stamp(), "an older one")
    force(house, "open")
    visits = len(house.site.visits)
    for work in (reconcile, measure):
        outcome = await work(house.run("a job"), house.tools)
        assert outcome.ending is Ending.SKIPPED
        assert "site:murmur is not asked" in outcome.detail
    assert len(house.site.visits) == visits


async def test_a_job_that_meets_an_open_breaker_ends_skipped_whatever_it_does_of_it(house: House) -> None:
    """A user's own job needs no word on breakers: its run costs no try."""

    async def work(run: Run) -> Outcome:
        async with house.tools.visit(run, house.tools.accounts["ada"]):
            raise AssertionError("the site was visited")

    force(house, "open")
    job = Job("own", work, priority=5, every_s=60)
    tries = Tries(job.retry_rule)
    for _ in range(10):
        outcome, bug = await attempt.work(job, house.run("own"), tries)
        assert (outcome.ending, bug) == (Ending.SKIPPED, None)
    assert tries.attempt == 1
    force(house, "close", ADAS)
    assert house.woken == ["own"]
