"""What people look up of posts, and what they decide of those that nobody else can settle."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

import asyncpg

from orchestrator.db import lease, posts
from orchestrator.db.pool import Connection
from orchestrator.db.posts import Stamp
from orchestrator.errors import PostNotThereError, PostStateError
from orchestrator.model import Post, PostKind, PostState, fingerprint, storable

_COLUMNS = (
    f"{posts.COLUMNS}, state_since, created_at, counted_on, measured_at, decision, decided_by, decided_at"
)


class Decision(StrEnum):
    """What a person may say of an ambiguous post."""

    PUBLISHED = "published"
    """The site has it, under a reference."""
    REQUEUE = "requeue"
    """The site does not have it: it is to be tried again, with all its tries."""
    DROP = "drop"
    """The site does not have it, and its text is not to be posted any more."""


class Approval(StrEnum):
    """What a person may say of a draft."""

    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class PostRecord:
    """Everything that the database knows of a post but its figures."""

    post: Post
    since: datetime
    """When it came to its state."""
    created_at: datetime
    missed_at: datetime | None
    """When a look that tells did not find it on the site; of an ambiguous one."""
    counted_on: date | None
    """The day, in the account's zone, whose counter holds it."""
    measured_at: datetime | None
    decision: Decision | Approval | None
    decided_by: str | None
    decided_at: datetime | None


async def listed(
    connection: Connection,
    state: PostState | None,
    account: str | None,
    limit: int,
    kind: PostKind = PostKind.POSTS,
) -> list[PostRecord]:
    """The posts that changed last, newest first; those of one state or account only, if one is given.

    Replies are listed with the posts, or alone if that is the `kind`.
    """
    rows = await connection.fetch(
        f"""
        SELECT {_COLUMNS} FROM posts
        WHERE ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR account = $2)
          AND (NOT $4 OR in_reply_to IS NOT NULL)
        ORDER BY state_since DESC, id DESC LIMIT $3
        """,  # noqa: S608 - a constant
        state,
        account,
        limit,
        kind is PostKind.REPLIES,
    )
    return [_record(row) for row in rows]


async def find(connection: Connection, post_id: int) -> PostRecord:
    """One post. Raises PostNotThereError when there is none."""
    return await _find(connection, post_id)


async def judge(
    connection: Connection, post_id: int, approval: Approval, who: str, stamp: Stamp
) -> PostRecord:
    """Carry out what `who` says of a draft, in one transaction; the post as it is then.

    Raises PostStateError for what is no draft.
    """
    await _hold_draft(connection, post_id, stamp)
    if approval is Approval.APPROVE:
        await posts.approve(connection, post_id, stamp)
    else:
        await posts.fail(connection, post_id, PostState.DRAFT, stamp, f"rejected by {who}")
    return await _note(connection, post_id, approval, who, stamp)


async def edit(
    connection: Connection, post_id: int, text: str | None, due_at: datetime | None, stamp: Stamp
) -> PostRecord:
    """Give a draft another text, or another moment to go out, or both; the draft as it is then.

    Raises PostStateError for what is no draft, and for a text that the account has already.
    """
    await _hold_draft(connection, post_id, stamp)
    if text is not None:
        text = storable(text)
        try:
            await connection.execute(
                "UPDATE posts SET text = $2, fingerprint = $3 WHERE id = $1", post_id, text, fingerprint(text)
            )
        except asyncpg.UniqueViolationError as error:
            remedy = "Choose another text"
            raise PostStateError("the account has a post with this text already", remedy=remedy) from error
    if due_at is not None:
        await connection.execute("UPDATE posts SET due_at = $2 WHERE id = $1", post_id, due_at)
    return await _find(connection, post_id)


async def _hold_draft(connection: Connection, post_id: int, stamp: Stamp) -> None:
    """Lock the row of a draft until the transaction ends. Raises PostStateError for what is none."""
    await lease.check(connection, stamp.fence)
    found = await _find(connection, post_id, "FOR UPDATE")
    if found.post.state is not PostState.DRAFT:
        remedy = f"See: orchestrator ctl post show {post_id}"
        raise PostStateError(f"post {post_id} is {found.post.state}, and no draft any more", remedy=remedy)


async def _note(
    connection: Connection, post_id: int, decision: Decision | Approval, who: str, stamp: Stamp
) -> PostRecord:
    """Write down who has decided what."""
    await connection.execute(
        "UPDATE posts SET decision = $2, decided_by = $3, decided_at = $4 WHERE id = $1",
        post_id,
        decision,
        who,
        stamp.now,
    )
    return await _find(connection, post_id)


