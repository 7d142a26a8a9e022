"""The site's SQLite file, and the two ways to it: reads at once, writes one at a time on the disk.

Reads are short and run where they are called, on a connection of their own. Writes run one at a time in
a worker thread on a second connection, each in one transaction that is on the disk (synchronous=FULL)
before the call returns. With WAL neither side waits for the other.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import trio

T = TypeVar("T")

SCHEMA_VERSION = 2
_UPGRADES = {
    1: """
    ALTER TABLE posts ADD COLUMN in_reply_to TEXT;
    ALTER TABLE ledger ADD COLUMN in_reply_to TEXT;
    CREATE INDEX replies_to ON posts (in_reply_to, id) WHERE in_reply_to IS NOT NULL;
    """
}
"""By version, what makes the next one of it."""
_BUSY_PATIENCE_S = 5.0


class DatabaseVersionError(Exception):
    """The database was made by another version of this program."""


@contextmanager
def open_database(path: Path) -> Iterator["Database"]:
    """Open the database at `path`, made when it is not there. Raises sqlite3.Error, DatabaseVersionError."""
    with closing(_connect(path)) as writer:
        _prepare(writer, path)
        with closing(_connect(path)) as reader:
            reader.execute("PRAGMA query_only = ON")
            yield Database(reader, writer)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_BUSY_PATIENCE_S, isolation_level=None, check_same_thread=False
    )
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "cache_size = -2000"):
        connection.execute(f"PRAGMA {pragma}").close()
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == SCHEMA_VERSION:
        return
    if version == 0:
        steps = (Path(__file__).parent / "schema.sql").read_text()
    elif version in _UPGRADES:
        steps = "".join(_UPGRADES[number] for number in range(version, SCHEMA_VERSION))
    else:
        raise DatabaseVersionError(f"{path} has version {version}, this program needs {SCHEMA_VERSION}")
    connection.executescript(f"BEGIN; {steps} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")


class Database:
    """The open database; `open_database` makes it."""

    def __init__(self, reader: sqlite3.Connection, writer: sqlite3.Connection) -> None:
        self._reader = reader
        self._writer = writer
        self._one_at_a_time = trio.CapacityLimiter(1)

    def all(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._reader.execute(query, values).fetchall()

    def one(self, query: str, values: Sequence[object] = ()) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._reader.execute(query, values).fetchone()
        return row

    async def execute(self, statement: str, values: Sequence[object] = ()) -> int:
        """Run one writing statement; returns the number of rows it changed."""
        return await self.write(lambda connection: connection.execute(statement, values).rowcount)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one transaction. A cancelled call still waits for its end: all or nothing."""
        return await trio.to_thread.run_sync(self._in_transaction, work, limiter=self._one_at_a_time)

    def _in_transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            result = work(self._writer)
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise
        return result

    def fact(self, name: str) -> str | None:
        row = self.one("SELECT value FROM facts WHERE name = ?", (name,))
        return row[0] if row else None

    async def fact_or(self, name: str, make: Callable[[], str]) -> str:
        """The stored value of this name; made and stored when there is none yet."""
        known = self.fact(name)
        if known is None:
            made = known = make()
            await self.write(lambda connection: set_fact(connection, name, made))
        return known


def set_fact(connection: sqlite3.Connection, name: str, value: str) -> None:
    connection.execute(
        "INSERT INTO facts (name, value) VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )
