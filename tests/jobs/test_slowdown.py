"""Posts are looked at less often where their pages can't be read."""

import pytest

from orchestrator.control import slowdowns
from orchestrator.db import notes
from orchestrator.jobs import metrics_scraper as job
from orchestrator.jobs.metrics_scraper import measure
from orchestrator.jobs.slowdown import Slowdown, key_of
from orchestrator.testing.house import SITE
from tests import rows
from tests.fakes import a_job, a_stage
from tests.fakes import make_house as make_stage_house
from tests.jobs.house import House
from tests.jobs.test_metrics_scraper import publish


@pytest.mark.parametrize(
    ("situation", "factor", "read", "failed", "then"),
    [
        ("too few pages", 1.0, 0, 9, 1.0),
        ("all can be read", 1.0, 50, 0, 1.0),
        ("90 of 100 are enough to stay", 1.5, 90, 10, 1.5),
        ("89 of 100 are not", 1.0, 89, 11, 1.5),
        ("never slower than the bound", 3.0, 0, 10, 4.0),
        ("95 of 100 are enough to recover", 2.0, 95, 5, 1.6),
        ("94 of 100 are not", 2.0, 94, 6, 2.0),
        ("never faster than the age says", 1.1, 20, 0, 1.0),
    ],
)
def test_the_factor_follows_the_share_of_pages_that_were_read(
    situation: str, factor: float, read: int, failed: int, then: float
) -> None:
    assert Slowdown(factor).after(read, failed).factor == pytest.approx(then), situation


def test_pages_add_up_until_there_are_enough_and_each_counts_once() -> None:
    found = Slowdown().after(0, 6)
    assert (found.factor, found.failed) == (1.0, 6)
    found = found.after(0, 4)
    assert (found.factor, found.read, found.failed) == (1.5, 0, 0)
    assert found.judged == "0 of 10 pages could be read"


async def kept(house: House) -> float:
    value = await house.database.run(notes.recall, job.NAME, key_of(SITE))
    return float(value["factor"])


async def look(house: House) -> int:
    outcome = await measure(house.run(job.NAME, priority=1), house.tools)
    return int(outcome.figures.get("pages", 0))


async def test_a_site_whose_pages_fail_is_read_less_often_until_they_can_be_read_again(house: House) -> None:
    await publish(house, *(f"text {number}" for number in range(12)))
    house.moment.go(minutes=1)
    assert await look(house) == 12
    assert await kept(house) == 1.0
    await rows.execute(
        house.database,
        "UPDATE notes SET value = jsonb_build_object('factor', 2.0, 'read', 0, 'failed', 0, 'judged', 'x')",
    )
    house.moment.go(minutes=21)
    assert await look(house) == 0
    house.moment.go(minutes=20)
    assert await look(house) == 12
    assert await kept(house) == pytest.approx(1.6)
    samples = house.tools.metrics.render().decode()
    assert 'orchestrator_scraped_pages_total{outcome="read"} 24.0' in samples
    assert f'orchestrator_scrape_slowdown{{site="{SITE}"}} 1.6' in samples


async def test_why_says_how_often_and_for_what_reason(house: House) -> None:
    async with a_stage([a_job(job.NAME)]) as stage:
        shown = make_stage_house(stage, house.database)
        shown.scopes = (SITE,)
        assert await slowdowns.lines(shown) == [
            f"Posts on {SITE} are looked at as often as their age says; 10 pages are needed to judge."
        ]
        value = {"factor": 1.5, "read": 3, "failed": 1, "judged": "8 of 10 pages could be read"}
        run = house.run(job.NAME, priority=1)
        await house.tools.remember(run, key_of(SITE), value)
        [line] = await slowdowns.lines(shown)
        assert line.endswith("1.50 times as seldom: 8 of 10 pages could be read; 3 of 4 since then.")
