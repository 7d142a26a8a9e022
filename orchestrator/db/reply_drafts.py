"""Drafts of replies to opportunities: each post is answered once, each author once in a while."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.db import lease, opportunities, posts
from orchestrator.db.opportunities import Opportunity
from orchestrator.db.pool import Connection
from orchestrator.db.posts import Stamp
from orchestrator.model import WITHDRAWN, PostState, ReplyDraft

OF_A_JOB = "job "
"""How the source of a draft begins that no person has written."""
MOST = 100
"""Drafts that are withdrawn at a time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a new draft must not break."""

    accounts: Sequence[str]
    """Ours on the site: none of them has answered the post."""
    since: datetime
    """Since then none of them has answered its author."""


async def draft(
    connection: Connection,
    one: Opportunity,
    reply: ReplyDraft,
    limits: Limits,
    state: PostState,
    stamp: Stamp,
) -> int | None:
    """Keep a reply to an open opportunity, in one transaction; its id, or None when it may not be any more.

    Of several who draft at once on a site each waits for the others, so the limits hold.
    """
    await lease.check(connection, stamp.fence)
    await opportunities.lock_pool(connection, one.site)
    await posts.lock_target(connection, one.found.reference)
    if not await may_be_answered(connection, one, limits):
        return None
    post_id = await posts.add_reply(connection, reply, stamp, state)
    await connection.execute(
        "UPDATE opportunities SET state = 'drafted', state_since = $2, why = $3, reply = $4 WHERE id = $1",
        one.id,
        stamp.now,
        reply.source,
        post_id,
    )
    return post_id


async def may_be_answered(connection: Connection, one: Opportunity, limits: Limits) -> bool:
    """Whether it is open, and nobody has answered it or, of late, its author."""
    may: bool = await connection.fetchval(
        """
        SELECT EXISTS (SELECT FROM opportunities WHERE id = $1 AND state = 'open')
           AND NOT EXISTS (SELECT FROM posts WHERE account = ANY ($2) AND in_reply_to = $3
                             AND state <> 'failed')
           AND NOT EXISTS (SELECT FROM opportunities WHERE site = $4 AND author = $5 AND state_since >= $6
                             AND state IN ('drafted', 'answered'))
        """,
        one.id,
        list(limits.accounts),
        one.found.reference,
        one.site,
        one.found.author,
        limits.since,
    )
    return may


async def withdraw(
    connection: Connection, site: str, before: datetime, long_before: datetime, stamp: Stamp
) -> int:
    """Replies of jobs that would come too late fail; how many.

    Those that nobody has approved, to posts from `before` or earlier; those that wait to go out, to posts
    from `long_before` or earlier.
    """
    await lease.check(connection, stamp.fence)
    await opportunities.lock_pool(connection, site)
    count = 0
    for state, posted_before, why in (
        (PostState.DRAFT, before, "nobody has approved it, and the post is a day old"),
        (PostState.QUEUED, long_before, "it could not go out, and the post is two days old"),
    ):
        found = await stale(connection, site, state, posted_before)
        await _withdraw(connection, site, found, state, why, stamp)
        count += len(found)
    return count


async def withdraw_gone(connection: Connection, site: str, target: str, stamp: Stamp) -> int:
    """Drafts of jobs to a post that its site has no more fail, unless somebody was faster; how many."""
    await lease.check(connection, stamp.fence)
    await opportunities.lock_pool(connection, site)
    rows = await connection.fetch(
        """
        SELECT p.id FROM opportunities o JOIN posts p ON p.id = o.reply
        WHERE o.site = $1 AND o.reference = $2 AND o.state = 'drafted'
          AND p.state = 'draft' AND starts_with(p.source, $3)
        LIMIT 1 FOR UPDATE OF p
        """,
        site,
        target,
        OF_A_JOB,
    )
    found = [row["id"] for row in rows]
    await _withdraw(connection, site, found, PostState.DRAFT, "the site has no such post any more", stamp)
    return len(found)


async def _withdraw(
    connection: Connection, site: str, found: Sequence[int], came_from: PostState, why: str, stamp: Stamp
) -> None:
    """Of replies that the transaction holds."""
    for reply in found:
        await posts.fail(connection, reply, came_from, stamp, f"{WITHDRAWN}{why}")
    await connection.execute(
        """
        UPDATE opportunities SET state = 'stale', state_since = $3, why = $4
        WHERE site = $1 AND state = 'drafted' AND reply = ANY ($2)
        """,
        site,
        list(found),
        stamp.now,
        f"{WITHDRAWN}{why}",
    )


async def targets(connection: Connection, site: str, limit: int) -> list[str]:
    """The posts, by the site's names, that drafts of jobs answer which wait for a person."""
    rows = await connection.fetch(
        """
        SELECT o.reference FROM opportunities o JOIN posts p ON p.id = o.reply
        WHERE o.site = $1 AND o.state = 'drafted' AND p.state = 'draft' AND starts_with(p.source, $2)
        ORDER BY p.id LIMIT $3
        """,
        site,
        OF_A_JOB,
        limit,
    )
    return [row["reference"] for row in rows]


async def stale(connection: Connection, site: str, state: PostState, before: datetime) -> list[int]:
    """Replies of jobs in that state to posts from `before` or earlier, `MOST` at most.

    The transaction holds them.
    """
    rows = await connection.fetch(
        """
        SELECT p.id FROM opportunities o JOIN posts p ON p.id = o.reply
        WHERE o.site = $1 AND o.state = 'drafted' AND least(o.posted_at, o.seen_at) <= $2
          AND p.state = $5 AND starts_with(p.source, $3)
        ORDER BY p.id LIMIT $4 FOR UPDATE OF p
        """,
        site,
        before,
        OF_A_JOB,
        MOST,
        state,
    )
    return [row["id"] for row in rows]
