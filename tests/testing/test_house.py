"""The house for the tests of users' own jobs: jobs run in it as in the daemon."""

import itertools
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
import trio

from orchestrator.errors import (
    ContextBrokenError,
    DatabaseError,
    PostMissingError,
    SignInRefusedError,
    SiteUnavailableError,
)
from orchestrator.jobs import Account, RetryRule, Run, Tools, done, job, nothing_to_do, over_budget
from orchestrator.jobs.own import OwnJob
from orchestrator.model import Ending, Outcome
from orchestrator.sites.driver import AccountFigures
from orchestrator.testing.clock import START
from orchestrator.testing.house import House, open_house, settings_for
from orchestrator.testing.site import Pause

Failing = Callable[[], Exception]


@job(every_s=900, uses_browser=True)
async def followers(run: Run, tools: Tools) -> Outcome:
    """Reads each account's followers; stops when its slot is wanted."""
    total = 0
    for count, account in enumerate(tools.accounts.values(), start=1):
        async with tools.visit(run, account) as visit:
            total += (await visit.site.read_account()).followers
            run.beat(f"{count} of {len(tools.accounts)} read")
            if visit.lease.is_called_back:
                return done("gave the slot back", read=count)
    if total == await tools.recall(run, "total"):
        return nothing_to_do("as before")
    await tools.remember(run, "total", total)
    return done(f"{total} followers", followers=total)


# ── one run ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_run_reads_what_the_site_says(house: House) -> None:
    house.site.figures["ada"] = AccountFigures(followers=12, following=1, posts=2)
    assert await house.run(followers) == done("12 followers", followers=12)
    assert house.beats == ["1 of 2 read", "2 of 2 read"]
    assert [account for account, _slot in house.site.visits] == ["ada", "grace"]


async def test_what_a_run_keeps_the_next_one_finds(house: House) -> None:
    await house.run(followers)
    assert (await house.run(followers)).ending is Ending.NOTHING_TO_DO
    assert house.database.notes_of("followers") == {"total": 0}


async def test_a_test_can_say_what_was_kept_before(house: House) -> None:
    house.database.keep("followers", "total", 0)
    assert await house.run(followers) == nothing_to_do("as before")


async def test_none_is_forgotten(house: House) -> None:
    @job(every_s=900)
    async def forgetful(run: Run, tools: Tools) -> Outcome:
        await tools.remember(run, "total", None)
        return done(str(await tools.recall(run, "total")))

    house.database.keep("forgetful", "total", 1)
    assert await house.run(forgetful) == done("None")
    assert house.database.notes_of("forgetful") == {}


async def test_what_json_can_not_say_is_refused_as_the_real_database_does(house: House) -> None:
    @job(every_s=900)
    async def greedy(run: Run, tools: Tools) -> Outcome:
        with pytest.raises(DatabaseError):
            await tools.remember(run, "total", {1, 2})
        return done()

    assert await house.run(greedy) == done()


async def test_the_outcome_is_the_works_own(house: House) -> None:
    @job(every_s=900)
    async def spent(_run: Run, _tools: Tools) -> Outcome:
        return over_budget("enough for today")

    assert (await house.run(spent)).ending is Ending.OVER_BUDGET


async def test_a_run_can_be_one_that_somebody_asked_for(house: House) -> None:
    @job(every_s=900)
    async def curious(run: Run, _tools: Tools) -> Outcome:
        return done(str(run.is_asked))

    assert [(await house.run(curious, trigger)).detail for trigger in ("schedule", "asked by me")] == [
        "False",
        "True",
    ]


async def test_a_bug_of_the_job_is_the_tests_own_error(house: House) -> None:
    @job(every_s=900)
    async def broken(_run: Run, _tools: Tools) -> Outcome:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        await house.run(broken)


# ── a site, a browser and a database in trouble ─────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (SiteUnavailableError("503"), Ending.RETRY),
        (ContextBrokenError("it crashed"), Ending.RETRY),
        (PostMissingError("gone"), Ending.GIVEN_UP),
    ],
    ids=repr,
)
async def test_an_error_of_the_site_ends_the_run_as_in_the_daemon(
    house: House, error: Exception, ending: Ending
) -> None:
    house.site.trouble["read_account"].append(error)
    assert (await house.run(followers)).ending is ending
    assert (await house.run(followers)).ending is Ending.DONE


