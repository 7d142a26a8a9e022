"""The health monitor's run: what it says of one look at everything."""

from orchestrator.jobs import health_monitor
from orchestrator.model import CheckResult, CheckState, Ending
from tests.jobs.house import House


def results(**states: CheckState) -> list[CheckResult]:
    return [CheckResult(name, state, is_critical=True) for name, state in states.items()]


async def test_when_all_is_well_it_says_so(house: House) -> None:
    async def look() -> list[CheckResult]:
        return results(database=CheckState.UP, browser=CheckState.UP)

    job = health_monitor.job(look)
    outcome = await job.work(house.run(job.name))
    assert (outcome.ending, outcome.detail) == (Ending.DONE, "all is well")
    assert outcome.figures == {"up": 2, "down": 0}


async def test_it_names_what_is_down(house: House) -> None:
    async def look() -> list[CheckResult]:
        return results(database=CheckState.DOWN, browser=CheckState.UP, disk=CheckState.DOWN)

    job = health_monitor.job(look)
    outcome = await job.work(house.run(job.name))
    assert outcome.detail == "down: database, disk"
    assert outcome.figures == {"up": 1, "down": 2}


async def test_it_goes_on_without_a_database_and_while_all_is_paused(house: House) -> None:
    async def look() -> list[CheckResult]:
        return []

    job = health_monitor.job(look)
    assert job.is_upkeep
    assert not job.needs_database
    assert not job.uses_browser
    assert (await job.work(house.run(job.name))).ending is Ending.DONE
