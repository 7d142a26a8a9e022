"""Posts of others that a reply of ours would suit: the pool, and what became of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import asyncpg

from orchestrator.db import lease
from orchestrator.db.pool import Connection
from orchestrator.db.posts import Stamp
from orchestrator.model import storable

MOST_OPEN = 300
"""Open ones on a site; beyond it the least relevant go."""


class OpportunityState(StrEnum):
    """What became of an opportunity."""

    OPEN = "open"
    DRAFTED = "drafted"
    """A reply waits for a person, or is on its way."""
    ANSWERED = "answered"
    PASSED = "passed"
    """The reply was rejected, or none could be written."""
    STALE = "stale"
    """A day old, and not answered, or with a draft that nobody has approved."""


@dataclass(frozen=True, slots=True)
class Found:
    """A post as a list on its site showed it, with what makes it an opportunity."""

    reference: str
    author: str
    text: str
    posted_at: datetime
    likes: int | None
    """None where the list shows none, as of the next two."""
    replies: int | None
    views: int | None
    relevance: float
    topic: str
    why: str


@dataclass(frozen=True, slots=True)
class Opportunity:
    """One row."""

    id: int
    site: str
    found: Found
    seen_at: datetime
    state: OpportunityState

    @property
    def since(self) -> datetime:
        """From when on its age counts; a site whose clock is ahead makes no post younger."""
        return min(self.found.posted_at, self.seen_at)


@dataclass(frozen=True, slots=True)
class Score:
    """What a later look at an open one gives."""

    id: int
    relevance: float
    topic: str
    why: str


_COLUMNS = (
    "id, site, reference, author, text, posted_at, seen_at, likes, replies, views, relevance, topic, state, "
    "why"
)


async def lock_pool(connection: Connection, site: str) -> None:
    """Nobody else changes the site's pool until the transaction ends: else two could wait for each other."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"opportunities/{site}")


async def add(
    connection: Connection, site: str, accounts: Sequence[str], found: Sequence[Found], stamp: Stamp
) -> int:
    """Put posts into the pool that were not there and that none of `accounts` answers; how many were new.

    Of an open one the figures are renewed; what is over stays over.
    """
    await lease.check(connection, stamp.fence)
    await lock_pool(connection, site)
    new = 0
    for one in found:
        new += await connection.fetchval(
            """
            INSERT INTO opportunities AS o (site, reference, author, text, posted_at, seen_at, likes, replies,
                                            views, relevance, topic, why, state, state_since)
            SELECT $1, $2, $3, $4, $5::timestamptz, $6, $7::bigint, $8::bigint, $9::bigint, $10, $11, $12,
                   'open', $6
            WHERE NOT EXISTS (SELECT FROM posts WHERE account = ANY ($13) AND in_reply_to = $2
                                AND state <> 'failed')
            ON CONFLICT (site, reference) DO UPDATE
                SET likes = $7, replies = $8, views = $9, relevance = $10, topic = $11, why = $12
                WHERE o.state = 'open'
            RETURNING (xmax = 0)::int
            """,
            site,
            storable(one.reference),
            storable(one.author),
            storable(one.text),
            one.posted_at,
            stamp.now,
            one.likes,
            one.replies,
            one.views,
            one.relevance,
            storable(one.topic),
            storable(one.why),
            list(accounts),
        ) or 0  # fmt: skip
    await connection.execute(
        """
        DELETE FROM opportunities WHERE id IN (
            SELECT id FROM opportunities WHERE site = $1 AND state = 'open'
            ORDER BY relevance DESC, id OFFSET $2)
        """,
        site,
        MOST_OPEN,
    )
    return new


async def count_open(connection: Connection, sites: Sequence[str]) -> dict[str, int]:
    """How many are open on each of `sites`."""
    rows = await connection.fetch(
        """
        SELECT site, (SELECT count(*) FROM opportunities o WHERE o.site = given.site AND state = 'open') AS n
        FROM unnest($1::text[]) AS given (site)
        """,
        list(sites),
    )
    return {row["site"]: row["n"] for row in rows}


async def count_by_state(connection: Connection) -> dict[OpportunityState, int]:
    rows = await connection.fetch("SELECT state, count(*) AS n FROM opportunities GROUP BY state")
    counts = {row["state"]: row["n"] for row in rows}
    return {state: counts.get(state, 0) for state in OpportunityState}


async def best(connection: Connection, site: str, limit: int = MOST_OPEN) -> list[Opportunity]:
    """The open ones of a site, the most relevant first."""
    rows = await connection.fetch(
        f"""
        SELECT {_COLUMNS} FROM opportunities
        WHERE site = $1 AND state = 'open' ORDER BY relevance DESC, id LIMIT $2
        """,  # noqa: S608 - a constant
        site,
        limit,
    )
    return [_opportunity(row) for row in rows]


