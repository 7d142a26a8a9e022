"""Posts in the database, as tests make them, bring them into a state, and read them back."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from orchestrator.db import doubts, lease, posts
from orchestrator.db.pool import Connection, Database
from orchestrator.db.posts import Stamp
from orchestrator.model import Arms, Draft, PostState

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
TODAY = date(2026, 5, 4)
MINUTE = timedelta(minutes=1)
TTL_S = 3600.0
ACCOUNT = "ada"
UNLIMITED = 1000

Row = dict[str, Any]


async def take_fence(database: Database, owner: str = "this daemon") -> int:
    """The lease, taken; the same owner gets a higher fence each time."""
    fence = await database.run(lease.claim, owner, TTL_S)
    assert isinstance(fence, int)
    return fence


def draft(text: str = "a text", account: str = ACCOUNT, due_at: datetime = NOON, hour: int = 9) -> Draft:
    return Draft(account, text, Arms("bread", "tip", hour), "a-file.md", due_at)


async def queued(database: Database, stamp: Stamp, text: str = "a text", account: str = ACCOUNT) -> int:
    """A post that is due at the stamp's moment; its id."""
    post_id = await database.run(posts.add, draft(text, account, stamp.now), stamp)
    assert post_id is not None
    return post_id


async def in_state(
    database: Database, state: PostState, stamp: Stamp, text: str = "a text", account: str = ACCOUNT
) -> int:
    """A post brought into `state` by the steps that lead there; its id."""
    post_id = await queued(database, stamp, text, account)
    if state is PostState.DRAFT:
        await execute(database, "UPDATE posts SET state = 'draft' WHERE id = $1", post_id)
    if state in (PostState.DRAFT, PostState.QUEUED):
        return post_id
    claimed = await database.run(posts.claim_due, [account], stamp)
    assert claimed is not None
    assert claimed.id == post_id
    if state is PostState.CLAIMED:
        return post_id
    assert await database.run(posts.intend, post_id, stamp, stamp.now.date(), UNLIMITED)
    if state is PostState.PUBLISHED:
        await database.run(posts.publish, post_id, PostState.SUBMITTING, f"ref{post_id}", stamp)
    elif state is PostState.AMBIGUOUS:
        await database.run(posts.doubt, post_id, stamp, "no answer")
    elif state is PostState.FAILED:
        await database.run(posts.fail, post_id, PostState.SUBMITTING, stamp, "refused")
    return post_id


async def published(
    database: Database, stamp: Stamp, text: str, account: str = ACCOUNT, reference: str | None = None
) -> int:
    """A post that was published at the stamp's moment; its id."""
    post_id = await in_state(database, PostState.SUBMITTING, stamp, text, account)
    await database.run(posts.publish, post_id, PostState.SUBMITTING, reference or f"ref{post_id}", stamp)
    return post_id


async def row(database: Database, post_id: int) -> Row:
    """All columns of a post."""
    [found] = await fetch(database, "SELECT * FROM posts WHERE id = $1", post_id)
    return found


async def all_rows(database: Database) -> list[Row]:
    return await fetch(database, "SELECT * FROM posts ORDER BY id")


async def counted(database: Database, account: str = ACCOUNT, day: date = TODAY) -> int:
    """What the account's counter of the day says."""
    found = await fetch(
        database, "SELECT posts FROM daily_counters WHERE account = $1 AND day = $2", account, day
    )
    return int(found[0]["posts"]) if found else 0


async def fetch(database: Database, query: str, *args: object) -> list[Row]:
    async def work(connection: Connection) -> list[Row]:
        return [dict(found) for found in await connection.fetch(query, *args)]

    return await database.run(work)


async def execute(database: Database, statement: str, *args: object) -> None:
    async def work(connection: Connection) -> None:
        await connection.execute(statement, *args)

    await database.run(work)


async def recover(database: Database, now: datetime, owner: str = "this daemon") -> Stamp:
    """What a daemon does that starts after another one; its stamp."""
    stamp = Stamp(await take_fence(database, owner), now)
    await database.run(doubts.recover, stamp)
    return stamp
