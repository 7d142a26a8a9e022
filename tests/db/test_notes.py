"""What users' own jobs keep: JSON values by job and key."""

from datetime import timedelta
from typing import Any

import pytest

from orchestrator.db import notes
from orchestrator.db.pool import Database
from orchestrator.db.posts import Stamp
from orchestrator.errors import DatabaseError, FenceLostError
from tests import rows
from tests.rows import NOON

VALUES: list[Any] = [12, 1.5, "a text", True, [1, [2]], {"ada": {"followers": 12}}, 0, "", [], {}]


async def remember(database: Database, stamp: Stamp, value: Any, job: str = "mine", key: str = "k") -> None:
    await database.run(notes.remember, job, key, value, stamp.fence, stamp.now)


@pytest.mark.parametrize("value", VALUES, ids=repr)
async def test_what_is_kept_comes_back_as_it_was(database: Database, stamp: Stamp, value: Any) -> None:
    await remember(database, stamp, value)
    assert await database.run(notes.recall, "mine", "k") == value


async def test_the_latest_value_counts_with_its_moment(database: Database, stamp: Stamp) -> None:
    await remember(database, stamp, 1)
    await remember(database, Stamp(stamp.fence, NOON + timedelta(hours=1)), 2)
    [row] = await rows.fetch(database, "SELECT * FROM notes")
    assert (row["value"], row["saved_at"]) == (2, NOON + timedelta(hours=1))


async def test_each_job_has_keys_of_its_own(database: Database, stamp: Stamp) -> None:
    await remember(database, stamp, 1, "mine", "a")
    await remember(database, stamp, 2, "mine", "b")
    await remember(database, stamp, 3, "yours", "a")
    assert await database.run(notes.recall, "mine", "a") == 1
    assert await database.run(notes.recall, "yours", "b") is None


async def test_none_forgets(database: Database, stamp: Stamp) -> None:
    await remember(database, stamp, 1)
    await remember(database, stamp, None)
    assert await rows.fetch(database, "SELECT * FROM notes") == []


async def test_what_json_can_not_say_is_refused(database: Database, stamp: Stamp) -> None:
    with pytest.raises(DatabaseError):
        await remember(database, stamp, {1, 2})


async def test_a_daemon_that_was_replaced_keeps_nothing(database: Database, stamp: Stamp) -> None:
    await rows.take_fence(database)
    with pytest.raises(FenceLostError):
        await remember(database, stamp, 1)
    assert await database.run(notes.recall, "mine", "k") is None
