"""Posts and the ledger of those that accounts handed in."""

import hashlib
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Mapping

from orchestrator.demo.database import Database, set_fact
from orchestrator.demo.records import Author, LedgerEntry, NewPost, Page, Post

_REFERENCE_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_REFERENCE_LENGTH = 10
_POPULATION_UNTIL = "population_until"
_POST = (
    "SELECT p.id, p.reference, p.author, a.display_name, p.text, p.accepted_at, p.followers, p.in_reply_to"
    " FROM posts p JOIN authors a ON a.name = p.author"
)
_ADD_POST = (
    "INTO posts (reference, author, text, accepted_at, followers, in_reply_to) VALUES (?, ?, ?, ?, ?, ?)"
)


def fingerprint(text: str) -> str:
    """sha256 of the text with every run of white space as one blank: how a post is recognised again."""
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()


class Posts:
    """Invariants:

    1. Every row of `ledger` has its row in `posts`, written in the same transaction, and keeps it.
    2. `ledger.sequence` and `accepted_at` grow in the same order, as long as the clock does not go back.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, reference: str) -> Post | None:
        row = self._database.one(f"{_POST} WHERE p.reference = ?", (reference,))
        return Post(*row) if row else None

    def page(
        self, *, before: str | None, limit: int, author: str | None = None, words: Iterable[str] = ()
    ) -> Page:
        """Posts newest first, older than the post `before`: of one author, and with all `words`, if given.

        Replies stand below the posts that they answer, and nowhere else.
        """
        conditions, values = ["p.in_reply_to IS NULL"], list[object]()
        if before is not None:
            conditions.append("p.id < (SELECT id FROM posts WHERE reference = ?)")
            values.append(before)
        if author is not None:
            conditions.append("p.author = ?")
            values.append(author)
        for word in words:
            conditions.append(r"p.text LIKE ? ESCAPE '\'")
            values.append(f"%{_escape_like(word)}%")
        query = f"{_POST} WHERE {' AND '.join(conditions)} ORDER BY p.id DESC LIMIT ?"
        rows = self._database.all(query, (*values, limit + 1))
        posts = [Post(*row) for row in rows[:limit]]
        return Page(posts, posts[-1].reference if len(rows) > limit else None)

    def after(self, author: str, post_id: int) -> list[Post]:
        """The author's posts with a greater id, oldest first."""
        query = f"{_POST} WHERE p.author = ? AND p.id > ? AND p.in_reply_to IS NULL ORDER BY p.id"
        return [Post(*row) for row in self._database.all(query, (author, post_id))]

    def replies_to(self, reference: str) -> list[Post]:
        """What accounts have answered to that post, oldest first."""
        rows = self._database.all(f"{_POST} WHERE p.in_reply_to = ? ORDER BY p.id", (reference,))
        return [Post(*row) for row in rows]

    def newest_moment(self) -> float | None:
        """When the newest post of all was accepted."""
        row = self._database.one("SELECT max(accepted_at) FROM posts")
        return row[0] if row else None

    def ledger(self, *, after: int = 0) -> list[LedgerEntry]:
        """The entries with a greater sequence number than `after`, in order."""
        rows = self._database.all(
            "SELECT sequence, reference, account, text, fingerprint, accepted_at, in_reply_to FROM ledger"
            " WHERE sequence > ? ORDER BY sequence",
            (after,),
        )
        return [LedgerEntry(*row) for row in rows]

    async def accept(
        self,
        account: str,
        text: str,
        followers: int,
        now: Callable[[], float],
        in_reply_to: str | None = None,
    ) -> str:
        """Take a post or a reply of an account, into the ledger and among the posts; its reference."""

        def work(connection: sqlite3.Connection) -> str:
            reference = "".join(secrets.choice(_REFERENCE_ALPHABET) for _ in range(_REFERENCE_LENGTH))
            accepted_at = now()
            connection.execute(
                "INSERT INTO ledger (reference, account, text, fingerprint, accepted_at, in_reply_to)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (reference, account, text, fingerprint(text), accepted_at, in_reply_to),
            )
            row = (reference, account, text, accepted_at, followers, in_reply_to)
            connection.execute(f"INSERT {_ADD_POST}", row)
            return reference

        return await self._database.write(work)

    # ── posts of the population ─────────────────────────────────────────────────────────────────

    def population_until(self) -> float | None:
        """Until when the population's posts are in; None before the first."""
        known = self._database.fact(_POPULATION_UNTIL)
        return None if known is None else float(known)

    async def add_population(
        self, posts: Iterable[NewPost], followers: Mapping[str, int], *, until: float
    ) -> None:
        """Add posts, in their order, and remember until when they are in. Adding one again is harmless."""
        rows = [(p.reference, p.author, p.text, p.accepted_at, followers[p.author], None) for p in posts]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(f"INSERT OR IGNORE {_ADD_POST}", rows)
            set_fact(connection, _POPULATION_UNTIL, repr(until))

        await self._database.write(work)

    async def drop_settled(self, author: Author, *, before: float) -> int:
        """Forget the author's settled posts accepted before that moment; they stay in the author's number.

        What is in the ledger is kept. Returns how many were forgotten.
        """

        def work(connection: sqlite3.Connection) -> int:
            dropped = connection.execute(
                "DELETE FROM posts WHERE author = ? AND accepted_at < ? AND id <= ?"
                " AND reference NOT IN (SELECT reference FROM ledger)",
                (author.name, before, author.settled_post),
            ).rowcount
            connection.execute(
                "UPDATE authors SET dropped_posts = dropped_posts + ? WHERE name = ?", (dropped, author.name)
            )
            return dropped

        return await self._database.write(work)


def _escape_like(word: str) -> str:
    return word.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
