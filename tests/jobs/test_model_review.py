"""Models in use: which text they choose, how they are judged, and what becomes of them."""

from random import Random
from typing import Any

import pytest

from orchestrator.content.generator import Written
from orchestrator.db import models
from orchestrator.db.models import State, Training, Version
from orchestrator.errors import FenceLostError
from orchestrator.health import problems
from orchestrator.jobs import model_review as job
from orchestrator.jobs import plan as planning
from orchestrator.jobs.choice import Chooser
from orchestrator.jobs.model_review import review
from orchestrator.learning.predictor import KIND, as_json, from_json, predict
from orchestrator.learning.ridge import Linear
from orchestrator.model import Arms, Ending, Outcome
from orchestrator.settings.predictor import PredictorSettings
from orchestrator.testing.house import SITE
from tests import rows
from tests.jobs.house import House, new_fence
from tests.jobs.models import settle

KNOWS = {"topic:bread": 0.2, "topic:stars": -0.2, "format:question": 0.15, "format:tip": -0.15}
GOOD = Linear(0.5, KNOWS, dict.fromkeys(KNOWS, 0.5))
SPOILED = Linear(0.5, {name: -weight for name, weight in KNOWS.items()}, dict.fromkeys(KNOWS, 0.5))


async def judge(house: House) -> Outcome:
    return await review(house.run(job.NAME, priority=6), house.tools)


async def add(house: House, linear: Linear) -> Version:
    """A new candidate."""
    now = house.moment.now
    training = Training(KIND, now, now, 80, 0.01, 0.05, as_json(linear), "for a test")
    number = await house.database.run(models.add, SITE, training, house.tools.fence.number, now)
    return await version(house, number)


async def version(house: House, number: int) -> Version:
    found: Version | None = await house.database.run(models.find, number)
    assert found is not None
    return found


async def serve(house: House, linear: Linear, before: Version | None = None) -> Version:
    candidate = await add(house, linear)
    stamp = house.stamp()
    await house.database.run(models.promote, candidate, before, "for a test", stamp.fence, stamp.now)
    return await version(house, candidate.version)


async def speak(house: House, count: int = 40, seed: int = 1) -> None:
    """Posts of which each model in use has spoken, and which have settled."""
    in_use = await house.database.run(models.in_use, SITE)
    for post_id in await settle(house, count, seed=seed):
        post = await rows.row(house.database, post_id)
        arms = Arms(post["topic"], post["format"], post["hour"])
        said = [
            (one.version, predict(from_json(one.parameters), post["text"], arms), post_id % 2 == 0)
            for one in in_use.values()
        ]
        await house.database.run(models.note, [(post_id, *one) for one in said])


def metric(house: House, name: str, role: str) -> Any:
    return house.tools.metrics.registry.get_sample_value(f"orchestrator_{name}", {"role": role, "site": SITE})


async def test_a_candidate_that_proves_itself_serves(house: House) -> None:
    candidate = await add(house, GOOD)
    await speak(house)
    outcome = await judge(house)
    found = await version(house, candidate.version)
    assert (outcome.ending, found.state, found.state_since) == (Ending.DONE, State.SERVING, house.moment.now)
    assert found.why.endswith(f"the mean has {float(found.why.split()[-1]):.4f}")
    assert (metric(house, "model_version", "serving"), metric(house, "model_version", "candidate")) == (
        candidate.version, 0,
    )  # fmt: skip
    assert metric(house, "model_error_ratio", "serving") < 0.5


async def test_it_takes_the_place_of_a_worse_one(house: House) -> None:
    weak = Linear(0.5, {name: weight / 5 for name, weight in KNOWS.items()}, dict.fromkeys(KNOWS, 0.5))
    old = await serve(house, weak)
    candidate = await add(house, GOOD)
    await speak(house)
    await judge(house)
    old, new = await version(house, old.version), await version(house, candidate.version)
    assert (old.state, old.why) == (State.RETIRED, f"model {new.version} is better")
    assert (new.state, new.predecessor) == (State.SERVING, old.version)


async def test_a_worse_candidate_is_retired_and_what_serves_goes_on(house: House) -> None:
    good = await serve(house, GOOD)
    candidate = await add(house, SPOILED)
    await speak(house)
    await judge(house)
    assert (await version(house, candidate.version)).state is State.RETIRED
    assert (await version(house, good.version)).state is State.SERVING


