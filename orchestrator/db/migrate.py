"""Brings the tables up to date: numbered SQL files, each applied once, in order, in a transaction of its own.

Invariants of `schema_migrations`:

1. Version N is there implies that 1 … N-1 are there.
2. A row is there if and only if its migration has been applied: both are one transaction.
3. Rows are added only by the holder of the advisory lock.
"""

import hashlib
import importlib.resources
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable

import asyncpg
import structlog

from orchestrator import crash
from orchestrator.crash import Step
from orchestrator.db import failures
from orchestrator.db.pool import Connection, Database
from orchestrator.errors import (
    DatabaseError,
    DatabaseTooNewError,
    DatabaseUnavailableError,
    DatabaseUnfitError,
    MigrationChangedError,
)

log = structlog.get_logger("db")

LOCK = 0x6F72636865737472
"""The advisory lock of migrations, "orchestr" in ASCII; it counts within one database."""
MIGRATION_TIMEOUT_S = 86_400.0
"""For one migration, or for the wait until another runner has done its own."""

OLDEST_SERVER = 15
"""The oldest PostgreSQL that the tests run on."""
TABLES_NAMED = 3

_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_TABLE = """
CREATE TABLE schema_migrations (
    version    integer     PRIMARY KEY,
    name       text        NOT NULL,
    checksum   text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
_COLUMNS = """
SELECT array_agg(attname::text) FROM pg_attribute
WHERE attrelid = to_regclass('schema_migrations') AND attnum > 0 AND NOT attisdropped
"""
_FOREIGN_TABLES = """
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema()))
    AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    AND c.relname <> 'daemon_lease'  -- ours, and there before the first migration
    AND NOT EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'  -- an extension's
    )
