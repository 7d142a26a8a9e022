"""The jobs' tests get a house."""

import pytest

from orchestrator.db.pool import Database
from orchestrator.testing.house import settings_for
from tests.jobs.house import House, make_house, new_fence


@pytest.fixture
async def house(database: Database) -> House:
    """Two accounts, nothing queued."""
    return make_house(database, await new_fence(database), settings_for())
