"""Orders of accounts over a real socket: who may give them, what they answer, and what the log holds."""

import io
import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import outcome
import pytest
import trio

from orchestrator import log
from orchestrator.control import client
from orchestrator.control.accounts import LEVELS, orders_of
from orchestrator.control.peers import Caller, Level
from orchestrator.control.server import serve_control
from orchestrator.control.verbs import verbs_of
from orchestrator.db.pool import Database
from orchestrator.errors import ControlError
from orchestrator.health.status import House
from orchestrator.jobs.registry import Registry
from orchestrator.jobs.roster import roster
from orchestrator.settings import ControlSettings, LogSettings
from orchestrator.testing.house import SITE, settings_for
from tests.fakes import a_stage
from tests.fakes import make_house as make_shown
from tests.jobs.house import make_house, new_fence
from tests.jobs.test_registry import BERT, CANARY, Orders

NEW = {"account" if name == "name" else name: value for name, value in BERT.items()}


@pytest.fixture
async def registry(database: Database) -> Registry:
    orders = Orders(make_house(database, await new_fence(database), settings_for()))
    await orders.registry.load()
    return orders.registry


@pytest.fixture
async def house(database: Database, registry: Registry) -> AsyncIterator[House]:
    async with a_stage([]) as stage:
        house = make_shown(stage, database)
        accounts = registry.tools.accounts

        def on_change() -> None:
            house.accounts = tuple(accounts.here)

        registry.on_change = on_change
        on_change()
        house.roster, house.account_orders = partial(roster, registry.tools), orders_of(registry)
        yield house


async def ask(house: House, verb: str, **args: Any) -> Any:
    """Over a socket, as `ctl` does."""
    verbs = verbs_of(house, lambda _who: None)
    with TemporaryDirectory() as directory:
        path = Path(directory) / "control.sock"
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve_control, path, verbs, ControlSettings()))
            answer = await outcome.acapture(
                trio.to_thread.run_sync, partial(client.request, path, verb, args)
            )
            nursery.cancel_scope.cancel()
    return answer.unwrap()


async def test_accounts_are_added_switched_off_and_on_and_removed(house: House) -> None:
    assert (await ask(house, "account_add", **NEW, posts_per_day=3))["message"].startswith(
        "Account bert is added"
    )
    answer = await ask(house, "accounts", account="bert")
    assert answer["accounts"][0]["today"]["posts"] == {"count": 0, "limit": 3}
    assert answer["sign_ins"] == {"signed_in": 0, "to_come": 3, "barred": 0}
    assert "is switched off" in (await ask(house, "account_disable", account="bert"))["message"]
    assert (await ask(house, "accounts"))["sign_ins"] == {"signed_in": 0, "to_come": 2, "barred": 1}
    assert "is switched on" in (await ask(house, "account_enable", account="bert"))["message"]
    assert (await ask(house, "account_remove", account="bert"))["message"] == "Account bert is removed."
    with pytest.raises(ControlError, match="there is no account bert"):
        await ask(house, "account_disable", account="bert")


async def test_the_password_comes_into_no_log_and_no_answer(registry: Registry, house: House) -> None:
    output = io.StringIO()
    redactor = log.configure(LogSettings(level="debug", format="json"), output, environ={})
    registry.hide = redactor.hide
    try:
        answers = [await ask(house, "account_add", **NEW)]
        for wrong in (NEW, NEW | {"site": CANARY}, NEW | {"account": f"x {CANARY}"}):
            with pytest.raises(ControlError) as caught:
                await ask(house, "account_add", **wrong)
            answers.append(caught.value.line())
        with pytest.raises(ControlError, match="takes no"):
            await ask(house, "account_add", **NEW, pasword=CANARY)
        await ask(house, "accounts")
    finally:
        log.unconfigure()
    said = output.getvalue()
    assert '"password": "(hidden)"' in said
    assert "account_added" in said
    assert CANARY not in said
    assert CANARY not in str(answers[:2])


async def test_adding_and_removing_is_for_administrators(house: House) -> None:
    verbs = verbs_of(house, lambda _who: None)
    levels = {name: verbs[name].level for name in LEVELS}
    assert levels == {
        "account_add": Level.ADMIN,
        "account_remove": Level.ADMIN,
        "account_disable": Level.OPERATE,
        "account_enable": Level.OPERATE,
    }


async def test_while_the_daemon_starts_it_says_so() -> None:
    async with a_stage([]) as stage:
        verbs = verbs_of(make_shown(stage), lambda _who: None)
        with pytest.raises(ControlError, match="still starting"):
            await verbs["account_disable"].handler(Caller(os.getuid(), 1, Level.ADMIN), {"account": SITE})