async def settle(connection: Connection, site: str, accounts: Sequence[str], stamp: Stamp) -> int:
    """Note what became of replies, also of those that a person has drafted; how many are over by it."""
    await lease.check(connection, stamp.fence)
    await lock_pool(connection, site)
    await connection.execute(
        """
        UPDATE opportunities o SET state = 'drafted', state_since = $3, reply = p.id,
                                   why = 'a reply of ' || p.account || ' is there'
        FROM posts p
        WHERE o.site = $1 AND o.state = 'open' AND p.account = ANY ($2) AND p.in_reply_to = o.reference
          AND p.state <> 'failed'
        """,
        site,
        list(accounts),
        stamp.now,
    )
    done: str = await connection.execute(
        """
        UPDATE opportunities o
        SET state = CASE p.state WHEN 'published' THEN 'answered' ELSE 'passed' END,
            state_since = coalesce(p.published_at, $2),
            why = CASE p.state WHEN 'published' THEN 'answered as ' || p.reference ELSE p.detail END
        FROM posts p
        WHERE o.site = $1 AND o.state = 'drafted' AND p.id = o.reply AND p.state IN ('published', 'failed')
        """,
        site,
        stamp.now,
    )
    return int(done.rpartition(" ")[2])


async def expire(connection: Connection, site: str, before: datetime, stamp: Stamp) -> int:
    """Open ones from `before` or earlier are stale; how many."""
    await lease.check(connection, stamp.fence)
    await lock_pool(connection, site)
    done: str = await connection.execute(
        """
        UPDATE opportunities SET state = 'stale', state_since = $3, why = 'a day old'
        WHERE site = $1 AND state = 'open' AND least(posted_at, seen_at) <= $2
        """,
        site,
        before,
        stamp.now,
    )
    return int(done.rpartition(" ")[2])


async def rescore(connection: Connection, site: str, scores: Sequence[Score], fence: int) -> None:
    """Give open ones their new scores."""
    await lease.check(connection, fence)
    await lock_pool(connection, site)
    await connection.execute(
        """
        UPDATE opportunities o SET relevance = n.relevance, topic = n.topic, why = n.why
        FROM unnest($1::bigint[], $2::double precision[], $3::text[], $4::text[])
            AS n (id, relevance, topic, why)
        WHERE o.id = n.id AND o.state = 'open'
        """,
        [one.id for one in scores],
        [one.relevance for one in scores],
        [one.topic for one in scores],
        [one.why for one in scores],
    )


async def give_up(connection: Connection, opportunity_id: int, why: str, stamp: Stamp) -> None:
    """Open → passed."""
    await lease.check(connection, stamp.fence)
    await connection.execute(
        """
        UPDATE opportunities SET state = 'passed', state_since = $3, why = $2
        WHERE id = $1 AND state = 'open'
        """,
        opportunity_id,
        storable(why),
        stamp.now,
    )


async def addressed(connection: Connection, site: str, since: datetime, limit: int) -> set[str]:
    """The authors whom a reply of ours has answered, or is to answer, since then."""
    rows = await connection.fetch(
        """
        SELECT author FROM opportunities
        WHERE site = $1 AND state IN ('drafted', 'answered') AND state_since >= $2
        ORDER BY state_since DESC LIMIT $3
        """,
        site,
        since,
        limit,
    )
    return {row["author"] for row in rows}


async def drafts(connection: Connection, accounts: Sequence[str]) -> dict[str, int]:
    """How many replies of each of `accounts` wait for a person, or to go out."""
    rows = await connection.fetch(
        """
        SELECT account, count(*) AS n FROM posts
        WHERE state IN ('draft', 'queued') AND account = ANY ($1) AND in_reply_to IS NOT NULL
        GROUP BY account
        """,
        list(accounts),
    )
    return dict.fromkeys(accounts, 0) | {row["account"]: row["n"] for row in rows}


async def reply_texts(connection: Connection, accounts: Sequence[str], limit: int) -> list[str]:
    """The latest replies of `accounts` that were not refused, newest first."""
    rows = await connection.fetch(
        """
        SELECT text FROM posts WHERE account = ANY ($1) AND in_reply_to IS NOT NULL AND state <> 'failed'
        ORDER BY id DESC LIMIT $2
        """,
        list(accounts),
        limit,
    )
    return [row["text"] for row in rows]


def _opportunity(row: asyncpg.Record) -> Opportunity:
    found = Found(
        row["reference"], row["author"], row["text"], row["posted_at"], row["likes"], row["replies"],
        row["views"], row["relevance"], row["topic"], row["why"],
    )  # fmt: skip
    return Opportunity(row["id"], row["site"], found, row["seen_at"], OpportunityState(row["state"]))