async def test_a_job_without_retries_gives_up_at_once(house: House) -> None:
    @job(every_s=900, retry=RetryRule(0, 1.0))
    async def impatient(_run: Run, _tools: Tools) -> Outcome:
        raise SiteUnavailableError("503")

    assert (await house.run(impatient)).ending is Ending.GIVEN_UP


async def test_a_refused_sign_in_is_not_sent_again(house: House) -> None:
    house.site.refuses["ada"] = SignInRefusedError("wrong password")
    assert await house.run(followers) == Outcome(Ending.GIVEN_UP, "wrong password")
    visits = len(house.site.visits)
    assert "not tried again by itself" in (await house.run(followers)).detail
    assert len(house.site.visits) == visits


async def test_a_slow_site_costs_time_and_beyond_the_longest_run_the_run(house: House) -> None:
    house.site.takes_s = 20
    before = house.now
    assert (await house.run(followers)).ending is Ending.DONE
    assert house.now - before >= timedelta(seconds=40)
    house.site.takes_s = 400
    assert await house.run(followers) == Outcome(Ending.GIVEN_UP, "stopped after 600 s")


async def test_a_run_can_be_held_at_a_page(house: House) -> None:
    pause = Pause()
    house.site.trouble["read_account"].append(pause)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.run, followers)
        await pause.is_reached.wait()
        assert slots(house) == ["leased", "free", "free"]
        pause.go_on.set()
    assert slots(house) == ["free", "free", "free"]


def slots(house: House) -> list[str]:
    return [slot.state for slot in house.tools.allocator.snapshot().slots]


async def test_a_context_that_broke_is_out_of_use_until_it_is_rebuilt(house: House) -> None:
    house.site.trouble["read_account"].append(ContextBrokenError("it crashed"))
    await house.run(followers)
    assert slots(house).count("broken") == 1
    await trio.sleep(house.browser.rebuild_s)
    await trio.testing.wait_all_tasks_blocked()
    assert (slots(house), len(house.browser.rebuilt)) == (["free", "free", "free"], 1)


async def test_one_slot_has_one_use_at_a_time(house: House) -> None:
    ada = house.tools.accounts["ada"].site
    async with house.browser.open_site(0, ada):
        with pytest.raises(RuntimeError, match="slot 0 is in use"):
            async with house.browser.open_site(0, ada):
                pass
    async with house.browser.open_site(0, ada):
        pass


async def test_a_database_that_is_down_refuses_everything(house: House) -> None:
    house.database.is_down = True
    assert (await house.run(followers)).ending is Ending.RETRY
    house.database.is_down = False
    assert (await house.run(followers)).ending is Ending.DONE


async def my_rows(_connection: Any, _limit: int) -> list[int]:
    raise AssertionError("a fake database runs no SQL")


async def test_works_of_the_jobs_own_are_answered_as_the_test_says(house: House) -> None:
    @job(every_s=900)
    async def rows(_run: Run, tools: Tools) -> Outcome:
        return done(str(await tools.database.run(my_rows, 2)))

    with pytest.raises(LookupError, match=r"my_rows: say what it gives with house.database.answer\(my_rows"):
        await house.run(rows)
    house.database.answer(my_rows, [7])
    assert await house.run(rows) == done("[7]")
    house.database.answer(my_rows, lambda limit: list(range(limit)))
    assert await house.run(rows) == done("[0, 1]")
    assert house.database.asked == ["my_rows"] * 3


# ── who may have a context ──────────────────────────────────────────────────────────────────────


async def test_a_job_that_has_not_declared_it_visits_no_site(house: House) -> None:
    @job(every_s=900, priority=0)
    async def undeclared(run: Run, tools: Tools) -> Outcome:
        async with tools.visit(run, tools.accounts["ada"]):
            return done()

    refused = (
        "job undeclared visits a site and has not declared that it does. "
        "Add uses_browser=True to its declaration"
    )
    outcome = await house.run(undeclared)
    assert (outcome.ending, outcome.detail) == (Ending.GIVEN_UP, refused)
    [ended] = await house.live(undeclared, hours=0.2)
    assert ended.outcome == outcome
    assert house.site.visits == []


