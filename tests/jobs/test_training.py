"""Versions of the predictor: when one is trained, and what is kept of it."""

import pytest

from orchestrator.db import models, notes
from orchestrator.db.models import State, Version
from orchestrator.errors import FenceLostError
from orchestrator.jobs import learn as job
from orchestrator.jobs.learn import learn
from orchestrator.jobs.training import MISSING
from orchestrator.learning.predictor import from_json, predict
from orchestrator.model import Arms, Ending, Outcome
from orchestrator.testing.house import SITE
from tests import rows
from tests.jobs.house import House, new_fence
from tests.jobs.models import settle


async def teach(house: House) -> Outcome:
    return await learn(house.run(job.NAME, priority=5), house.tools)


async def versions(house: House) -> list[Version]:
    found: list[Version] = await house.database.run(models.recent, [SITE], 10)
    return found


async def lacks(house: House) -> str | None:
    found: str | None = await house.database.run(notes.recall, job.NAME, MISSING + SITE)
    return found


async def test_enough_settled_posts_make_a_candidate_that_knows_what_people_like(house: House) -> None:
    await settle(house, 80)
    outcome = await teach(house)
    [version] = await versions(house)
    assert (outcome.ending, version.state, version.posts) == (Ending.DONE, State.CANDIDATE, 80)
    assert outcome.detail.endswith(f"model {version.version} trained")
    linear = from_json(version.parameters)
    assert predict(linear, "Who?", Arms("bread", "question", 9)) > 0.7
    assert predict(linear, "So.", Arms("stars", "tip", 9)) < 0.3
    assert version.error < version.mean_error


async def test_its_extent_is_that_of_the_posts(house: House) -> None:
    post_ids = await settle(house, 80)
    await teach(house)
    [version] = await versions(house)
    first, last = await rows.row(house.database, post_ids[0]), await rows.row(house.database, post_ids[-1])
    assert (version.from_at, version.to_at) == (first["published_at"], last["published_at"])


async def test_of_too_few_nothing_is_learned_and_it_says_what_is_missing(house: House) -> None:
    await settle(house, 59)
    assert (await teach(house)).ending is Ending.NOTHING_TO_DO
    assert (await versions(house), await lacks(house)) == ([], "59 of 60 settled posts")
    await settle(house, 1, seed=2)
    await teach(house)
    assert (len(await versions(house)), await lacks(house)) == (1, None)


async def test_there_is_one_candidate_at_a_time(house: House) -> None:
    await settle(house, 80)
    await teach(house)
    house.moment.go(hours=1)
    await settle(house, 80)
    await teach(house)
    assert len(await versions(house)) == 1


async def test_when_it_is_judged_further_posts_make_the_next(house: House) -> None:
    await settle(house, 80)
    await teach(house)
    await rows.execute(house.database, "UPDATE models SET state = 'serving'")
    house.moment.go(hours=1)
    await settle(house, 49)
    await teach(house)
    assert (len(await versions(house)), await lacks(house)) == (1, "49 of 50 further settled posts")
    await settle(house, 1, seed=2)
    await teach(house)
    assert [version.state for version in await versions(house)] == [State.CANDIDATE, State.SERVING]


async def test_a_daemon_that_was_overtaken_keeps_no_version(house: House) -> None:
    await settle(house, 80)
    await new_fence(house.database)
    with pytest.raises(FenceLostError):
        await teach(house)
    assert await versions(house) == []
