"""Accounts that people add, remove and switch off: what holds at once, and what a new daemon finds."""

from collections.abc import Sequence
from typing import Any

import pytest
import trio
from cryptography.fernet import Fernet, MultiFernet
from pydantic import SecretStr

from orchestrator.db import accounts as records
from orchestrator.db import posts, registry, sessions
from orchestrator.db.pool import Connection, Database
from orchestrator.db.posts import Stamp
from orchestrator.errors import (
    AccountNotUsableError,
    AccountOrderError,
    DatabaseUnavailableError,
    SettingsError,
    SignInRefusedError,
)
from orchestrator.jobs import registry as module
from orchestrator.jobs.onboarding import onboard
from orchestrator.jobs.plan import plan
from orchestrator.jobs.posting import post_one
from orchestrator.jobs.reconciliation import reconcile
from orchestrator.jobs.registry import Registry
from orchestrator.jobs.roster import conditions, roster
from orchestrator.model import AccountCondition, PostState
from orchestrator.sites.profile import load_profile
from orchestrator.testing.house import ADDRESS, SITE, settings_for
from orchestrator.testing.site import Pause
from tests import rows
from tests.jobs.house import House, make_house, new_fence
from tests.jobs.test_accounts_jobs import run_of

KEY, OTHER = Fernet.generate_key(), Fernet.generate_key()
CANARY = "canary-of-bert"
BERT: dict[str, Any] = {"name": "bert", "site": SITE, "username": "bert", "password": CANARY}


class Orders:
    """A registry over the accounts of a house, and what it told others."""

    def __init__(self, house: House, key: bytes = KEY) -> None:
        self.hidden: list[str] = []
        self.closed: list[str] = []
        self.changes = 0
        self.is_gone = trio.Event()
        """Whether bert is."""
        self._accounts = house.tools.accounts
        profiles = {SITE: load_profile("microblog", ADDRESS)}
        keys = MultiFernet([Fernet(key)])
        self.registry = Registry(house.tools, profiles, keys, self._hide, self._changed, self._close)

    def _hide(self, secret: SecretStr) -> None:
        self.hidden.append(secret.get_secret_value())

    def _changed(self) -> None:
        self.changes += 1
        if self.changes > 1 and "bert" not in self._accounts.here:
            self.is_gone.set()

    async def _close(self, identity: str) -> None:
        await trio.lowlevel.checkpoint()
        self.closed.append(identity)


async def restarted(database: Database, key: bytes = KEY, **changes: Any) -> tuple[House, Orders]:
    """What a new daemon makes of the database."""
    house = make_house(database, await new_fence(database), settings_for(**changes))
    orders = Orders(house, key)
    await orders.registry.load()
    return house, orders


@pytest.fixture
async def orders(house: House) -> Orders:
    orders = Orders(house)
    await orders.registry.load()
    return orders


# ── add ─────────────────────────────────────────────────────────────────────────────────────────


async def test_an_added_account_is_there_at_once_and_after_a_restart(
    house: House, orders: Orders, database: Database
) -> None:
    said = await orders.registry.add(BERT | {"time_zone": "Europe/Berlin", "posts_per_day": 3}, "root")
    assert said.startswith("Account bert is added, and is signed in next; ")
    assert list(house.tools.accounts) == ["ada", "grace", "bert"]
    assert house.woken == ["onboarding"]
    for found, told in ((house, orders), await restarted(database)):
        bert = found.tools.accounts["bert"]
        assert bert.site.password.get_secret_value() == CANARY
        assert (bert.settings.time_zone, bert.settings.posts_per_day) == ("Europe/Berlin", 3)
        assert bert.settings.replies_per_day == 10
        assert CANARY in told.hidden
        assert told.changes


async def test_its_password_stands_in_no_row_in_clear(orders: Orders, database: Database) -> None:
    await orders.registry.add(BERT, "root")
    [row] = await rows.fetch(database, "SELECT * FROM added_accounts")
    assert CANARY not in repr(dict(row))
    assert CANARY.encode() not in bytes(row["password"])
    assert row["added_by"] == "root"


async def test_the_jobs_take_it_up_at_their_next_run(house: House, orders: Orders) -> None:
    await onboard(run_of(house, "onboarding", 6), house.tools)
    house.site.visits.clear()
    await orders.registry.add(BERT, "root")
    outcome = await onboard(run_of(house, "onboarding", 6), house.tools)
    assert outcome.figures == {"signed_in": 1}
    assert [name for name, _ in house.site.visits] == ["bert"]
    await plan(house.run("plan"), house.tools)
    planned = await rows.fetch(house.tools.database, "SELECT DISTINCT account FROM posts")
    assert {row["account"] for row in planned} == {"ada", "grace", "bert"}


