"""Posts and their states. Each function is one step of `model.POST_TRANSITIONS`.

A step names the state that it leaves and the fence of the daemon that makes it; when either does not
hold, nothing changes and PostStateError or FenceLostError is raised. Moments are given by the caller.
A step that is made again with the same stamp is no error: the answer of the first one was lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import asyncpg

from orchestrator.db import lease
from orchestrator.db.pool import Connection
from orchestrator.errors import PostStateError
from orchestrator.model import (
    POST_TRANSITIONS,
    Arms,
    Draft,
    Post,
    PostKind,
    PostState,
    ReplyDraft,
    fingerprint,
    storable,
)

COLUMNS = (
    "id, account, text, fingerprint, state, topic, format, hour, source, due_at, not_before, attempt, "
    "reference, submitted_at, published_at, missed_at, detail, in_reply_to"
)


ASK = "a person has to look"
"""How the detail of an ambiguous post ends that reconciliation can't settle."""
PUT_OFF = "put off: "
"""How the detail of a post begins that waits for its account to be mended."""
BELIEVED = timedelta(days=2)
"""No post is planned or put off for longer."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Who changes a post, and when: the daemon's fence and its wall clock."""

    fence: int
    now: datetime
    attempt_at: datetime | None = None
    """The attempt that the change is about, by the moment of its press; None: whichever is the latest.

    For who has looked at the site and did not hold the row meanwhile: a person may have queued the post
    again, and what was seen says nothing of the next attempt.
    """


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """What an account has on its way."""

    waiting: int
    published: int


async def add(connection: Connection, draft: Draft, stamp: Stamp) -> int | None:
    """Queue a draft; its id, or None when the account has the same text already."""
    [post_id] = await add_all(connection, [draft], stamp)
    return post_id


async def add_all(connection: Connection, drafts: Sequence[Draft], stamp: Stamp) -> list[int | None]:
    """Queue drafts; of each its id, or None when its account has the same text already."""
    await lease.check(connection, stamp.fence)
    rows = await connection.fetch(
        """
        INSERT INTO posts (account, text, fingerprint, state, topic, format, hour, source, due_at,
                           created_at, state_since, fence)
        SELECT account, text, fingerprint, 'queued', topic, format, hour, source, due_at, $9, $9, $10
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[],
                    $8::timestamptz[])
            WITH ORDINALITY AS given (account, text, fingerprint, topic, format, hour, source, due_at, place)
        ORDER BY place
        ON CONFLICT DO NOTHING RETURNING id, account, fingerprint
        """,
        [draft.account for draft in drafts],
        [draft.text for draft in drafts],
        [fingerprint(draft.text) for draft in drafts],
        [draft.arms.topic for draft in drafts],
        [draft.arms.format for draft in drafts],
        [draft.arms.hour for draft in drafts],
        [draft.source for draft in drafts],
        [draft.due_at for draft in drafts],
        stamp.now,
        stamp.fence,
    )
    added = {(row["account"], row["fingerprint"]): int(row["id"]) for row in rows}
    return [added.pop((draft.account, fingerprint(draft.text)), None) for draft in drafts]


async def add_reply(
    connection: Connection, reply: ReplyDraft, stamp: Stamp, state: PostState = PostState.DRAFT
) -> int:
    """Keep a reply as a draft, or queued; its id.

    Raises PostStateError when the account answers that post already.
    """
    await lease.check(connection, stamp.fence)
    await lock_target(connection, reply.in_reply_to)
    text = storable(reply.text)
    post_id: int | None = await connection.fetchval(
        """
        INSERT INTO posts (account, text, fingerprint, state, topic, format, hour, source, due_at,
                           created_at, state_since, fence, in_reply_to)
        VALUES ($1, $2, $3, $4, '', 'reply', $5, $6, $7, $7, $7, $8, $9)
        ON CONFLICT DO NOTHING RETURNING id
        """,
        reply.account,
        text,
        fingerprint(text),
        state,
        stamp.now.hour,
        reply.source,
        stamp.now,
        stamp.fence,
        reply.in_reply_to,
    )
    if post_id is None:
        raise await _answered(connection, reply)
    return post_id


