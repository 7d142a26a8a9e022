"""The verb that shows the accounts."""

from functools import partial
from typing import Any

import pytest

from orchestrator.control.verbs import verbs_of
from orchestrator.db.pool import Database
from orchestrator.errors import ControlError
from orchestrator.health.status import House
from orchestrator.jobs.roster import roster
from orchestrator.testing.house import settings_for
from tests.control.test_insights import CALLER
from tests.fakes import a_stage
from tests.fakes import make_house as make_shown
from tests.jobs.house import make_house, new_fence


async def ask(house: House, **args: Any) -> Any:
    return await verbs_of(house, lambda _who: None)["accounts"].handler(CALLER, args)


async def test_the_accounts_are_told_one_all_or_the_first_ones(database: Database) -> None:
    tools = make_house(database, await new_fence(database), settings_for()).tools
    async with a_stage([]) as stage:
        house = make_shown(stage, database)
        house.accounts, house.roster, house.min_health = tuple(tools.accounts), partial(roster, tools), 40
        answer = await ask(house)
        assert [row["name"] for row in answer["accounts"]] == ["ada", "grace"]
        assert (answer["more"], answer["min_health"]) == (0, 40)
        assert [row["name"] for row in (await ask(house, account="grace"))["accounts"]] == ["grace"]
        first = await ask(house, limit=1)
        assert ([row["name"] for row in first["accounts"]], first["more"]) == (["ada"], 1)
        with pytest.raises(ControlError, match="there is no account max") as caught:
            await ask(house, account="max")
        assert caught.value.remedy == "Accounts: ada, grace"
        with pytest.raises(ControlError, match="limit must be from 1 to 20000, not 0"):
            await ask(house, limit=0)


async def test_while_the_daemon_starts_it_says_so() -> None:
    async with a_stage([]) as stage:
        with pytest.raises(ControlError, match="still starting"):
            await ask(make_shown(stage))
