"""Findings in words: what is said of past posts, how long it holds, and what `plan` makes of it."""

from datetime import timedelta
from random import Random

import pytest

from orchestrator.db import findings
from orchestrator.db.findings import ALL, Standing
from orchestrator.db.pool import Database
from orchestrator.errors import FenceLostError
from orchestrator.jobs import expert_analysis as job
from orchestrator.jobs import plan as planning
from orchestrator.jobs.expert_analysis import analyse
from orchestrator.model import Ending, Outcome
from orchestrator.testing.house import SITE, settings_for
from tests import rows
from tests.jobs.house import House, make_house, new_fence

FORMATS = ("tip", "question", "list", "story", "number")


async def look(house: House) -> Outcome:
    return await analyse(house.run(job.NAME, priority=7), house.tools)


async def settled(
    house: House, liked: str | None, count: int = 40, account: str = "ada", days: int = 1
) -> None:
    """Sums of `count` posts of each format, published `days` ago; those of `liked` rank high."""
    rng = Random(5)
    day = (house.moment.now - timedelta(days=days)).date()
    for name in FORMATS:
        scores = [min(1.0, rng.random() + (0.4 if name == liked else 0.0)) for _ in range(count)]
        for dimension, value in (("format", name), ("topic", "bread")):
            await rows.execute(
                house.database,
                """
                INSERT INTO rollups AS r VALUES ($1, $2, $3, $4, $5, 0, 0, 0, $6, $7)
                ON CONFLICT (account, day, dimension, value) DO UPDATE SET posts = r.posts + $5,
                    score = r.score + $6, squares = r.squares + $7
                """,
                account, day, dimension, value, count, sum(scores), sum(score**2 for score in scores),
            )  # fmt: skip


async def standing(house: House, account: str | None = None) -> list[Standing]:
    found: list[Standing] = await house.database.run(findings.standing, [SITE], account, 100)
    return found


async def forget(house: House) -> None:
    await rows.execute(house.database, "DELETE FROM rollups")


async def test_what_people_like_is_said_of_the_site_and_of_the_account(house: House) -> None:
    await settled(house, "tip")
    outcome = await look(house)
    assert outcome.ending is Ending.DONE
    [of_site, *_] = await standing(house)
    assert (of_site.finding.kind, of_site.finding.subject, of_site.finding.posts) == ("format", "tip", 40)
    assert of_site.finding.effect > 0.2
    assert of_site.finding.statement.startswith("Posts of the format tip rank ")
    assert {one.finding.account for one in await standing(house, "ada")} == {ALL, "ada"}
    assert {one.finding.account for one in await standing(house, "grace")} == {ALL}


async def test_of_few_posts_nothing_is_said(house: House) -> None:
    await settled(house, "tip", count=4)
    outcome = await look(house)
    assert (outcome.ending, await standing(house)) == (Ending.NOTHING_TO_DO, [])
    assert outcome.detail == "20 posts have settled, and it takes 24 to compare any"


async def test_what_goes_on_to_hold_keeps_its_age_and_gets_new_figures(house: House) -> None:
    await settled(house, "tip")
    await look(house)
    first = house.moment.now
    house.moment.go(hours=12)
    await settled(house, "tip")
    await look(house)
    [found, *_] = await standing(house)
    assert (found.since, found.looked_at, found.finding.posts) == (first, house.moment.now, 80)
    [count] = await rows.fetch(
        house.database, "SELECT count(*) AS n FROM findings WHERE kind = 'format' AND subject = 'tip'"
    )
    assert count["n"] == 2  # of the site, of the account


async def test_a_finding_that_does_not_hold_any_more_is_superseded(house: House) -> None:
    await settled(house, "tip")
    await look(house)
    house.moment.go(hours=12)
    await forget(house)
    await settled(house, "list")
    outcome = await look(house)
    assert outcome.figures["superseded"] >= 2
    assert {one.finding.subject for one in await standing(house) if one.finding.effect > 0} == {"list"}
    [old] = await rows.fetch(
        house.database,
        "SELECT superseded_at FROM findings WHERE account = '' AND subject = 'tip' AND effect > 0",
    )
    assert old["superseded_at"] == house.moment.now


async def test_posts_from_before_the_window_are_not_compared(house: House) -> None:
    await settled(house, "tip", days=house.tools.settings.analysis.window_days + 1)
    assert (await look(house)).ending is Ending.NOTHING_TO_DO


async def test_a_daemon_that_was_overtaken_says_nothing(house: House) -> None:
    await settled(house, "tip")
    await new_fence(house.database)
    with pytest.raises(FenceLostError):
        await look(house)
    assert await standing(house) == []


@pytest.mark.parametrize(("nudge", "is_heeded"), [(100.0, True), (0.0, False)])
async def test_plan_heeds_what_was_found_unless_that_is_switched_off(
    database: Database, nudge: float, is_heeded: bool
) -> None:
    settings = settings_for(
        analysis={"nudge": nudge}, content={"queue_target": 20, "posts_a_run": 10, "min_chars": 1}
    )
    house = make_house(database, await new_fence(database), settings)
    await settled(house, "list", count=400)
    await look(house)
    await rows.execute(database, "UPDATE findings SET effect = sign(effect) * 0.5")
    for _ in range(2):
        await planning.plan(house.run(planning.NAME, priority=1), house.tools)
    formats = [found["format"] for found in await rows.all_rows(database)]
    assert (formats.count("list") > len(formats) / 2) is is_heeded