async def test_one_that_comes_and_one_that_goes_while_plan_runs_disturb_no_run(
    house: House, orders: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    depths = posts.depths

    async def with_orders(connection: Connection, accounts: Sequence[str]) -> dict[str, posts.QueueDepth]:
        house.tools.accounts.disable("grace", "root")
        house.tools.accounts.add(house.tools.accounts["ada"])
        return await depths(connection, accounts)

    monkeypatch.setattr(posts, "depths", with_orders)
    await plan(house.run("plan"), house.tools)
    planned = await rows.fetch(house.tools.database, "SELECT DISTINCT account FROM posts")
    assert {row["account"] for row in planned} == {"ada"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "ada"}, "there is an account ada already, of the settings"),
        ({"name": "no spaces"}, "name = 'no spaces' (as given): must be text that matches"),
        ({"site": "elsewhere"}, "site = 'elsewhere' (as given): must be one of the sites: murmur"),
        ({"time_zone": "Mars"}, "time_zone = 'Mars' (as given): must be the IANA name of a time zone"),
        ({"posts_per_day": -1}, "posts_per_day = -1 (as given): must be an integer from 0 to 10000"),
    ],
)
async def test_what_can_not_be_is_refused_and_says_nothing_of_the_password(
    orders: Orders, house: House, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises((AccountOrderError, SettingsError)) as caught:
        await orders.registry.add(BERT | changes, "root")
    assert words in str(caught.value)
    assert CANARY not in caught.value.line()
    assert orders.hidden == [CANARY]
    assert list(house.tools.accounts) == ["ada", "grace"]
    assert await house.tools.database.run(registry.added) == []


async def test_the_same_name_is_refused_a_second_time(orders: Orders) -> None:
    await orders.registry.add(BERT, "root")
    with pytest.raises(AccountOrderError, match="there is an account bert already, added by root") as caught:
        await orders.registry.add(BERT, "somebody")
    assert caught.value.remedy.endswith("orchestrator ctl accounts remove bert")


async def test_of_two_who_add_one_name_at_once_one_is_refused(house: House, orders: Orders) -> None:
    answers: list[str] = []

    async def add() -> None:
        try:
            answers.append(await orders.registry.add(BERT, "root"))
        except AccountOrderError as error:
            answers.append(str(error))

    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(add)
    assert sorted(answer.split(" ")[0] for answer in answers) == ["Account", "there"]
    assert list(house.tools.accounts) == ["ada", "grace", "bert"]


async def test_a_name_that_the_settings_come_to_have_too_ends_the_start(
    orders: Orders, database: Database
) -> None:
    await orders.registry.add(BERT, "root")
    account = {"name": "bert", "site": SITE, "username": "bert", "password": "another-one"}
    with pytest.raises(SettingsError, match="account bert is in the settings, and root has added one too"):
        await restarted(database, accounts=[account])


async def test_while_the_database_is_away_nothing_holds(
    house: House, orders: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_args: object) -> bool:
        raise DatabaseUnavailableError("the database can't be reached")

    for name in ("add", "disable"):
        monkeypatch.setattr(registry, name, away)
    with pytest.raises(DatabaseUnavailableError):
        await orders.registry.add(BERT, "root")
    with pytest.raises(DatabaseUnavailableError):
        await orders.registry.disable("ada", "root")
    assert list(house.tools.accounts) == ["ada", "grace"]


async def test_one_whose_password_no_key_opens_does_not_hold_up_the_others(
    orders: Orders, database: Database
) -> None:
    await orders.registry.add(BERT, "root")
    house, found = await restarted(database, OTHER)
    assert list(house.tools.accounts) == ["ada", "grace"]
    [row] = [row for row in await roster(house.tools) if row["name"] == "bert"]
    way = "Remove it, then add it again: orchestrator ctl accounts remove bert"
    assert row["why"] == [f"its password can't be read with the keys at hand. {way}"]
    assert conditions(house.tools)[AccountCondition.OFF] == 1
    assert (await found.registry.remove("bert", "root")) == "Account bert is removed."
    await found.registry.add(BERT, "root")
    assert "bert" in house.tools.accounts


async def test_one_whose_site_is_gone_is_there_and_can_not_be_used(
    orders: Orders, database: Database
) -> None:
    await orders.registry.add(BERT, "root")
    sites = {"other": {"profile": "microblog", "base_url": ADDRESS}}
    house, _ = await restarted(database, accounts=[], sites=sites)
    assert (
        house.tools.accounts.unusable["bert"].why
        == "site = 'murmur' (as given): must be one of the sites: other"
    )


# ── switched off and on ─────────────────────────────────────────────────────────────────────────


async def test_one_that_is_switched_off_is_passed_over_also_after_a_restart(
    house: House, orders: Orders, database: Database
) -> None:
    await house.queued("a text")  # of ada
    said = await orders.registry.disable("ada", "root")
    assert said == (
        "Account ada is switched off: it is not visited. A visit under way ends by itself. Waiting: 1 post. "
        "Back: orchestrator ctl accounts enable ada"
    )
    assert await orders.registry.disable("ada", "max") == "Account ada is switched off already, by root."
    await post_one(house.run("posting"), house.tools)
    assert house.site.visits == []
    with pytest.raises(AccountNotUsableError, match="account ada is switched off by root"):
        async with house.tools.visit(house.run("posting"), house.tools.accounts["ada"]):
            pass
    again, found = await restarted(database)
    assert list(again.tools.accounts) == ["grace"]
    [row] = [row for row in await roster(again.tools) if row["name"] == "ada"]
    assert row["why"] == ["it is switched off by root. Back: orchestrator ctl accounts enable ada"]
    assert conditions(again.tools) == {AccountCondition.WELL: 1, AccountCondition.OFF: 1}
    await found.registry.enable("ada", "root")
    assert await found.registry.enable("ada", "root") == "Account ada was not switched off."
    assert list((await restarted(database))[0].tools.accounts) == ["ada", "grace"]


async def test_a_visit_that_has_begun_ends_though_its_account_is_switched_off(
    house: House, orders: Orders
) -> None:
    pause = Pause()
    house.site.trouble["open_site"].append(pause)
    post_id = await house.queued("a text")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(post_one, house.run("posting"), house.tools)
        await pause.is_reached.wait()
        await orders.registry.disable("ada", "root")
        pause.go_on.set()
    assert await house.state(post_id) == ("published", 1)  # its visit had begun


# ── removed ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_removed_account_is_gone_with_its_password_and_sign_in(
    house: House, orders: Orders, database: Database
) -> None:
    await orders.registry.add(BERT, "root")
    await house.tools.standing.is_signed_in("bert")
    identity = house.tools.accounts["bert"].site.identity
    for account in (identity, "berta/x@y"):
        await database.run(sessions.save, account, b"sealed", house.moment.now)
    assert await orders.registry.remove("bert", "root") == "Account bert is removed."
    assert orders.closed == [identity]
    assert list(house.tools.accounts.here) == ["ada", "grace"]
    assert await database.run(registry.added) == []
    assert [row["account"] for row in await rows.fetch(database, "SELECT account FROM sessions")] == [
        "berta/x@y"
    ]
    assert await database.run(records.states, ["bert"]) == {}
    with pytest.raises(AccountOrderError, match="there is no account bert"):
        await orders.registry.remove("bert", "root")


