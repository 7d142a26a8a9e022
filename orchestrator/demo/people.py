"""Authors, which of them can sign in, and their sessions, as rows."""

import sqlite3
from collections.abc import Iterable, Mapping

from orchestrator.demo.database import Database
from orchestrator.demo.records import Author

_AUTHOR = (
    "SELECT name, display_name, bio, base_followers, following, gained_followers, settled_post,"
    " dropped_posts + (SELECT count(*) FROM posts WHERE author = name AND in_reply_to IS NULL) FROM authors"
)


class People:
    """Names are compared without regard to case, and shown as they were given."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> Author | None:
        row = self._database.one(f"{_AUTHOR} WHERE name = ?", (name,))
        return Author(*row) if row else None

    def everybody(self) -> list[Author]:
        """Those with the most followers first."""
        rows = self._database.all(f"{_AUTHOR} ORDER BY base_followers + gained_followers DESC, name")
        return [Author(*row) for row in rows]

    async def add(self, authors: Iterable[Author]) -> None:
        """Add those whose names are not taken."""
        rows = [(a.name, a.display_name, a.bio, a.base_followers, a.following) for a in authors]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "INSERT OR IGNORE INTO authors (name, display_name, bio, base_followers, following)"
                " VALUES (?, ?, ?, ?, ?)",
                rows,
            )

        await self._database.write(work)

    async def settle(self, name: str, followers: int, through_post: int) -> None:
        """Write down the followers won by the author's posts up to `through_post`, whose counts are final."""
        await self._database.execute(
            "UPDATE authors SET gained_followers = gained_followers + ?, settled_post = ?"
            " WHERE name = ? AND settled_post < ?",
            (followers, through_post, name, through_post),
        )

    # ── accounts ────────────────────────────────────────────────────────────────────────────────

    async def set_accounts(self, display_names: Mapping[str, str]) -> None:
        """Make exactly these authors, by name, accounts; nobody else can sign in or stay signed in."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE authors SET is_account = 0")
            connection.executemany(
                "UPDATE authors SET is_account = 1, display_name = ? WHERE name = ?",
                [(display_name, name) for name, display_name in display_names.items()],
            )
            connection.execute("UPDATE authors SET password = NULL WHERE is_account = 0")
            connection.execute(
                "DELETE FROM sessions WHERE account IN (SELECT name FROM authors WHERE is_account = 0)"
            )

        await self._database.write(work)

    def password(self, name: str) -> str | None:
        """The stored hash; None when there is no such account or it can't sign in."""
        row = self._database.one("SELECT password FROM authors WHERE name = ?", (name,))
        return row[0] if row else None

    async def set_password(self, name: str, password: str) -> None:
        await self._database.execute("UPDATE authors SET password = ? WHERE name = ?", (password, name))

    # ── sessions ────────────────────────────────────────────────────────────────────────────────

    def of_session(self, token_hash: str, now: float) -> Author | None:
        """Whose session it is; None when it is unknown or over."""
        session = "SELECT account FROM sessions WHERE token_hash = ? AND expires_at > ?"
        row = self._database.one(f"{_AUTHOR} WHERE name = ({session})", (token_hash, now))
        return Author(*row) if row else None

    async def add_session(self, token_hash: str, account: str, expires_at: float) -> None:
        await self._database.execute(
            "INSERT INTO sessions (token_hash, account, expires_at) VALUES (?, ?, ?)",
            (token_hash, account, expires_at),
        )

    async def end_session(self, token_hash: str) -> None:
        await self._database.execute("DELETE FROM sessions WHERE token_hash = ?", (token_hash,))

    async def end_sessions(self, *, expired_at: float | None = None) -> int:
        """End every session, or only those that are over at `expired_at`. Returns how many."""
        return await self._database.execute(
            "DELETE FROM sessions WHERE ? IS NULL OR expires_at <= ?", (expired_at, expired_at)
        )