async def test_a_job_has_one_context_at_a_time_within_another_visit_or_beside_it(house: House) -> None:
    refused = (
        "job greedy asked for a second context while it has one or waits for one. "
        "End one visit before the next begins"
    )

    @job(every_s=900, uses_browser=True)
    async def greedy(run: Run, tools: Tools) -> Outcome:
        ada, grace = tools.accounts.values()
        if run.trigger == "beside":
            async with trio.open_nursery() as nursery:
                for account in (ada, grace):
                    nursery.start_soon(look, run, tools, account)
            return done()
        async with tools.visit(run, ada), tools.visit(run, grace):
            return done()

    async def look(run: Run, tools: Tools, account: Account) -> None:
        async with tools.visit(run, account) as visit:
            await visit.site.read_account()

    for trigger in ("within", "beside"):
        outcome = await house.run(greedy, trigger)
        assert (outcome.ending, outcome.detail) == (Ending.GIVEN_UP, refused)
    assert (await house.run(followers)).ending is Ending.DONE


async def test_a_run_that_was_cut_off_as_it_waited_for_a_context_leaves_the_next_one_its_visit(
    house: House,
) -> None:
    waits = trio.CancelScope()
    async with AsyncExitStack() as others:
        for _ in range(house.tools.settings.allocator.capacity):
            await others.enter_async_context(house.tools.allocator.lease("others", priority=0))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_within, waits, house, followers)
            await trio.testing.wait_all_tasks_blocked()
            assert [waiter.holder for waiter in house.tools.allocator.snapshot().queue] == ["followers"]
            waits.cancel()
    assert (await house.run(followers)).ending is Ending.DONE


async def _within(scope: trio.CancelScope, house: House, what: OwnJob) -> None:
    with scope:
        await house.run(what)


# ── a slot that is called back ──────────────────────────────────────────────────────────────────


async def test_a_job_whose_slot_is_called_back_can_give_it_back(house: House) -> None:
    house.site.trouble["read_account"].append(house.call_back)
    assert await house.run(followers) == done("gave the slot back", read=1)
    assert await house.run(followers) == done("0 followers", followers=0)


async def test_a_job_that_keeps_a_slot_that_is_called_back_is_cancelled(house: House) -> None:
    pause = Pause()
    house.site.trouble["read_account"] += [house.call_back]
    house.site.trouble["read_metrics"].append(pause)

    @job(every_s=900, uses_browser=True)
    async def stubborn(run: Run, tools: Tools) -> Outcome:
        async with tools.visit(run, tools.accounts["ada"]) as visit:
            await visit.site.read_account()
            await visit.site.read_metrics("p1")
        return done()

    outcome = await house.run(stubborn)
    assert (outcome.ending, outcome.detail) == (
        Ending.RETRY,
        "the lease of stubborn on slot 0 was revoked",
    )


async def test_a_job_can_wait_for_the_call_back(house: House) -> None:
    @job(every_s=900, uses_browser=True)
    async def patient(run: Run, tools: Tools) -> Outcome:
        async with tools.visit(run, tools.accounts["ada"]) as visit:
            await visit.lease.wait_called_back()
            return done("called back")

    async with trio.open_nursery() as nursery:

        async def call_back() -> None:
            await trio.testing.wait_all_tasks_blocked()
            await house.call_back()

        nursery.start_soon(call_back)
        assert await house.run(patient) == done("called back")


async def test_a_slot_that_is_given_back_before_is_not_called_back(house: House) -> None:
    pause = Pause()
    house.site.trouble["read_account"].append(pause)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.run, followers)
        await pause.is_reached.wait()
        nursery.start_soon(house.call_back)
        await trio.testing.wait_all_tasks_blocked()
        pause.go_on.set()
    assert slots(house) == ["free", "free", "free"]


async def test_no_lease_can_be_called_back_where_there_is_none_or_a_critical_one(house: House) -> None:
    @job(every_s=900, uses_browser=True, priority=0)
    async def critical(run: Run, tools: Tools) -> Outcome:
        async with tools.visit(run, tools.accounts["ada"]) as visit:
            await visit.site.read_account()
        return done()

    with pytest.raises(RuntimeError, match="no lease can be called back"):
        await house.call_back()
    house.site.trouble["read_account"].append(house.call_back)
    with pytest.raises(RuntimeError, match="by critical jobs alone"):
        await house.run(critical)


