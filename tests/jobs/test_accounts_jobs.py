"""The jobs that look after accounts, on a site in memory: what they choose, and what they leave."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
import trio
import trio.testing

from orchestrator.actors.job import Run
from orchestrator.db import accounts as records
from orchestrator.db.pool import Connection, Database
from orchestrator.errors import PageUnexpectedError, SignInRefusedError
from orchestrator.jobs import onboarding
from orchestrator.jobs.follower_snapshot import BATCH, snapshot
from orchestrator.jobs.onboarding import onboard
from orchestrator.jobs.session_keeper import keep
from orchestrator.model import Ending
from orchestrator.sites.driver import AccountFigures
from orchestrator.testing.house import settings_for
from orchestrator.testing.site import Pause
from tests.jobs.house import House, make_house, new_fence

NEW = [f"new{number}" for number in range(8)]


@pytest.fixture
async def crowd(database: Database, monkeypatch: pytest.MonkeyPatch) -> House:
    """Eight accounts that have never signed in; pauses between batches take no time here."""
    accounts = [
        {"name": name, "site": "murmur", "username": name, "password": "pass-of-nobody"} for name in NEW
    ]
    monkeypatch.setattr(onboarding, "PAUSE_S", 0.0)
    return make_house(database, await new_fence(database), settings_for(accounts=accounts))


def run_of(house: House, job: str, priority: int, beat: Callable[[str], None] = lambda _said: None) -> Run:
    return replace(house.run(job, priority), contexts=onboarding.AT_ONCE, beat=beat)


async def left(house: House) -> list[str]:
    names: list[str] = await house.database.run(records.never_signed_in, NEW)
    return names


async def test_new_accounts_are_signed_in_batch_by_batch_with_a_pause_between(
    crowd: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    pauses: list[float] = []
    monkeypatch.setattr(onboarding, "PAUSE_S", 30.0)

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await trio.lowlevel.checkpoint()

    monkeypatch.setattr(trio, "sleep", sleep)
    outcome = await onboard(run_of(crowd, "onboarding", 6, said.append), crowd.tools)
    assert outcome.figures == {"signed_in": 8}
    assert await left(crowd) == []
    assert sorted(name for name, _ in crowd.site.visits) == NEW
    assert [seconds for seconds in pauses if seconds] == [30.0, 30.0]
    assert said[0] == "0 signed in; now new0, new1, new2"
    assert "3 signed in, 5 to go; waits 30 s" in said


async def test_never_more_than_three_are_at_it_at_once(crowd: House) -> None:
    pauses = [Pause(), Pause(), Pause()]
    crowd.site.trouble["stay_signed_in"] += pauses
    async with trio.open_nursery() as nursery:
        nursery.start_soon(onboard, run_of(crowd, "onboarding", 6), crowd.tools)
        # One of three contexts is kept for posting: the third account of the batch waits for its turn.
        await pauses[0].is_reached.wait()
        await pauses[1].is_reached.wait()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert len(crowd.site.visits) == 2
        assert crowd.tools.visiting["onboarding"] == 3
        for pause in pauses:
            pause.go_on.set()
    assert await left(crowd) == []


async def test_one_failure_does_not_stop_the_rest_and_a_refused_account_is_left_alone(crowd: House) -> None:
    crowd.site.refuses["new1"] = SignInRefusedError("murmur refuses the sign-in of new1")
    with pytest.raises(SignInRefusedError):
        await onboard(run_of(crowd, "onboarding", 6), crowd.tools)
    assert await left(crowd) == ["new1"]
    crowd.site.visits.clear()
    again = await onboard(run_of(crowd, "onboarding", 6), crowd.tools)
    assert (again.ending, crowd.site.visits) == (Ending.NOTHING_TO_DO, [])


async def test_a_run_that_was_killed_is_gone_on_with(crowd: House) -> None:
    pause = Pause()
    crowd.site.trouble["stay_signed_in"] += [*[_nothing] * 4, pause]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(onboard, run_of(crowd, "onboarding", 6), crowd.tools)
        await pause.is_reached.wait()
        nursery.cancel_scope.cancel()
    before = await left(crowd)
    assert 0 < len(before) < len(NEW)
    crowd.site.visits.clear()
    await crowd.restart()
    await onboard(run_of(crowd, "onboarding", 6), crowd.tools)
    assert await left(crowd) == []
    assert sorted(name for name, _ in crowd.site.visits) == before


async def _nothing() -> None:
    await trio.lowlevel.checkpoint()


# ── sign-ins that nobody uses ───────────────────────────────────────────────────────────────────


async def test_sign_ins_that_were_not_used_for_long_are_looked_at(house: House) -> None:
    await onboard(run_of(house, "onboarding", 6), house.tools)
    hours = house.tools.settings.upkeep.check_after_h
    house.moment.go(hours=hours / 2)
    async with house.tools.visit(house.run("posting"), house.tools.accounts["ada"]):
        pass
    house.moment.go(hours=hours / 2)
    house.site.visits.clear()
    outcome = await keep(house.run("session_keeper", 3), house.tools)
    assert [name for name, _ in house.site.visits] == ["grace"]
    assert outcome.figures == {"checked": 1, "closed": 0}
    again = await keep(house.run("session_keeper", 3), house.tools)
    assert again.ending is Ending.NOTHING_TO_DO


async def test_accounts_that_have_never_signed_in_are_not_the_keepers(house: House) -> None:
    house.moment.go(days=9)
    assert (await keep(house.run("session_keeper", 3), house.tools)).ending is Ending.NOTHING_TO_DO
    assert house.site.visits == []


# ── figures of accounts ─────────────────────────────────────────────────────────────────────────


async def test_the_latest_figures_of_each_account_are_kept_and_not_read_again_at_once(house: House) -> None:
    house.site.figures["ada"] = AccountFigures(7, 8, 9)
    outcome = await snapshot(house.run("follower_snapshot", 4), house.tools)
    assert outcome.figures == {"read": 2}
    found = await house.database.run(records.figures, ["ada", "grace", "nobody"])
    assert found["ada"] == records.FiguresRead(house.moment.now, 7, 8, 9)
    assert set(found) == {"ada", "grace"}
    house.moment.go(hours=4)
    again = await snapshot(house.run("follower_snapshot", 4), house.tools)
    assert again.ending is Ending.NOTHING_TO_DO
    house.moment.go(hours=2)
    house.site.figures["ada"] = AccountFigures(70, 8, 9)
    await snapshot(house.run("follower_snapshot", 4), house.tools)
    assert (await house.database.run(records.figures, ["ada"]))["ada"].followers == 70


async def test_a_page_that_can_not_be_read_holds_up_no_other_account(house: House) -> None:
    house.site.trouble["read_account"].append(PageUnexpectedError("no figures"))
    with pytest.raises(PageUnexpectedError):
        await snapshot(house.run("follower_snapshot", 4), house.tools)
    assert len(await house.database.run(records.figures, ["ada", "grace"])) == 1


async def test_a_crowd_is_read_run_by_run_and_old_looks_are_not_kept_for_ever(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = {"site": "murmur", "username": "x", "password": "pass-of-nobody"}
    accounts = [account | {"name": f"n{number}"} for number in range(BATCH + 1)]
    house = make_house(database, await new_fence(database), settings_for(accounts=accounts))
    await snapshot(house.run("follower_snapshot", 4), house.tools)
    assert house.woken == ["follower_snapshot"]
    assert (await snapshot(house.run("follower_snapshot", 4), house.tools)).figures == {"read": 1}
    monkeypatch.setattr(records, "FIGURES_KEPT", 3)
    for days in range(6):
        at = house.moment.now + timedelta(days=days)
        await database.run(
            records.record_figures, "n0", records.FiguresRead(at, 1, 1, 1), house.tools.fence.number
        )
    kept = await house_rows(database)
    assert kept == 4


async def house_rows(database: Database) -> int:
    async def count(connection: Connection) -> int:
        found: int = await connection.fetchval("SELECT count(*) FROM account_figures WHERE account = 'n0'")
        return found

    return await database.run(count)
