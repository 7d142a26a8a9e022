"""What users' own jobs keep; see also tests/jobs/test_notes.py."""

from datetime import timedelta

import pytest

from orchestrator.db import notes
from orchestrator.db.pool import Database
from orchestrator.db.posts import Stamp
from orchestrator.errors import FenceLostError
from tests import rows
from tests.rows import NOON


async def remember(database: Database, stamp: Stamp, value: object) -> None:
    await database.run(notes.remember, "mine", "key", value, stamp.fence, stamp.now)


async def test_the_latest_value_counts_with_its_moment(database: Database, stamp: Stamp) -> None:
    await remember(database, stamp, 1)
    await remember(database, Stamp(stamp.fence, NOON + timedelta(hours=1)), 2)
    [row] = await rows.fetch(database, "SELECT * FROM notes")
    assert (row["value"], row["saved_at"]) == (2, NOON + timedelta(hours=1))


async def test_what_is_forgotten_leaves_no_row(database: Database, stamp: Stamp) -> None:
    await remember(database, stamp, 1)
    await remember(database, stamp, None)
    assert await rows.fetch(database, "SELECT * FROM notes") == []


@pytest.mark.parametrize("value", [1, None])
async def test_a_daemon_that_was_replaced_keeps_and_forgets_nothing(
    database: Database, stamp: Stamp, value: object
) -> None:
    await remember(database, stamp, 0)
    await rows.take_fence(database)
    with pytest.raises(FenceLostError):
        await remember(database, stamp, value)
    assert await database.run(notes.recall, "mine", "key") == 0
