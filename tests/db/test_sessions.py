"""Accounts' sign-in states in the database."""

from datetime import timedelta

from orchestrator.db import sessions
from orchestrator.db.pool import Database
from tests import rows
from tests.rows import NOON


async def test_an_account_without_a_state_has_none(database: Database) -> None:
    assert await database.run(sessions.load, "ada") is None


async def test_a_state_comes_back_byte_for_byte_and_only_to_its_account(database: Database) -> None:
    state = bytes(range(256)) * 1000
    await database.run(sessions.save, "ada", state, NOON)
    await database.run(sessions.save, "grace", b"hers", NOON)
    assert await database.run(sessions.load, "ada") == state
    assert await database.run(sessions.load, "grace") == b"hers"


async def test_a_newer_state_replaces_the_old_one(database: Database) -> None:
    later = NOON + timedelta(hours=1)
    await database.run(sessions.save, "ada", b"old", NOON)
    await database.run(sessions.save, "ada", b"new", later)
    [found] = await rows.fetch(database, "SELECT state, saved_at FROM sessions WHERE account = 'ada'")
    assert found == {"state": b"new", "saved_at": later}
