"""Accounts' sign-ins on a real browser and the bundled site: made, kept fresh, closed, and counted."""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio
from pydantic import SecretStr

from orchestrator.browser.pool import ContextPool, open_pool
from orchestrator.db import accounts as records
from orchestrator.db.pool import Database
from orchestrator.errors import AccountLimitError, SignInRefusedError
from orchestrator.jobs.accounts import Accounts
from orchestrator.jobs.follower_snapshot import snapshot
from orchestrator.jobs.onboarding import onboard
from orchestrator.jobs.session_keeper import keep
from orchestrator.jobs.standing import Standing
from orchestrator.model import Ending
from orchestrator.settings import BrowserSettings
from orchestrator.sites import Profile, SiteAccount
from orchestrator.sites.session import SignInWatch, open_site
from orchestrator.testing.house import settings_for
from tests.browser.harness import MemoryStore
from tests.jobs.house import House, make_house, new_fence
from tests.sites.conftest import BundledSite

pytestmark = pytest.mark.timeout(180)
NAMES = ("ada", "bert", "nobody")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def pool(tmp_path: Path, store: MemoryStore, database: Database) -> AsyncIterator[ContextPool]:
    """Contexts, on the bridge that the database has opened."""
    del database
    async with open_pool(BrowserSettings(), state_dir=tmp_path, store=store, capacity=3) as pool:
        yield pool


@pytest.fixture
async def house(database: Database, pool: ContextPool, profile: Profile) -> House:
    """Three accounts, of which the site knows two; sign-ins are watched as in the daemon."""
    account = {"site": "murmur", "password": "pass-of-nobody", "sign_ins_per_day": 2}
    listed = [account | {"name": name, "username": name} for name in NAMES]
    house = make_house(database, await new_fence(database), settings_for(accounts=listed))
    accounts = Accounts({
        name: replace(one, site=SiteAccount(name, name, SecretStr(f"pass-of-{name}"), profile))
        for name, one in house.tools.accounts.items()
    })  # fmt: skip
    tools = house.tools
    standing = Standing(tools.database, tools.clock, tools.fence, accounts, tools.health, 40)
    watch = SignInWatch(standing.before_sign_in, standing.after_sign_in)
    house.tools = replace(
        tools,
        accounts=accounts,
        open_site=partial(open_site, pool, watch=watch),
        sweep_contexts=partial(pool.sweep, 1800.0, 50),
    )
    return house


async def sign_ins(house: House) -> dict[str, int]:
    """How many sign-ins each account has made on the day."""
    found = await house.database.run(records.counts, [(name, house.today) for name in NAMES])
    return {name: counters["sign_ins"] for name, counters in found.items()}


async def test_new_accounts_are_signed_in_once_and_stay_signed_in(
    house: House, store: MemoryStore, bundled_site: BundledSite
) -> None:
    run = replace(house.run("onboarding", 6), contexts=3)
    with pytest.raises(SignInRefusedError, match="sign-in of nobody"):
        await onboard(run, house.tools)
    assert await sign_ins(house) == {"ada": 1, "bert": 1, "nobody": 1}
    states = await house.database.run(records.states, NAMES)
    assert states["ada"].signed_in_at == states["bert"].signed_in_at == house.moment.now
    assert states["nobody"].signed_in_at is None
    assert house.tools.health.score("nobody", house.moment.now) == 30

    # A day on they are looked at; one is not signed in any more, and is again.
    began = house.moment.now
    house.moment.go(hours=11)
    outcome = await keep(house.run("session_keeper", 3), house.tools)
    assert outcome.ending is Ending.NOTHING_TO_DO
    house.moment.go(hours=2)
    assert (await keep(house.run("session_keeper", 3), house.tools)).figures["checked"] == 2
    assert (await house.database.run(records.states, NAMES))["ada"].signed_in_at == began
    bundled_site.sign_everyone_out()
    house.moment.go(hours=12)
    await keep(house.run("session_keeper", 3), house.tools)
    assert (await house.database.run(records.states, NAMES))["ada"].signed_in_at == house.moment.now

    assert (await snapshot(house.run("follower_snapshot", 4), house.tools)).figures == {"read": 2}
    assert set(await house.database.run(records.figures, NAMES)) == {"ada", "bert"}


async def test_a_site_that_wants_sign_ins_without_end_gets_those_of_the_day(
    house: House, bundled_site: BundledSite
) -> None:
    async def look() -> None:
        async with house.tools.visit(house.run("posting"), house.tools.accounts["ada"]) as visit:
            await visit.site.read_account()

    for _ in range(2):
        await look()
        bundled_site.sign_everyone_out()
    with pytest.raises(AccountLimitError, match="ada has reached its 2 sign-ins for the day"):
        await look()
    assert await sign_ins(house) == {"ada": 2}
    house.moment.go(days=1)
    await look()


async def test_contexts_that_nobody_uses_are_closed_least_used_first_and_their_sign_ins_stay(
    house: House, pool: ContextPool, store: MemoryStore
) -> None:
    for slot, name in enumerate(("bert", "ada")):
        async with open_site(pool, slot, house.tools.accounts[name].site) as site:
            await site.stay_signed_in()
        await trio.sleep(0.01)
    assert await pool.sweep(3600.0, 2) == 0
    assert await pool.sweep(3600.0, 1) == 1
    assert [one.account for one in pool.statistics().slots if one.account] == [
        house.tools.accounts["ada"].site.identity
    ]
    async with open_site(pool, 2, house.tools.accounts["bert"].site) as site:
        await site.read_account()
        assert await pool.sweep(0.0, 1) == 1  # not the one in use
    assert store.saves == 2  # nobody had to sign in again
    assert await pool.sweep(0.0, 50) == 1
    assert not any(one.account for one in pool.statistics().slots)
