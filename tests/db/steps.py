"""The steps of a post from state to state, as tests make them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from orchestrator.db import posts
from orchestrator.db.pool import Database
from orchestrator.db.posts import Stamp
from orchestrator.model import PostState
from tests.rows import MINUTE, NOON, TODAY, UNLIMITED

LATER = NOON + 5 * MINUTE


@dataclass(frozen=True, slots=True)
class Step:
    """A function that makes one step; `call` gets the database, the post and a stamp."""

    name: str
    came_from: PostState
    goes_to: PostState
    call: Callable[[Database, int, Stamp], Awaitable[object]]


def publishing(came_from: PostState) -> Step:
    async def call(db: Database, post_id: int, stamp: Stamp) -> None:
        await db.run(posts.publish, post_id, came_from, "a-reference", stamp)

    return Step("publish", came_from, PostState.PUBLISHED, call)


def failing(came_from: PostState) -> Step:
    async def call(db: Database, post_id: int, stamp: Stamp) -> None:
        await db.run(posts.fail, post_id, came_from, stamp, "why")

    return Step("fail", came_from, PostState.FAILED, call)


def requeueing(came_from: PostState) -> Step:
    async def call(db: Database, post_id: int, stamp: Stamp) -> None:
        await db.run(posts.requeue, post_id, came_from, stamp, LATER, "why")

    return Step("requeue", came_from, PostState.QUEUED, call)


async def doubt(db: Database, post_id: int, stamp: Stamp) -> None:
    await db.run(posts.doubt, post_id, stamp, "why")


async def approve(db: Database, post_id: int, stamp: Stamp) -> None:
    await db.run(posts.approve, post_id, stamp)


async def intend(db: Database, post_id: int, stamp: Stamp) -> None:
    assert await db.run(posts.intend, post_id, stamp, TODAY, UNLIMITED)


STEPS = [
    Step("intend", PostState.CLAIMED, PostState.SUBMITTING, intend),
    publishing(PostState.SUBMITTING),
    publishing(PostState.AMBIGUOUS),
    failing(PostState.CLAIMED),
    failing(PostState.SUBMITTING),
    failing(PostState.AMBIGUOUS),
    requeueing(PostState.CLAIMED),
    requeueing(PostState.SUBMITTING),
    requeueing(PostState.AMBIGUOUS),
    Step("doubt", PostState.SUBMITTING, PostState.AMBIGUOUS, doubt),
    Step("approve", PostState.DRAFT, PostState.QUEUED, approve),
    failing(PostState.DRAFT),
    failing(PostState.QUEUED),
]
BY_CLAIMING = (PostState.QUEUED, PostState.CLAIMED)


def step_id(step: object) -> str:
    return f"{step.name}-from-{step.came_from}" if isinstance(step, Step) else str(step)
