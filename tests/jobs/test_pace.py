"""How often accounts post: what `plan` makes of how posts have ended."""

from datetime import timedelta
from itertools import pairwise

import pytest

from orchestrator.db import findings, pace
from orchestrator.db.findings import effects_of
from orchestrator.db.pace import Judgement
from orchestrator.jobs import plan as job
from orchestrator.jobs.pace import rates, timetable
from orchestrator.jobs.plan import plan
from orchestrator.learning.bandit import DIMENSIONS
from orchestrator.model import PostState
from orchestrator.testing.house import SITE
from tests import rows
from tests.jobs.house import House
from tests.rows import NOON

HOUR = timedelta(hours=1)


async def judge(house: House) -> dict[str, float]:
    return await rates(house.run(job.NAME, priority=1), house.tools, list(house.tools.accounts))


async def ended(house: House, published: int, failed: int, account: str = "ada") -> None:
    house.moment.go(minutes=1)
    name = house.moment.now.isoformat()
    for number in range(published):
        await rows.published(house.database, house.stamp(), f"{name} good {number}", account)
    for number in range(failed):
        await rows.in_state(house.database, PostState.FAILED, house.stamp(), f"{name} bad {number}", account)
    house.moment.go(minutes=1)


async def test_an_account_starts_with_a_post_an_hour(house: House) -> None:
    assert await judge(house) == {"ada": 1.0, "grace": 1.0}


async def test_each_account_is_judged_by_its_own_posts_and_each_post_once(house: House) -> None:
    await ended(house, published=12, failed=0, account="ada")
    await ended(house, published=6, failed=6, account="grace")
    assert await judge(house) == pytest.approx({"ada": 1.1, "grace": 0.8})
    assert await judge(house) == pytest.approx({"ada": 1.1, "grace": 0.8})
    [ada, grace] = await house.database.run(pace.paces, ["ada", "grace"])
    assert (ada.why, grace.why) == ("12 of 12 posts went out", "6 of 12 posts went out")
    assert (ada.judged_at, ada.published) == (house.moment.now, 0)
    await ended(house, published=12, failed=0, account="ada")
    assert (await judge(house))["ada"] == pytest.approx(1.21)


async def test_posts_that_a_person_has_decided_of_are_not_held_against_the_account(house: House) -> None:
    await ended(house, published=10, failed=5)
    await rows.execute(house.database, "UPDATE posts SET decision = 'drop' WHERE state = 'failed'")
    assert (await judge(house))["ada"] == pytest.approx(1.1)


async def test_planned_posts_are_an_hour_apart(house: House) -> None:
    for _ in range(2):
        await plan(house.run(job.NAME, priority=1), house.tools)
    for account in ("ada", "grace"):
        due = sorted(
            one["due_at"] for one in await rows.all_rows(house.database) if one["account"] == account
        )
        assert len(due) == 4
        assert all(later - earlier >= HOUR for earlier, later in pairwise(due))


async def test_a_slow_account_gets_fewer_posts_that_are_further_apart(house: House) -> None:
    await house.database.run(pace.store, [Judgement("ada", 0.25, "0 of 10")], house.tools.fence.number, NOON)
    for _ in range(3):
        await plan(house.run(job.NAME, priority=1), house.tools)
    due = sorted(one["due_at"] for one in await rows.all_rows(house.database) if one["account"] == "ada")
    assert len(due) == 3
    assert all(later - earlier >= 4 * HOUR for earlier, later in pairwise(due))


async def test_hours_that_were_found_to_be_better_are_peaks(house: House) -> None:
    await rows.execute(
        house.database,
        "INSERT INTO findings (kind, site, account, subject, statement, effect, low, high, posts, since, "
        "looked_at) VALUES ('hour', 'murmur', '', '18–21', '', 0.2, 0.1, 0.3, 50, $1, $1), "
        "('hour', 'murmur', '', '03–06', '', -0.2, -0.3, -0.1, 50, $1, $1)",
        NOON,
    )
    found = await house.database.run(findings.effects, SITE, DIMENSIONS)
    table = timetable(house.tools.accounts["ada"], 1.0, effects_of(found, "ada"), [], NOON)
    assert set(table.peaks) == {18, 19, 20}