async def lock_target(connection: Connection, reference: str) -> None:
    """Nobody else drafts an answer to that post until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"reply/{reference}")


async def _answered(connection: Connection, reply: ReplyDraft) -> PostStateError:
    other = await connection.fetchval(
        "SELECT id FROM posts WHERE account = $1 AND in_reply_to = $2 AND state <> 'failed'",
        reply.account,
        reply.in_reply_to,
    )
    remedy = f"See: orchestrator ctl replies {other}" if other is not None else "Try again"
    return PostStateError(f"{reply.account} answers {reply.in_reply_to} already", remedy=remedy)


async def approve(connection: Connection, post_id: int, stamp: Stamp) -> None:
    """Draft → queued, due when it was scheduled for, now at the earliest."""
    await _step(connection, post_id, (PostState.DRAFT, PostState.QUEUED), stamp)
    await connection.execute(
        "UPDATE posts SET due_at = greatest(due_at, $2) WHERE id = $1", post_id, stamp.now
    )


async def claim_due(
    connection: Connection,
    accounts: Sequence[str],
    stamp: Stamp,
    believed: timedelta = BELIEVED,
    kind: PostKind = PostKind.POSTS,
) -> Post | None:
    """The post of `accounts`, or the reply if that is the `kind`, whose turn came first, now claimed.

    None when it is nobody's turn.

    A post's turn comes when it is due, or later, when it was put back. A moment further ahead than
    `believed` was noted by a clock that was ahead: it counts as now.
    One task at a time claims posts, and one replies, so what is claimed already was left by a run whose end
    could not be recorded: nothing was pressed, and it goes back first.
    """
    await lease.check(connection, stamp.fence)
    await connection.execute(
        "UPDATE posts SET state = 'queued', state_since = $2, fence = $1 WHERE state = 'claimed' "
        "AND (in_reply_to IS NOT NULL) = $3",
        stamp.fence,
        stamp.now,
        kind is PostKind.REPLIES,
    )
    row = await connection.fetchrow(
        f"""
        UPDATE posts SET state = 'claimed', state_since = $3, fence = $2
        WHERE id = (SELECT id FROM posts
                    WHERE state = 'queued' AND account = ANY ($1) AND (due_at <= $3 OR due_at > $4)
                      AND (not_before IS NULL OR not_before <= $3 OR not_before > $4)
                      AND (in_reply_to IS NOT NULL) = $5
                    ORDER BY greatest(due_at, not_before), id LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING {COLUMNS}
        """,  # noqa: S608 - a constant
        list(accounts),
        stamp.fence,
        stamp.now,
        stamp.now + believed,
        kind is PostKind.REPLIES,
    )
    return None if row is None else post_of(row)


async def intend(connection: Connection, post_id: int, stamp: Stamp, day: date, limit: int) -> bool:
    """Claimed → submitting, counted on `day`, in one transaction; committed before anything is pressed.

    False when the account has reached `limit` posts on that day, of a reply: replies; then nothing changes.
    """
    await lease.check(connection, stamp.fence)
    row = await connection.fetchrow(
        "SELECT account, (in_reply_to IS NOT NULL)::int AS reply FROM posts "
        "WHERE id = $1 AND state = 'claimed' FOR UPDATE",
        post_id,
    )
    if row is None:
        raise await _wrong_state(connection, post_id, PostState.CLAIMED)
    counted = await connection.fetchval(
        """
        INSERT INTO daily_counters AS c (account, day, posts, replies)
        SELECT $1::text, $2::date, 1 - $4::int, $4::int WHERE $3::int > 0
        ON CONFLICT (account, day) DO UPDATE SET posts = c.posts + 1 - $4, replies = c.replies + $4
            WHERE CASE WHEN $4 = 1 THEN c.replies ELSE c.posts END < $3
        RETURNING posts
        """,
        row["account"],
        day,
        limit,
        row["reply"],
    )
    if counted is None:
        return False
    await _step(connection, post_id, (PostState.CLAIMED, PostState.SUBMITTING), stamp)
    await connection.execute(
        """
        UPDATE posts SET attempt = attempt + 1, submitted_at = $2, counted_on = $3, missed_at = NULL
        WHERE id = $1
        """,
        post_id,
        stamp.now,
        day,
    )
    return True


async def counted(connection: Connection, account: str, day: date, kind: PostKind = PostKind.POSTS) -> int:
    """How many posts, or replies, the account's counter of `day` holds."""
    count: int | None = await connection.fetchval(
        "SELECT CASE WHEN $3 THEN replies ELSE posts END FROM daily_counters WHERE account = $1 AND day = $2",
        account,
        day,
        kind is PostKind.REPLIES,
    )
    return count or 0


async def publish(
    connection: Connection, post_id: int, came_from: PostState, reference: str, stamp: Stamp
) -> None:
    """Submitting or ambiguous → published."""
    await _step(connection, post_id, (came_from, PostState.PUBLISHED), stamp, reference=reference)


async def postpone(connection: Connection, post_id: int, stamp: Stamp, due_at: datetime, detail: str) -> None:
    """Claimed → queued, and planned anew: the account's own limit moves it to another day.

    So it is not late until then, as a post would be that is only put back.
    """
    await _step(connection, post_id, (PostState.CLAIMED, PostState.QUEUED), stamp, detail)
    await connection.execute("UPDATE posts SET due_at = $2, not_before = NULL WHERE id = $1", post_id, due_at)


async def put_back(
    connection: Connection, post_id: int, stamp: Stamp, not_before: datetime, detail: str
) -> None:
    """Claimed or submitting → queued until `not_before`, for whoever knows that nothing was pressed."""
    state = await connection.fetchval("SELECT state FROM posts WHERE id = $1 FOR UPDATE", post_id)
    came_from = PostState.SUBMITTING if state == PostState.SUBMITTING else PostState.CLAIMED
    await requeue(connection, post_id, came_from, stamp, not_before, detail)


async def requeue(
    connection: Connection,
    post_id: int,
    came_from: PostState,
    stamp: Stamp,
    not_before: datetime,
    detail: str,
) -> None:
    """Back to queued until `not_before`: it is certain that the site did not take the post.

    When it is due is left as it was, so that everybody sees how late it is.
    From submitting the attempt is given back too: the site did not even look at the post.
    """
    await _step(connection, post_id, (came_from, PostState.QUEUED), stamp, detail)
    await connection.execute("UPDATE posts SET not_before = $2 WHERE id = $1", post_id, not_before)
    await _refund(connection, post_id, attempts=int(came_from is PostState.SUBMITTING))


async def fail(connection: Connection, post_id: int, came_from: PostState, stamp: Stamp, detail: str) -> None:
    """Draft, queued, claimed, submitting or ambiguous → failed: the site, or a person, said no for good.

    From queued when nobody wants it any more.
    """
    await _step(connection, post_id, (came_from, PostState.FAILED), stamp, detail)
    await _refund(connection, post_id)


async def doubt(connection: Connection, post_id: int, stamp: Stamp, detail: str) -> None:
    """Submitting → ambiguous: it was pressed and nobody knows what came of it."""
    await _step(connection, post_id, (PostState.SUBMITTING, PostState.AMBIGUOUS), stamp, detail)


async def known_references(
    connection: Connection, account: str, references: Sequence[str]
) -> dict[str, datetime]:
    """Which of `references` belong to recorded posts of the account, and when those were published."""
    rows = await connection.fetch(
        "SELECT reference, published_at FROM posts WHERE account = $1 AND reference = ANY ($2)",
        account,
        list(references),
    )
    return {row["reference"]: row["published_at"] for row in rows}


async def latest_replies(connection: Connection, account: str, limit: int) -> list[tuple[str, str]]:
    """The account's latest published replies: what each answers, and its own reference."""
    rows = await connection.fetch(
        """
        SELECT in_reply_to, reference FROM posts
        WHERE account = $1 AND state = 'published' AND in_reply_to IS NOT NULL ORDER BY id DESC LIMIT $2
        """,
        account,
        limit,
    )
    return [(row["in_reply_to"], row["reference"]) for row in rows]


async def has_published(connection: Connection, account: str) -> bool:
    """Whether a post of the account is recorded as published."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM posts "
        "WHERE account = $1 AND state = 'published' AND in_reply_to IS NULL)",
        account,
    )
    return found


async def depths(connection: Connection, accounts: Sequence[str]) -> dict[str, QueueDepth]:
    """What each of `accounts` has on its way."""
    rows = await connection.fetch(
        """
        SELECT account, count(*) FILTER (WHERE state NOT IN ('published', 'failed', 'ambiguous')) AS waiting,
               count(*) FILTER (WHERE state = 'published') AS published
        FROM posts WHERE account = ANY ($1) AND in_reply_to IS NULL GROUP BY account LIMIT $2
        """,
        list(accounts),
        len(accounts),
    )
    found = {row["account"]: QueueDepth(row["waiting"], row["published"]) for row in rows}
    return dict.fromkeys(accounts, QueueDepth(0, 0)) | found


async def recent_texts(connection: Connection, accounts: Sequence[str], limit: int) -> list[str]:
    """The accounts' latest texts that did not fail, newest first."""
    rows = await connection.fetch(
        "SELECT text FROM posts WHERE account = ANY ($1) AND state <> 'failed' AND in_reply_to IS NULL "
        "ORDER BY id DESC LIMIT $2",
        list(accounts),
        limit,
    )
    return [row["text"] for row in rows]


async def expected(
    connection: Connection, accounts: Sequence[str], since: datetime, limit: int
) -> list[datetime]:
    """When the turn of the next posts of `accounts` comes that are not out yet, from `since` on."""
    rows = await connection.fetch(
        """
        SELECT greatest(due_at, not_before) AS turn_at FROM posts
        WHERE state IN ('queued', 'claimed', 'submitting') AND account = ANY ($1)
          AND greatest(due_at, not_before) > $2 AND in_reply_to IS NULL
        ORDER BY turn_at LIMIT $3
        """,
        list(accounts),
        since,
        limit,
    )
    return [row["turn_at"] for row in rows]


async def used_fingerprints(connection: Connection, accounts: Sequence[str]) -> dict[str, set[str]]:
    """The fingerprints of the texts that each of `accounts` is not to post (again).

    All that it has posted or queued, and those that a person has dropped; the site's refusals aside.
    """
    rows = await connection.fetch(
        "SELECT account, fingerprint FROM posts WHERE account = ANY ($1) "
        "AND (state <> 'failed' OR decision = 'drop') AND in_reply_to IS NULL",
        list(accounts),
    )
    found: dict[str, set[str]] = {account: set() for account in accounts}
    for row in rows:
        found[row["account"]].add(row["fingerprint"])
    return found


async def hasten(connection: Connection, stamp: Stamp) -> None:
    """Posts that were put off may go at once."""
    await lease.check(connection, stamp.fence)
    await connection.execute(
        """
        UPDATE posts SET not_before = $2
        WHERE state = 'queued' AND starts_with(detail, $1) AND not_before > $2
        """,
        PUT_OFF,
        stamp.now,
    )


async def _step(
    connection: Connection,
    post_id: int,
    way: tuple[PostState, PostState],
    stamp: Stamp,
    detail: str = "",
    *,
    reference: str | None = None,
) -> None:
    came_from, goes_to = way
    assert goes_to in POST_TRANSITIONS[came_from]
    await lease.check(connection, stamp.fence)
    done = await connection.execute(
        """
        UPDATE posts SET state = $3, state_since = $5::timestamptz, fence = $4, detail = $6, reference = $7,
                         published_at = CASE WHEN $3::text = 'published' THEN $5::timestamptz END
        WHERE id = $1 AND state = $2 AND ($8::timestamptz IS NULL OR submitted_at = $8)
        """,
        post_id,
        came_from,
        goes_to,
        stamp.fence,
        stamp.now,
        storable(detail),
        reference,
        stamp.attempt_at,
    )
    if done != "UPDATE 1" and not await _is_made(connection, post_id, goes_to, stamp):
        raise await _wrong_state(connection, post_id, came_from)


async def _is_made(connection: Connection, post_id: int, goes_to: PostState, stamp: Stamp) -> bool:
    """Whether the post came to its state by this very step."""
    is_made = await connection.fetchval(
        "SELECT state = $2 AND fence = $3 AND state_since = $4 FROM posts WHERE id = $1",
        post_id,
        goes_to,
        stamp.fence,
        stamp.now,
    )
    return bool(is_made)


async def _wrong_state(connection: Connection, post_id: int, wanted: PostState) -> PostStateError:
    state = await connection.fetchval("SELECT state FROM posts WHERE id = $1", post_id)
    if state == wanted:
        return PostStateError(f"post {post_id} was tried anew meanwhile")
    return PostStateError(f"post {post_id} is {state or 'not there'}, not {wanted}")


async def _refund(connection: Connection, post_id: int, *, attempts: int = 0) -> None:
    """Give back the day's count, and `attempts`, once: `counted_on` is emptied in the same transaction.

    Two statements: within one, a part never sees what another has changed.
    """
    await connection.execute(
        """
        UPDATE daily_counters d SET posts = d.posts - (p.in_reply_to IS NULL)::int,
                                    replies = d.replies - (p.in_reply_to IS NOT NULL)::int
        FROM posts p
        WHERE p.id = $1 AND d.account = p.account AND d.day = p.counted_on
        """,
        post_id,
    )
    await connection.execute(
        """
        UPDATE posts SET counted_on = NULL, attempt = attempt - $2
        WHERE id = $1 AND counted_on IS NOT NULL
        """,
        post_id,
        attempts,
    )


def post_of(row: asyncpg.Record) -> Post:
    return Post(
        id=row["id"],
        account=row["account"],
        text=row["text"],
        fingerprint=row["fingerprint"],
        state=PostState(row["state"]),
        arms=Arms(row["topic"], row["format"], row["hour"]),
        source=row["source"],
        due_at=row["due_at"],
        not_before=row["not_before"],
        attempt=row["attempt"],
        reference=row["reference"],
        submitted_at=row["submitted_at"],
        published_at=row["published_at"],
        detail=row["detail"],
        in_reply_to=row["in_reply_to"],
    )
