"""Runs of the job posting, and how tests expect them to end."""

import pytest
import trio
import trio.testing

from orchestrator.errors import (
    ContextBrokenError,
    DatabaseUnavailableError,
)
from orchestrator.jobs import posting
from orchestrator.jobs.posting import post_one
from orchestrator.model import Outcome
from tests.jobs.house import House

EARLY = ["open_site", "write_post"]
"""What comes before the intent."""
AWAY = DatabaseUnavailableError("the database is away")
BROKEN = ContextBrokenError("the browser died")


async def post(house: House) -> Outcome:
    return await post_one(house.run(posting.NAME), house.tools)


async def post_in_vain(house: House, error: type[Exception]) -> None:
    with pytest.raises(error):
        await post(house)


async def post_until_cancelled(house: House, scope: trio.CancelScope) -> None:
    with scope:
        await post(house)
    assert scope.cancelled_caught