async def decide(  # noqa: PLR0913, PLR0917 - what, by whom, when, and what is known of the site
    connection: Connection,
    post_id: int,
    decision: Decision,
    reference: str,
    who: str,
    stamp: Stamp,
    settle: timedelta,
) -> PostRecord:
    """Carry out what `who` says of an ambiguous post, in one transaction; the post as it is then.

    The row is held from the first look at it on, so of several who decide at once one does. `reference` is
    for PUBLISHED alone. Raises PostStateError for a post that is not ambiguous, one that the site may
    still be taking (pressed less than `settle` ago) unless it is seen there, and a reference that another
    post has.
    """
    await lease.check(connection, stamp.fence)
    found = await _find(connection, post_id, "FOR UPDATE")
    if found.post.state is not PostState.AMBIGUOUS:
        raise _not_ambiguous(found)
    if decision is Decision.PUBLISHED:
        await _check_free(connection, found.post, reference)
        await posts.publish(connection, post_id, PostState.AMBIGUOUS, reference, stamp)
    else:
        _check_settled(found.post, stamp.now, settle)
        await _take_back(connection, post_id, decision, who, stamp)
    return await _note(connection, post_id, decision, who, stamp)


async def _take_back(
    connection: Connection, post_id: int, decision: Decision, who: str, stamp: Stamp
) -> None:
    """The site does not have it: the day's count is given back."""
    if decision is Decision.DROP:
        await posts.fail(connection, post_id, PostState.AMBIGUOUS, stamp, f"dropped by {who}")
        return
    detail = f"queued again by {who}"
    await posts.requeue(connection, post_id, PostState.AMBIGUOUS, stamp, stamp.now, detail)
    await connection.execute("UPDATE posts SET attempt = 0 WHERE id = $1", post_id)


async def _find(connection: Connection, post_id: int, lock: str = "") -> PostRecord:
    query = f"SELECT {_COLUMNS} FROM posts WHERE id = $1 {lock}"  # noqa: S608 - constants
    row = await connection.fetchrow(query, post_id)
    if row is None:
        raise PostNotThereError(f"there is no post {post_id}", remedy="See: orchestrator ctl posts")
    return _record(row)


async def _check_free(connection: Connection, post: Post, reference: str) -> None:
    other = await connection.fetchval(
        "SELECT id FROM posts WHERE account = $1 AND reference = $2", post.account, reference
    )
    if other is not None:
        raise PostStateError(
            f"{reference} is post {other} already", remedy=f"See: orchestrator ctl post show {other}"
        )


def _check_settled(post: Post, now: datetime, settle: timedelta) -> None:
    if post.submitted_at is None:
        return
    left = settle - max(now - post.submitted_at, timedelta())
    if left > timedelta():
        raise PostStateError(
            f"the site may still be taking post {post.id}, which was pressed at {_clock(post.submitted_at)}",
            remedy=f"Look again after {_clock(post.submitted_at + settle)}",
        )


def _not_ambiguous(found: PostRecord) -> PostStateError:
    post = found.post
    since = f"post {post.id} is {post.state} since {_clock(found.since)}"
    if found.decided_at is not None:
        by = f"{found.decision}, decided by {found.decided_by} at {_clock(found.decided_at)}"
        since = f"{since} ({by})"
    remedies = {
        PostState.DRAFT: "It waits to be approved",
        PostState.QUEUED: "It goes out when it is due",
        PostState.CLAIMED: "It is being published; see how that ends",
        PostState.SUBMITTING: "It is being published; when nobody can tell how that ended it is ambiguous",
        PostState.PUBLISHED: f"The site has it as {post.reference}",
        PostState.FAILED: "That is final",
    }
    return PostStateError(f"{since}: nothing is to be decided", remedy=remedies.get(post.state, ""))


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _decision(word: str) -> Decision | Approval:
    return Approval(word) if word in list(Approval) else Decision(word)


def _record(row: asyncpg.Record) -> PostRecord:
    decision = row["decision"]
    return PostRecord(
        post=posts.post_of(row),
        since=row["state_since"],
        created_at=row["created_at"],
        missed_at=row["missed_at"],
        counted_on=row["counted_on"],
        measured_at=row["measured_at"],
        decision=None if decision is None else _decision(decision),
        decided_by=row["decided_by"],
        decided_at=row["decided_at"],
    )
