"""Every step of a post from state to state, and every refusal of a wrong one, on a real server."""

import pytest

from orchestrator.db.pool import Database
from orchestrator.db.posts import Stamp
from orchestrator.errors import FenceLostError, PostStateError
from orchestrator.model import POST_TRANSITIONS, PostState
from tests import rows
from tests.db.steps import BY_CLAIMING, LATER, STEPS, Step, step_id


def test_the_steps_are_all_transitions_of_the_table() -> None:
    made = {(step.came_from, step.goes_to) for step in STEPS} | {BY_CLAIMING}
    assert made == {(a, b) for a, goes_to in POST_TRANSITIONS.items() for b in goes_to}


@pytest.mark.parametrize("step", STEPS, ids=step_id)
async def test_a_step_from_the_right_state_is_made_and_stamped(
    database: Database, stamp: Stamp, step: Step
) -> None:
    post_id = await rows.in_state(database, step.came_from, stamp)
    mine = Stamp(stamp.fence, LATER)
    await step.call(database, post_id, mine)
    found = await rows.row(database, post_id)
    assert (found["state"], found["state_since"], found["fence"]) == (step.goes_to, LATER, mine.fence)


WRONG = [(step, state) for step in STEPS for state in PostState if state is not step.came_from]


@pytest.mark.parametrize(("step", "state"), WRONG, ids=step_id)
async def test_a_step_from_any_other_state_is_refused_and_changes_nothing(
    database: Database, stamp: Stamp, step: Step, state: PostState
) -> None:
    post_id = await rows.in_state(database, state, stamp)
    before = await rows.row(database, post_id), await rows.counted(database)
    with pytest.raises(PostStateError, match=f"post {post_id} is {state}, not {step.came_from}"):
        await step.call(database, post_id, Stamp(stamp.fence, LATER))
    assert (await rows.row(database, post_id), await rows.counted(database)) == before


@pytest.mark.parametrize("step", STEPS, ids=step_id)
async def test_a_step_of_a_post_that_is_not_there_is_refused(
    database: Database, stamp: Stamp, step: Step
) -> None:
    with pytest.raises(PostStateError, match="post -1 is not there"):
        await step.call(database, -1, stamp)


@pytest.mark.parametrize("step", STEPS, ids=step_id)
async def test_an_old_fence_changes_nothing(database: Database, stamp: Stamp, step: Step) -> None:
    post_id = await rows.in_state(database, step.came_from, stamp)
    before = await rows.row(database, post_id), await rows.counted(database)
    await rows.take_fence(database)
    with pytest.raises(FenceLostError):
        await step.call(database, post_id, Stamp(stamp.fence, LATER))
    assert (await rows.row(database, post_id), await rows.counted(database)) == before


@pytest.mark.parametrize("step", [step for step in STEPS if step.name != "intend"], ids=step_id)
async def test_a_step_whose_answer_was_lost_can_be_made_again(
    database: Database, stamp: Stamp, step: Step
) -> None:
    post_id = await rows.in_state(database, step.came_from, stamp)
    await step.call(database, post_id, Stamp(stamp.fence, LATER))
    once = await rows.row(database, post_id), await rows.counted(database)
    await step.call(database, post_id, Stamp(stamp.fence, LATER))
    assert (await rows.row(database, post_id), await rows.counted(database)) == once
