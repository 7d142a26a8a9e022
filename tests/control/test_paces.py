"""What `ctl why posting` says of how often accounts post."""

from collections.abc import AsyncIterator

import pytest

from orchestrator.control.verbs import verbs_of
from orchestrator.db import pace
from orchestrator.db.pace import Judgement
from orchestrator.db.pool import Database
from orchestrator.health.status import House
from tests import rows
from tests.control.test_insights import CALLER
from tests.fakes import NOON, a_job, a_stage, make_house


@pytest.fixture
async def house(database: Database) -> AsyncIterator[House]:
    async with a_stage([a_job("posting")]) as stage:
        house = make_house(stage, database)
        house.accounts = ("ada", "grace")
        yield house


async def why(house: House) -> list[str]:
    lines: list[str] = (await verbs_of(house, lambda _who: None)["why"].handler(CALLER, {"job": "posting"}))[
        "lines"
    ]
    return lines


async def test_each_account_has_a_sentence_with_its_rate_and_the_reason(
    house: House, database: Database
) -> None:
    fence = await rows.take_fence(database)
    await database.run(pace.store, [Judgement("ada", 1.1, "12 of 12 posts went out")], fence, NOON)
    lines = await why(house)
    assert lines[-2].startswith("ada posts 1.10 times an hour at most, judged 2026-")
    assert lines[-2].endswith(": 12 of 12 posts went out; none has ended since then.")
    assert lines[-1] == (
        "grace posts as often as pacing.start_per_hour says; it is judged when 10 posts have ended (0 have)."
    )


async def test_of_very_many_accounts_the_first_ones_are_told(house: House) -> None:
    house.accounts = tuple(f"account{number}" for number in range(25))
    lines = await why(house)
    assert lines[-1] == "And 5 more accounts."
    assert lines[-2].startswith("account19 ")
