"""The verb that tells the versions of the predictor."""

import os
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.control.peers import Caller, Level
from orchestrator.control.verbs import verbs_of
from orchestrator.db import models, notes
from orchestrator.db.models import Training
from orchestrator.db.pool import Database
from orchestrator.errors import ControlError
from orchestrator.health.status import House
from orchestrator.jobs import learn
from orchestrator.jobs.training import MISSING
from orchestrator.terminal.models import render_models
from tests import rows
from tests.fakes import NOON, a_stage, make_house
from tests.terminal.test_status import shown

CALLER = Caller(os.getuid(), os.getpid(), Level.VIEW)


async def ask(house: House) -> Any:
    return await verbs_of(house, lambda _who: None)["models"].handler(CALLER, {})


@pytest.fixture
async def house(database: Database) -> AsyncIterator[House]:
    """A site with two versions, another one that has too few posts, and one of other settings."""
    fence = await rows.take_fence(database)
    then = NOON - timedelta(days=20)
    training = Training("ridge", then, NOON, 80, 0.04, 0.08, {"mean": 0.5}, "learned from 80 posts")
    for site in ("murmur", "gone"):
        await database.run(models.add, site, training, fence, NOON)
    [old] = await database.run(models.recent, ["murmur"], 1)
    await database.run(models.promote, old, None, "better than the mean", fence, NOON)
    await database.run(models.roll_back, old, None, "error 0.2, the mean has 0.1", fence, NOON)
    await database.run(models.add, "murmur", training, fence, NOON)
    await database.run(notes.remember, learn.NAME, f"{MISSING}other", "7 of 60 settled posts", fence, NOON)
    async with a_stage([]) as stage:
        house = make_house(stage, database)
        house.site_of = {"ada": "murmur", "lin": "other"}
        yield house


async def test_versions_are_told_with_what_they_were_learned_from_and_why(house: House) -> None:
    answer = await ask(house)
    new, old = answer["models"]
    assert (new["state"], new["site"], new["posts"], new["why"]) == (
        "candidate", "murmur", 80, "learned from 80 posts",
    )  # fmt: skip
    assert (old["state"], old["why"]) == ("rolled_back", "error 0.2, the mean has 0.1")
    assert answer["missing"] == {"other": "7 of 60 settled posts"}


async def test_it_is_shown_in_words(house: House) -> None:
    text = shown(render_models(await ask(house)))
    assert "rolled back since" in text
    assert "error 0.2, the mean has 0.1" in text
    assert "ridge of 80 posts, 2026-05-12 to 2026-06-01" in text
    assert "other: the next model waits for more to learn from, there are 7 of 60 settled posts." in text


async def test_while_the_daemon_starts_it_says_so(house: House) -> None:
    house.supervisor = None
    with pytest.raises(ControlError, match="still starting"):
        await ask(house)
