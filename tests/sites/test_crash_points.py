"""Every point at which the daemon can be made to die is on the way of a post."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from orchestrator import crash
from orchestrator.browser.pool import open_pool
from orchestrator.crash import OF_POSTS
from orchestrator.db.fence import open_fence
from orchestrator.db.migrate import migrate
from orchestrator.db.pool import Database
from orchestrator.errors import OrchestratorError
from orchestrator.jobs.accounts import Accounts
from orchestrator.jobs.posting import post_one
from orchestrator.jobs.reconciliation import reconcile
from orchestrator.settings import BrowserSettings
from orchestrator.sites import SiteAccount
from orchestrator.sites.session import open_site
from orchestrator.testing.house import settings_for
from orchestrator.wiring import settle_the_past
from tests.browser.harness import MemoryStore
from tests.jobs.house import House, make_house, new_fence
from tests.rows import TTL_S
from tests.sites.conftest import BundledSite

PRESS = {"path": "/compose", "method": "POST", "times": 1}


async def test_every_point_is_reached_by_the_posts_of_a_daemon(
    database: Database,
    ada: SiteAccount,
    bundled_site: BundledSite,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(crash, "_on_reach", seen.append)
    async with open_pool(BrowserSettings(), state_dir=tmp_path, store=MemoryStore(), capacity=3) as pool:
        house = make_house(database, await new_fence(database), settings_for())
        account = replace(house.tools.accounts["ada"], site=ada)
        house.tools = replace(
            house.tools, accounts=Accounts({"ada": account}), open_site=partial(open_site, pool)
        )
        await house.queued("a text that is taken")
        await post_one(house.run("posting"), house.tools)
        await post_with(house, bundled_site, drop_answer={**PRESS, "processed": True})
        await reconcile(house.run("reconciliation"), house.tools)
        await post_with(house, bundled_site, drop_answer={**PRESS, "processed": False})
        for _ in range(2):
            house.moment.go(seconds=house.tools.settings.posting.settle_s + 1)
            await reconcile(house.run("reconciliation"), house.tools)
        await post_one(house.run("posting"), house.tools)
        await post_with(house, bundled_site, error_500={"path": "/compose", "method": "GET", "times": 1})
    async with open_fence(database, "this daemon", TTL_S) as fence:
        await migrate(database)
        await settle_the_past(database, fence, house.moment.now)
    assert set(seen) == set(OF_POSTS)


async def post_with(house: House, site: BundledSite, **faults: object) -> None:
    """A post on a site with these faults, in vain."""
    await house.queued(f"a text for {faults}")
    site.break_with(**faults)
    with pytest.raises(OrchestratorError):
        await post_one(house.run("posting"), house.tools)
    site.break_with()