async def test_a_spoiled_model_is_rolled_back_to_the_one_before_it_with_an_alert(house: House) -> None:
    good = await serve(house, GOOD)
    spoiled = await serve(house, SPOILED, good)
    await speak(house)
    outcome = await judge(house)
    found = await version(house, spoiled.version)
    assert (found.state, (await version(house, good.version)).state) == (State.ROLLED_BACK, State.SERVING)
    assert outcome.detail.startswith(
        f"model {spoiled.version} was rolled back, model {good.version} serves again: error "
    )
    clock = house.tools.clock
    [told] = await problems.of_posts(house.database, clock, [], [])
    assert told["what"] == f"model {spoiled.version} of {SITE} was rolled back: {found.why}"
    assert (told["name"], told["subject"]) == ("model_rolled_back", f"{SITE}/{spoiled.version}")
    house.moment.go(hours=25)
    assert await problems.of_posts(house.database, clock, [], []) == []


async def test_where_nothing_good_served_before_none_serves(house: House) -> None:
    spoiled = await serve(house, SPOILED)
    await speak(house)
    assert "no model serves" in (await judge(house)).detail
    assert await house.database.run(models.in_use, SITE) == {}
    assert (await version(house, spoiled.version)).state is State.ROLLED_BACK
    assert metric(house, "model_version", "serving") == 0


async def test_of_few_posts_nothing_is_ruled(house: House) -> None:
    spoiled = await serve(house, SPOILED)
    await speak(house, 29)
    assert (await judge(house)).detail == f"model {spoiled.version} serves: 29 of 30 posts"
    assert (await version(house, spoiled.version)).state is State.SERVING


async def test_without_a_model_there_is_nothing_to_do(house: House) -> None:
    assert (await judge(house)).ending is Ending.NOTHING_TO_DO


async def test_a_daemon_that_was_overtaken_rules_nothing(house: House) -> None:
    spoiled = await serve(house, SPOILED)
    await speak(house)
    await new_fence(house.database)
    with pytest.raises(FenceLostError):
        await judge(house)
    assert (await version(house, spoiled.version)).state is State.SERVING


async def test_plan_records_what_each_model_in_use_expects_of_a_post(house: House) -> None:
    old = await serve(house, SPOILED)
    new = await add(house, GOOD)
    await planning.plan(house.run(planning.NAME, priority=1), house.tools)
    found = await rows.fetch(house.database, "SELECT * FROM predictions ORDER BY post_id, version")
    queued = await rows.all_rows(house.database)
    assert [(one["post_id"], one["version"]) for one in found] == [
        (post["id"], number) for post in queued for number in (old.version, new.version)
    ]
    for post in queued:
        assert sum(one["chose"] for one in found if one["post_id"] == post["id"]) <= 1


LONG = Written("A text that goes on and on, " * 4, "a file", "bread", "tip")
SHORT = Written("A short one.", "a file", "bread", "tip")
LIKES_SHORT = Linear(0.5, {"length:under 80": 0.3}, {"length:under 80": 0.5})
LIKES_LONG = Linear(0.5, {"length:under 80": -0.3}, {"length:under 80": 0.5})


def test_the_text_that_is_predicted_to_do_best_is_chosen() -> None:
    chooser = Chooser(PredictorSettings(explore=0), {4: LIKES_SHORT}, serving=4)
    assert chooser.choose([LONG, SHORT], 9, Random(1)) == (SHORT, 4)


def test_the_candidate_chooses_its_share_and_the_same_text_always_goes_to_the_same_model() -> None:
    settings = PredictorSettings(explore=0, candidate_share=0.3)
    chooser = Chooser(settings, {4: LIKES_SHORT, 5: LIKES_LONG}, candidate=5, serving=4)
    first = [Written(f"{LONG.text}{number}", "a file", "bread", "tip") for number in range(400)]
    chosen = [chooser.choose([one, SHORT], 9, Random(1)) for one in first]
    assert 80 < sum(by == 5 for _, by in chosen) < 160
    assert all((best is SHORT) == (by == 4) for best, by in chosen)
    assert chosen == [chooser.choose([one, SHORT], 9, Random(2)) for one in first]


def test_some_drafts_are_chosen_by_no_model() -> None:
    chooser = Chooser(PredictorSettings(explore=0.5), {4: LIKES_SHORT}, serving=4)
    rng = Random(1)
    chosen = [chooser.choose([LONG, SHORT], 9, rng) for _ in range(100)]
    assert 30 < chosen.count((LONG, None)) < 70


def test_without_a_model_one_text_is_enough() -> None:
    assert Chooser(PredictorSettings(), {}).texts == 1
    assert Chooser(PredictorSettings(texts=1), {4: LIKES_SHORT}, serving=4).texts == 1
