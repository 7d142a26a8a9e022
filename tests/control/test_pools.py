"""What `ctl why harvester` says of the pools of opportunities."""

from datetime import datetime, timedelta

import pytest

from orchestrator.control.verbs import verbs_of
from orchestrator.db import notes
from orchestrator.db.pool import Database
from orchestrator.learning.pool import KEEPER, Level, key_of
from tests import rows
from tests.control.test_insights import CALLER
from tests.fakes import NOON, a_job, a_stage, make_house

OPEN = "opportunities are open on murmur"
ELEVEN = "2026-06-01T11:00:00+00:00"


@pytest.mark.parametrize(
    ("count", "harvested_at", "says"),
    [
        (None, None, ""),
        (9, None, f"9 of 50 {OPEN}; while there are so many it is read every 10 min, and was never yet."),
        (
            12,
            NOON - timedelta(minutes=5),
            "every 20 min, last at 2026-06-01T11:55:00+00:00, next at 12:15:00.",
        ),
        (40, NOON - timedelta(hours=1), f"it is read every 60 min, last at {ELEVEN}, next now."),
        (50, NOON, f"50 of 50 {OPEN}: it is not read until some are used or too old."),
    ],
)
async def test_each_pool_has_a_sentence_with_how_often_it_is_filled(
    database: Database, count: int | None, harvested_at: datetime | None, says: str
) -> None:
    fence = await rows.take_fence(database)
    if count is not None:
        level = Level(harvested_at=harvested_at).seen(NOON, count, 50)
        await database.run(notes.remember, KEEPER, key_of("murmur"), level.note(), fence, NOON)
    async with a_stage([a_job("harvester"), a_job("posting")]) as stage:
        house = make_house(stage, database)
        house.scopes = ("murmur", "a site that can't be replied on")
        verb = verbs_of(house, lambda _who: None)["why"]
        lines = (await verb.handler(CALLER, {"job": "harvester"}))["lines"]
        assert lines[-1].endswith(says)
        assert ("opportunities" in lines[-1]) == bool(count)
        assert not any(
            "opportunities" in line for line in (await verb.handler(CALLER, {"job": "posting"}))["lines"]
        )
