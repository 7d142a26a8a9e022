"""The verb that lists opportunities, and how a terminal shows it."""

import os
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.control.peers import Caller, Level
from orchestrator.control.verbs import verbs_of
from orchestrator.db import opportunities
from orchestrator.db.opportunities import Found
from orchestrator.db.pool import Database
from orchestrator.db.posts import Stamp
from orchestrator.errors import ControlError
from orchestrator.health.status import House
from orchestrator.terminal.opportunities import render_opportunities
from tests import rows
from tests.fakes import NOON, a_stage, make_house
from tests.terminal.test_status import shown

CALLER = Caller(os.getuid(), os.getpid(), Level.VIEW)


async def ask(house: House, **args: Any) -> Any:
    return await verbs_of(house, lambda _who: None)["opportunities"].handler(CALLER, args)


@pytest.fixture
async def house(database: Database) -> AsyncIterator[House]:
    """Three opportunities on two sites."""
    stamp = Stamp(await rows.take_fence(database), NOON)
    for site, reference, relevance in (("murmur", "r1", 0.4), ("murmur", "r2", 0.9), ("other", "s1", 0.7)):
        found = Found(
            reference, "author", f"\x1b[31mtext of {reference}", NOON - timedelta(hours=3), 5, None, None,
            relevance, "cooking", "cooking 90%",
        )  # fmt: skip
        await database.run(opportunities.add, site, ["ada"], [found], stamp)
    async with a_stage([]) as stage:
        house = make_house(stage, database)
        house.scopes = ("murmur", "other")
        yield house


async def test_the_best_of_all_sites_come_first_with_score_and_why(house: House) -> None:
    answer = await ask(house)
    assert [one["reference"] for one in answer["opportunities"]] == ["r2", "s1", "r1"]
    assert answer["counts"] == {"open": 3, "drafted": 0, "answered": 0, "passed": 0, "stale": 0}
    text = shown(render_opportunities(answer))
    assert "0.90" in text
    assert "3 h ago" in text
    assert "cooking 90%" in text
    assert "\x1b[31mtext" not in text


async def test_so_many_are_listed_as_are_asked_for(house: House) -> None:
    assert len((await ask(house, limit=2))["opportunities"]) == 2
    with pytest.raises(ControlError, match="from 1 to 300"):
        await ask(house, limit=301)


async def test_without_any_it_says_who_looks_for_them(house: House) -> None:
    house.scopes = ()
    assert "harvester looks for them" in shown(render_opportunities(await ask(house)))
