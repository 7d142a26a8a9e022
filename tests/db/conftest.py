"""The tests of the tables get a stamp."""

import pytest

from orchestrator.db.pool import Database
from orchestrator.db.posts import Stamp
from tests import rows


@pytest.fixture
async def stamp(database: Database) -> Stamp:
    """The valid fence, at noon."""
    return Stamp(await rows.take_fence(database), rows.NOON)