ORDER BY c.relname
"""
_ALONE = "Create an empty database for the daemon alone, and name that in database.dsn"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of SQL, `NNNN_name.sql`."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def file_name(self) -> str:
        return f"{self.version:04}_{self.name}.sql"


async def check_fit(database: Database, migrations: Traversable | None = None) -> None:
    """Whether this program can work on the database, before anything is changed there.

    Raises DatabaseUnfitError when the server is too old, or the database another program's; besides what
    `migrate` raises for one that has other migrations.
    """
    known = load_migrations(migrations or importlib.resources.files("orchestrator.db") / "migrations")
    await database.run(_check_fit, known, read_only=True)


async def migrate(database: Database, migrations: Traversable | None = None) -> int:
    """Apply what is missing and return how many migrations that were.

    `migrations` is a folder of SQL files; default: the program's own. Safe to run from several processes
    at once. Raises DatabaseTooNewError or MigrationChangedError before anything is changed, DatabaseError
    for a migration that fails (those before it stay applied).
    """
    known = load_migrations(migrations or importlib.resources.files("orchestrator.db") / "migrations")
    applied = 0
    while await _migrate_once(database, known):
        applied += 1
    return applied


async def count_missing(database: Database) -> int:
    """How many of our own migrations `migrate` would apply to a database that `check_fit` takes."""
    known = load_migrations(importlib.resources.files("orchestrator.db") / "migrations")
    return len(known) - await database.run(_count_applied, read_only=True)


async def _count_applied(connection: Connection) -> int:
    if await connection.fetchval(_COLUMNS) is None:
        return 0
    return int(await connection.fetchval("SELECT count(*) FROM schema_migrations"))


async def _migrate_once(database: Database, known: Sequence[Migration]) -> bool:
    with crash.around(Step.MIGRATE):
        return await database.run(_apply_next, known)


def load_migrations(folder: Traversable) -> tuple[Migration, ...]:
    """The migrations of a folder in order. Raises DatabaseError for bad names, gaps and doubled numbers."""
    found = sorted(
        (_read(file) for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda one: one.version
    )
    for expected, migration in enumerate(found, start=1):
        if migration.version != expected:
            problem = "is missing" if migration.version > expected else "is there twice"
            number = expected if migration.version > expected else migration.version
            raise DatabaseError(f"migration {number:04} {problem}: see {migration.file_name} in {folder}")
    return tuple(found)


def _read(file: Traversable) -> Migration:
    match = _FILE_NAME.fullmatch(file.name)
    if match is None:
        raise DatabaseError(
            f"{file.name} is no name for a migration", remedy="Name it like 0007_add_topics.sql"
        )
    return Migration(int(match[1]), match[2], file.read_text(encoding="utf-8"))


async def _check_fit(connection: Connection, known: Sequence[Migration]) -> None:
    version = connection.get_server_version()
    if version.major < OLDEST_SERVER:
        raise DatabaseUnfitError(
            f"the server is PostgreSQL {version.major}.{version.minor}, too old for this program",
            remedy=f"Upgrade it to {OLDEST_SERVER} or newer, or leave database.dsn out: we bring a server",
        )
    columns = await connection.fetchval(_COLUMNS)
    if columns is None:
        names = [row["relname"] for row in await connection.fetch(_FOREIGN_TABLES)]
        if names:
            named = ", ".join(names[:TABLES_NAMED]) + (", …" if len(names) > TABLES_NAMED else "")
            raise DatabaseUnfitError(
                f"the database is another program's: it has tables ({named})", remedy=_ALONE
            )
    elif not {"version", "name", "checksum", "applied_at"}.issubset(columns):
        what = "the database is another program's: its schema_migrations is not ours"
        raise DatabaseUnfitError(what, remedy=_ALONE)
    else:
        _check(await _applied(connection), known)


async def _apply_next(connection: Connection, known: Sequence[Migration]) -> bool:
    """asyncio: apply the first migration that is missing; False when there is none."""
    await connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
    await _wait_for_turn(connection)
    checksums = await _applied(connection)
    _check(checksums, known)
    if len(checksums) == len(known):
        return False
    await _apply(connection, known[len(checksums)])
    return True


async def _wait_for_turn(connection: Connection) -> None:
    if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK):
        log.info("migration_waits", reason="another process migrates this database")
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK, timeout=MIGRATION_TIMEOUT_S)


async def _applied(connection: Connection) -> dict[int, str]:
    """Checksums of the applied migrations by version, in order."""
    if await connection.fetchval("SELECT to_regclass('schema_migrations') IS NULL"):
        await connection.execute(_TABLE)
    rows = await connection.fetch("SELECT version, checksum FROM schema_migrations ORDER BY version")
    return {row["version"]: row["checksum"] for row in rows}


def _check(checksums: dict[int, str], known: Sequence[Migration]) -> None:
    if checksums and (newest := max(checksums)) > len(known):
        raise DatabaseTooNewError(
            f"the database is at version {newest}, this program knows only {len(known)}",
            remedy="Run the newer program, or restore a backup from before its first start",
        )
    if list(checksums) != list(range(1, len(checksums) + 1)):
        raise DatabaseError(f"schema_migrations has gaps: {', '.join(map(str, checksums))}")
    for migration, checksum in zip(known, checksums.values(), strict=False):
        if migration.checksum != checksum:
            raise MigrationChangedError(
                f"migration {migration.file_name} was changed after it had been applied",
                remedy="Put its old text back, and make the change in a new migration",
            )


async def _apply(connection: Connection, migration: Migration) -> None:
    started_at = time.monotonic()
    try:
        await connection.execute(migration.sql, timeout=MIGRATION_TIMEOUT_S)
    except asyncpg.PostgresError as error:
        if isinstance(failures.judge(error).error, DatabaseUnavailableError):
            raise
        raise DatabaseError(f"migration {_where(migration, error)} failed: {error}") from error
    await connection.execute(
        "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
        migration.version,
        migration.name,
        migration.checksum,
    )
    duration_s = round(time.monotonic() - started_at, 3)
    log.info("migration_applied", version=migration.version, name=migration.name, duration_s=duration_s)


def _where(migration: Migration, error: asyncpg.PostgresError) -> str:
    if error.position is None:
        return migration.file_name
    line = migration.sql.count("\n", 0, int(error.position) - 1) + 1
    return f"{migration.file_name}, line {line},"
