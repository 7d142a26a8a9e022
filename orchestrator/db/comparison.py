"""What the comparison of an account's timeline with its posts asks of the database, and what it has found."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from orchestrator.db import lease, notes
from orchestrator.db.pool import Connection
from orchestrator.db.posts import Stamp
from orchestrator.errors import PostStateError
from orchestrator.model import PostState

EVERY = timedelta(days=1)
IN_FLIGHT = 100
"""So many texts at most that are on their way to the site; as a rule it is one."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A post, as a comparison needs it."""

    id: int
    state: PostState
    reference: str | None


@dataclass(frozen=True, slots=True)
class Listed:
    """A published post that a timeline should list and does not."""

    id: int
    reference: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What the latest comparison of an account found, as sentences."""

    account: str
    at: datetime
    notes: list[str]
    """Nothing is to be done about these."""
    wrong: list[str]
    """Somebody has to look at these."""
    gone: list[int] = field(default_factory=list)
    """Posts that have no page any more."""
    looked_up: list[int] = field(default_factory=list)
    """Posts that were not listed and have been looked up; the others have their turn next time."""


async def due(
    connection: Connection, accounts: Sequence[str], span: tuple[datetime, datetime], limit: int
) -> list[str]:
    """Of `accounts` those to compare again, longest ago first.

    That have posts from before `span`, and no comparison within it, which ends now.
    """
    rows = await connection.fetch(
        """
        SELECT account FROM unnest($1::text[]) WITH ORDINALITY AS given (account, place)
        LEFT JOIN notes ON job = 'reconciliation' AND key = account
        WHERE (saved_at IS NULL OR saved_at <= $2 OR saved_at > $3)
          AND EXISTS (SELECT 1 FROM posts p
                      WHERE p.account = given.account AND state = 'published' AND published_at <= $2
                        AND in_reply_to IS NULL)
        ORDER BY saved_at NULLS FIRST, place LIMIT $4
        """,
        list(accounts),
        *span,
        limit,
    )
    return [row["account"] for row in rows]


async def by_fingerprint(
    connection: Connection, account: str, fingerprints: Sequence[str]
) -> dict[str, Recorded]:
    """The account's posts with these texts; of several with one text the latest."""
    rows = await connection.fetch(
        "SELECT id, state, reference, fingerprint FROM posts "
        "WHERE account = $1 AND fingerprint = ANY ($2) AND in_reply_to IS NULL ORDER BY id",
        account,
        list(fingerprints),
    )
    return {
        row["fingerprint"]: Recorded(row["id"], PostState(row["state"]), row["reference"]) for row in rows
    }


async def in_flight(connection: Connection, account: str) -> list[str]:
    """The texts that the site may have without the database knowing it yet."""
    rows = await connection.fetch(
        "SELECT text FROM posts WHERE account = $1 AND state IN ('claimed', 'submitting', 'ambiguous') "
        "ORDER BY id DESC LIMIT $2",
        account,
        IN_FLIGHT,
    )
    return [row["text"] for row in rows]


async def not_listed(
    connection: Connection,
    account: str,
    references: Sequence[str],
    span: tuple[datetime | None, datetime],
    limit: int,
) -> list[Listed]:
    """Posts published within `span`, None: since ever, that have none of `references`; newest first."""
    rows = await connection.fetch(
        """
        SELECT id, reference, fingerprint FROM posts
        WHERE account = $1 AND state = 'published' AND reference <> ALL ($2) AND in_reply_to IS NULL
          AND ($3::timestamptz IS NULL OR published_at > $3) AND published_at <= $4
        ORDER BY published_at DESC, id DESC LIMIT $5
        """,
        account,
        list(references),
        *span,
        limit,
    )
    return [Listed(row["id"], row["reference"], row["fingerprint"]) for row in rows]


async def move(connection: Connection, post: Listed, reference: str, stamp: Stamp) -> None:
    """The site has given a published post another reference. Raises PostStateError when ours has changed."""
    await lease.check(connection, stamp.fence)
    done = await connection.execute(
        """
        UPDATE posts SET reference = $3, measured_at = NULL, fence = $4
        WHERE id = $1 AND state = 'published' AND reference = $2
        """,
        post.id,
        post.reference,
        reference,
        stamp.fence,
    )
    if done != "UPDATE 1":
        raise PostStateError(f"post {post.id} is not {post.reference} any more")


async def remember(connection: Connection, findings: Findings, stamp: Stamp) -> None:
    """Keep what was found in the place of what was found before."""
    value = {
        "notes": findings.notes,
        "wrong": findings.wrong,
        "gone": findings.gone,
        "looked_up": findings.looked_up,
    }
    await notes.remember(connection, "reconciliation", findings.account, value, stamp.fence, findings.at)


async def findings(connection: Connection, accounts: Sequence[str]) -> list[Findings]:
    """What the latest comparison of each of `accounts` found, in their order; of those that had one."""
    rows = await connection.fetch(
        """
        SELECT key, saved_at, value FROM unnest($1::text[]) WITH ORDINALITY AS given (account, place)
        JOIN notes ON job = 'reconciliation' AND key = account ORDER BY place
        """,
        list(accounts),
    )
    return [
        Findings(
            row["key"],
            row["saved_at"],
            row["value"]["notes"],
            row["value"]["wrong"],
            row["value"].get("gone", []),
            row["value"].get("looked_up", []),
        )
        for row in rows
    ]
