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
from orchestrator.model import POST_TRANSITIONS, Arms, Draft, Post, PostState, fingerprint, storable

COLUMNS = (
    "id, account, text, fingerprint, state, topic, format, hour, source, due_at, not_before, attempt, "
    "reference, submitted_at, published_at, missed_at, detail"
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


@dataclass(frozen=True, slots=True)
class InDoubt:
    """Ambiguous posts by who settles them."""

    looked_for: int
    """By reconciliation."""
    for_a_person: int
    reason: str
    """Why a person has to settle the first of those."""
    first_for_a_person: int | None
    """Its id."""
    strays: int
    """Of other accounts than those that are posted for: by nobody."""
    stray_accounts: str
    first_stray: int | None
    """The id of one of them."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What `recover` found from an earlier daemon."""

    requeued: int
    ambiguous: int


async def add(connection: Connection, draft: Draft, stamp: Stamp) -> int | None:
    """Queue a draft; its id, or None when the account has the same text already."""
    await lease.check(connection, stamp.fence)
    post_id: int | None = await connection.fetchval(
        """
        INSERT INTO posts (account, text, fingerprint, state, topic, format, hour, source, due_at,
                           created_at, state_since, fence)
        VALUES ($1, $2, $3, 'queued', $4, $5, $6, $7, $8, $9, $9, $10)
        ON CONFLICT DO NOTHING RETURNING id
        """,
        draft.account,
        draft.text,
        fingerprint(draft.text),
        draft.arms.topic,
        draft.arms.format,
        draft.arms.hour,
        draft.source,
        draft.due_at,
        stamp.now,
        stamp.fence,
    )
    return post_id


async def claim_due(
    connection: Connection, accounts: Sequence[str], stamp: Stamp, believed: timedelta = BELIEVED
) -> Post | None:
    """The post of `accounts` whose turn came first, now claimed; None when it is nobody's turn.

    A post's turn comes when it is due, or later, when it was put back. A moment further ahead than
    `believed` was noted by a clock that was ahead: it counts as now.
    One task at a time claims, so a post that is claimed already was left by a run whose end could not
    be recorded: nothing was pressed, and it goes back first.
    """
    await lease.check(connection, stamp.fence)
    await connection.execute(
        "UPDATE posts SET state = 'queued', state_since = $2, fence = $1 WHERE state = 'claimed'",
        stamp.fence,
        stamp.now,
    )
    row = await connection.fetchrow(
        f"""
        UPDATE posts SET state = 'claimed', state_since = $3, fence = $2
        WHERE id = (SELECT id FROM posts
                    WHERE state = 'queued' AND account = ANY ($1) AND (due_at <= $3 OR due_at > $4)
                      AND (not_before IS NULL OR not_before <= $3 OR not_before > $4)
                    ORDER BY greatest(due_at, not_before), id LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING {COLUMNS}
        """,  # noqa: S608 - a constant
        list(accounts),
        stamp.fence,
        stamp.now,
        stamp.now + believed,
    )
    return None if row is None else post_of(row)


async def intend(connection: Connection, post_id: int, stamp: Stamp, day: date, limit: int) -> bool:
    """Claimed → submitting, counted on `day`, in one transaction; committed before anything is pressed.

    False when the account has reached `limit` posts on that day: then nothing changes.
    """
    await lease.check(connection, stamp.fence)
    account = await connection.fetchval(
        "SELECT account FROM posts WHERE id = $1 AND state = 'claimed' FOR UPDATE", post_id
    )
    if account is None:
        raise await _wrong_state(connection, post_id, PostState.CLAIMED)
    counted = await connection.fetchval(
        """
        INSERT INTO daily_counters AS c (account, day, posts) SELECT $1::text, $2::date, 1 WHERE $3::int > 0
        ON CONFLICT (account, day) DO UPDATE SET posts = c.posts + 1 WHERE c.posts < $3
        RETURNING posts
        """,
        account,
        day,
        limit,
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


async def counted(connection: Connection, account: str, day: date) -> int:
    """How many posts the account's counter of `day` holds."""
    count: int | None = await connection.fetchval(
        "SELECT posts FROM daily_counters WHERE account = $1 AND day = $2", account, day
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
    """Claimed, submitting or ambiguous → failed: the site said no for good."""
    await _step(connection, post_id, (came_from, PostState.FAILED), stamp, detail)
    await _refund(connection, post_id)


async def doubt(connection: Connection, post_id: int, stamp: Stamp, detail: str) -> None:
    """Submitting → ambiguous: it was pressed and nobody knows what came of it."""
    await _step(connection, post_id, (PostState.SUBMITTING, PostState.AMBIGUOUS), stamp, detail)


async def recover(connection: Connection, stamp: Stamp) -> Recovered:
    """Settle what earlier daemons left: claimed → queued, submitting → ambiguous."""
    await lease.check(connection, stamp.fence)
    requeued = await connection.fetch(
        """
        UPDATE posts SET state = 'queued', state_since = $2, fence = $1
        WHERE state = 'claimed' AND fence < $1 RETURNING id
        """,
        stamp.fence,
        stamp.now,
    )
    ambiguous = await connection.fetch(
        """
        UPDATE posts SET state = 'ambiguous', state_since = $2, fence = $1,
                         detail = 'the daemon ended between pressing submit and the record of it'
        WHERE state = 'submitting' AND fence < $1 RETURNING id
        """,
        stamp.fence,
        stamp.now,
    )
    return Recovered(len(requeued), len(ambiguous))


async def doubt_stuck(connection: Connection, stamp: Stamp, since: datetime) -> int:
    """Submitting since before `since` → ambiguous; how many.

    What is in doubt since a moment yet to come, noted while the clock was ahead, is in doubt since now: else
    it would wait until then.
    """
    await lease.check(connection, stamp.fence)
    await connection.execute(
        """
        UPDATE posts SET state_since = least(state_since, $1),
                         submitted_at = CASE WHEN submitted_at > $1 THEN $1 ELSE submitted_at END,
                         missed_at = CASE WHEN missed_at > $1 THEN $1 ELSE missed_at END
        WHERE state IN ('submitting', 'ambiguous') AND greatest(state_since, submitted_at, missed_at) > $1
        """,
        stamp.now,
    )
    rows = await connection.fetch(
        """
        UPDATE posts SET state = 'ambiguous', state_since = $2, fence = $1, detail = 'stuck while submitting'
        WHERE state = 'submitting' AND state_since < $3 RETURNING id
        """,
        stamp.fence,
        stamp.now,
        since,
    )
    return len(rows)


async def note_missed(connection: Connection, post_id: int, stamp: Stamp) -> None:
    """A full look at the account's timeline did not show the ambiguous post: no person has to look."""
    await lease.check(connection, stamp.fence)
    await connection.execute(
        """
        UPDATE posts SET missed_at = $2, detail = 'not on the site in one look'
        WHERE id = $1 AND state = 'ambiguous' AND missed_at IS NULL
          AND ($3::timestamptz IS NULL OR submitted_at = $3)
        """,
        post_id,
        stamp.now,
        stamp.attempt_at,
    )


async def note_unreadable(connection: Connection, post_id: int, stamp: Stamp, detail: str) -> None:
    """Say why reconciliation can't settle an ambiguous post: a person decides."""
    await lease.check(connection, stamp.fence)
    await connection.execute(
        """
        UPDATE posts SET detail = $2
        WHERE id = $1 AND state = 'ambiguous' AND ($3::timestamptz IS NULL OR submitted_at = $3)
        """,
        post_id,
        storable(detail),
        stamp.attempt_at,
    )


async def ambiguous(
    connection: Connection, accounts: Sequence[str], limit: int
) -> list[tuple[Post, datetime | None]]:
    """Ambiguous posts of `accounts`, account by account, each with the moment when the site first lacked it.

    Of each account the latest `limit`: of those that only a person can settle there may be any number.
    """
    rows = await connection.fetch(
        f"""
        SELECT * FROM (
            SELECT {COLUMNS}, row_number() OVER latest AS place
            FROM posts WHERE state = 'ambiguous' AND account = ANY ($1)
            WINDOW latest AS (PARTITION BY account ORDER BY state_since DESC, id DESC)
        ) ranked WHERE place <= $2 ORDER BY account, id
        """,  # noqa: S608 - a constant
        list(accounts),
        limit,
    )
    return [(post_of(row), row["missed_at"]) for row in rows]


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


async def has_published(connection: Connection, account: str) -> bool:
    """Whether a post of the account is recorded as published."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM posts WHERE account = $1 AND state = 'published')", account
    )
    return found


async def depth(connection: Connection, account: str) -> QueueDepth:
    row = await connection.fetchrow(
        """
        SELECT count(*) FILTER (WHERE state NOT IN ('published', 'failed', 'ambiguous')) AS waiting,
               count(*) FILTER (WHERE state = 'published') AS published
        FROM posts WHERE account = $1
        """,
        account,
    )
    assert row is not None  # an aggregate always has a row
    return QueueDepth(row["waiting"], row["published"])


async def recent_texts(connection: Connection, accounts: Sequence[str], limit: int) -> list[str]:
    """The accounts' latest texts that did not fail, newest first."""
    rows = await connection.fetch(
        "SELECT text FROM posts WHERE account = ANY ($1) AND state <> 'failed' ORDER BY id DESC LIMIT $2",
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
          AND greatest(due_at, not_before) > $2
        ORDER BY turn_at LIMIT $3
        """,
        list(accounts),
        since,
        limit,
    )
    return [row["turn_at"] for row in rows]


async def used_fingerprints(connection: Connection, account: str) -> set[str]:
    """The fingerprints of the texts that the account is not to post (again).

    All that it has posted or queued, and those that a person has dropped; the site's refusals aside.
    """
    rows = await connection.fetch(
        "SELECT fingerprint FROM posts WHERE account = $1 AND (state <> 'failed' OR decision = 'drop')",
        account,
    )
    return {row["fingerprint"] for row in rows}


async def count_by_state(connection: Connection) -> dict[PostState, int]:
    rows = await connection.fetch("SELECT state, count(*) AS n FROM posts GROUP BY state")
    counts = {PostState(row["state"]): row["n"] for row in rows}
    return {state: counts.get(state, 0) for state in PostState}


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


async def put_off(connection: Connection, accounts: Sequence[str]) -> tuple[int, str]:
    """How many posts of `accounts` wait because their account can't be used, and why the first does."""
    row = await connection.fetchrow(
        """
        SELECT count(*) AS n, min(detail) AS detail FROM posts
        WHERE state = 'queued' AND starts_with(detail, $1) AND account = ANY ($2)
        """,
        PUT_OFF,
        list(accounts),
    )
    assert row is not None  # an aggregate always has a row
    return row["n"], (row["detail"] or "").removeprefix(PUT_OFF)


async def in_doubt(connection: Connection, accounts: Sequence[str]) -> InDoubt:
    """The ambiguous posts; `accounts` are those that are posted for."""
    row = await connection.fetchrow(
        """
        SELECT count(*) FILTER (WHERE is_ours AND NOT is_asked) AS looked_for,
               count(*) FILTER (WHERE is_ours AND is_asked) AS for_a_person,
               (array_agg(detail ORDER BY id) FILTER (WHERE is_ours AND is_asked))[1] AS reason,
               min(id) FILTER (WHERE is_ours AND is_asked) AS first_for_a_person,
               count(*) FILTER (WHERE NOT is_ours) AS strays,
               string_agg(DISTINCT account, ', ') FILTER (WHERE NOT is_ours) AS stray_accounts,
               min(id) FILTER (WHERE NOT is_ours) AS first_stray
        FROM (SELECT id, account, detail, account = ANY ($1) AS is_ours,
                     right(detail, length($2)) = $2 AS is_asked
              FROM posts WHERE state = 'ambiguous') doubtful
        """,
        list(accounts),
        ASK,
    )
    assert row is not None  # an aggregate always has a row
    return InDoubt(
        looked_for=row["looked_for"],
        for_a_person=row["for_a_person"],
        reason=row["reason"] or "",
        first_for_a_person=row["first_for_a_person"],
        strays=row["strays"],
        stray_accounts=row["stray_accounts"] or "",
        first_stray=row["first_stray"],
    )


async def oldest_due(connection: Connection, accounts: Sequence[str], now: datetime) -> datetime | None:
    """When the post of `accounts` was due that has been due the longest, of those that wait for no moment."""
    due_at: datetime | None = await connection.fetchval(
        """
        SELECT min(due_at) FROM posts
        WHERE state IN ('queued', 'claimed') AND greatest(due_at, not_before) <= $2 AND account = ANY ($1)
        """,
        list(accounts),
        now,
    )
    return due_at


async def recent(connection: Connection, limit: int) -> list[tuple[Post, tuple[int, int, int] | None]]:
    """The posts that changed last, newest first, each with its latest likes, replies and views."""
    rows = await connection.fetch(
        f"""
        SELECT p.*, m.likes, m.replies, m.views
        FROM (SELECT {COLUMNS}, state_since FROM posts ORDER BY state_since DESC, id DESC LIMIT $1) p
        LEFT JOIN LATERAL (SELECT likes, replies, views FROM post_metrics
                           WHERE post_id = p.id ORDER BY read_at DESC LIMIT 1) m ON true
        ORDER BY p.state_since DESC, p.id DESC
        """,  # noqa: S608 - a constant
        limit,
    )
    return [
        (post_of(row), None if row["likes"] is None else (row["likes"], row["replies"], row["views"]))
        for row in rows
    ]


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
        UPDATE daily_counters d SET posts = d.posts - 1 FROM posts p
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
    )