async def test_queued_posts_stay_and_go_out_only_if_the_name_is_added_again(
    house: House, orders: Orders
) -> None:
    await orders.registry.add(BERT, "root")
    post_id = await house.queued("a text", "bert")
    said = await orders.registry.remove("bert", "root")
    assert said == (
        "Account bert is removed. Not sent and kept: 1 post, for when an account bert is added again."
    )
    await post_one(house.run("posting"), house.tools)
    assert await house.state(post_id) == ("queued", 0)
    await orders.registry.add(BERT, "root")
    await post_one(house.run("posting"), house.tools)
    assert await house.state(post_id) == ("published", 1)


async def test_a_post_under_way_ends_before_its_account_goes(
    house: House, orders: Orders, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.0)
    await orders.registry.add(BERT, "root")
    post_id = await house.queued("a text", "bert")
    pause = Pause()
    house.site.trouble["submit_post"].append(pause)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(orders.registry.see_off)
        nursery.start_soon(post_one, house.run("posting"), house.tools)
        await pause.is_reached.wait()
        said = await orders.registry.remove("bert", "root")
        assert said.startswith(
            "Nothing new is begun for account bert; it is removed when 1 post under way of it"
        )
        assert "bert" not in house.tools.accounts
        assert await database.run(registry.added) != []
        pause.go_on.set()
        await orders.is_gone.wait()
        nursery.cancel_scope.cancel()
    assert await house.state(post_id) == ("published", 1)
    assert await database.run(registry.added) == []


async def test_a_post_in_doubt_is_settled_first_also_by_the_next_daemon(
    house: House, orders: Orders, database: Database
) -> None:
    await orders.registry.add(BERT, "root")
    stamp = Stamp(house.tools.fence.number, house.moment.now)
    await rows.in_state(database, PostState.AMBIGUOUS, stamp, "a text in doubt", account="bert")
    assert "1 post under way" in await orders.registry.remove("bert", "root")
    again, found = await restarted(database)
    assert ("bert" in again.tools.accounts, again.tools.accounts.leaving) == (False, {"bert": "root"})
    again.moment.now = house.moment.now
    assert not await found.registry._see_off("bert")
    again.site.visits.clear()
    await reconcile(again.run("reconciliation"), again.tools)
    assert [name for name, _ in again.site.visits] == ["bert"]


async def test_an_account_of_the_settings_is_not_removed_here(orders: Orders, house: House) -> None:
    with pytest.raises(AccountOrderError, match="account ada is of the settings") as caught:
        await orders.registry.remove("ada", "root")
    assert caught.value.remedy.endswith("orchestrator ctl accounts disable ada")
    assert "ada" in house.tools.accounts


async def test_one_that_was_refused_is_tried_again_when_it_is_added_anew(
    house: House, orders: Orders
) -> None:
    await orders.registry.add(BERT, "root")
    house.tools.refusals.note("bert", SignInRefusedError("wrong password"))
    await orders.registry.remove("bert", "root")
    await orders.registry.add(BERT, "root")
    assert not house.tools.refusals.is_refused("bert")
    assert house.tools.health.score("bert", house.moment.now) == 100