# ── actors ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_job_lives_a_day_on_its_schedule(house: House) -> None:
    ended = await house.live(followers, hours=24)
    assert house.now - START == timedelta(hours=24)
    assert 96 <= len(ended) <= 104
    gaps = [later.started_at - one.started_at for one, later in itertools.pairwise(ended)]
    assert max(gaps) <= timedelta(minutes=16)
    assert [one.outcome.ending for one in ended] == [Ending.DONE] + [Ending.NOTHING_TO_DO] * (len(ended) - 1)


async def test_an_hourly_job_of_low_priority_comes_once_an_hour_at_the_quarter_hour(house: House) -> None:
    @job(every_s=3600, priority=7)
    async def hourly(_run: Run, _tools: Tools) -> Outcome:
        await trio.sleep(20)
        return done()

    first, second, *others = [one.started_at for one in await house.live(hourly, hours=24)]
    assert timedelta(minutes=45) <= second - first <= timedelta(minutes=61)  # it began off the grid
    assert second.minute % 15 == 0
    assert [at - second for at in others] == pytest.approx(
        [timedelta(hours=hours) for hours in range(1, len(others) + 1)], abs=timedelta(seconds=1)
    )
    assert len(others) >= 22


async def test_each_life_tells_of_its_own_runs(house: House) -> None:
    first = await house.live(followers, hours=1)
    second = await house.live(followers, hours=1)
    assert first + second == house.ended
    assert {one.job for one in house.ended} == {"followers"}


async def test_in_a_life_failures_are_tried_again(house: House) -> None:
    house.site.trouble["read_account"] += [SiteUnavailableError("503"), SiteUnavailableError("503")]
    ended = await house.live(followers, hours=0.2)
    assert [one.outcome.ending for one in ended] == [Ending.RETRY, Ending.RETRY, Ending.DONE]


async def test_a_job_is_woken_by_those_it_comes_after_and_waits_for_no_others(house: House) -> None:
    @job(daily_at=(START + timedelta(hours=1)).timetz())
    async def upstream(_run: Run, _tools: Tools) -> Outcome:
        return done()

    @job(daily_at=(START - timedelta(hours=1)).timetz(), after=("upstream", "posting"))
    async def downstream(run: Run, _tools: Tools) -> Outcome:
        return done(run.trigger)

    ended = await house.live(upstream, downstream, hours=2)
    triggers = [one.outcome.detail for one in ended if one.job == "downstream"]
    assert triggers[-1] == "upstream is done"


async def test_jobs_can_be_run_and_paused_by_hand(house: House) -> None:
    async with house.alive(followers) as supervisor:
        supervisor.pause("followers")
        await trio.sleep(3600)
        assert house.ended == []
        supervisor.run_now("followers", "a test")
        await trio.sleep(1)
        assert [one.outcome.ending for one in house.ended] == [Ending.DONE]


async def test_a_job_can_wake_another(house: House) -> None:
    @job(every_s=900)
    async def waking(_run: Run, tools: Tools) -> Outcome:
        tools.wake("posting", "there is something to post")
        return done()

    await house.run(waking)
    assert house.woken == ["posting"]
    async with house.alive(waking, followers):
        house.tools.wake("followers", "a test")
        await trio.sleep(1)
        assert [one.job for one in house.ended] == ["followers"]


async def test_a_job_that_keeps_out_of_posting_windows_does_so(house: House) -> None:
    @job(every_s=900, not_in_window=True)
    async def polite(_run: Run, _tools: Tools) -> Outcome:
        return done()

    house.tools.windows.expect([START + timedelta(minutes=1)])
    [first, *_] = await house.live(polite, hours=1)
    assert first.started_at >= START + timedelta(minutes=11)


async def test_a_run_under_way_at_the_end_of_a_life_is_cut_off(house: House) -> None:
    house.site.trouble["read_account"].append(Pause())
    [cut_off] = await house.live(followers, hours=0.1)
    assert cut_off.outcome.ending is Ending.INTERRUPTED
    assert slots(house) == ["free", "free", "free"]


async def test_the_error_of_a_test_comes_out_of_a_life_as_it_is(house: House) -> None:
    with pytest.raises(ZeroDivisionError):
        async with house.alive(followers):
            raise ZeroDivisionError


async def test_a_house_can_have_settings_of_its_own(autojump_clock: trio.testing.MockClock) -> None:
    async with open_house(settings_for(allocator={"capacity": 5})) as house:
        assert len(slots(house)) == 5
        assert set(house.tools.accounts) == {"ada", "grace"}
