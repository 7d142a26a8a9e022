"""The jobs that read other people's posts, in a real browser."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestrator.browser.pool import open_pool
from orchestrator.jobs.account_discovery import discover
from orchestrator.jobs.accounts import Accounts
from orchestrator.jobs.scrape_background import scrape as scrape_background
from orchestrator.jobs.scrape_priority import scrape as scrape_priority
from orchestrator.jobs.tools import Account, Tools
from orchestrator.model import Ending, Outcome
from orchestrator.sites import SiteAccount, load_profile, open_site
from orchestrator.testing.house import SITE
from tests import rows
from tests.browser.harness import MemoryStore, Reply, serve
from tests.jobs.house import House
from tests.sites.conftest import BundledSite, bundled_site, running_site  # noqa: F401 - fixtures
from tests.sites.test_lists import item, page
from tests.sites.test_microblog import write_by_hand

Work = Callable[..., Awaitable[Outcome]]


@asynccontextmanager
async def reading_as_ada(house: House, state_dir: Path, address: str) -> AsyncIterator[Tools]:
    """The house's tools with a real browser, and one account on the site at `address`."""
    site = SiteAccount("ada", "ada", SecretStr("pass-of-ada"), load_profile("microblog", address))
    account = Account(house.tools.accounts["ada"].settings, site)
    settings = house.tools.settings
    async with open_pool(
        settings.browser, state_dir=state_dir, store=MemoryStore(), capacity=settings.allocator.capacity
    ) as pool:
        yield replace(house.tools, open_site=partial(open_site, pool), accounts=Accounts({"ada": account}))


async def run(house: House, tools: Tools, work: Work) -> Outcome:
    return await work(house.run(work.__module__.rpartition(".")[2], 5), tools)


async def test_who_writes_on_our_topics_is_found_and_read_on_the_bundled_site(
    house: House,
    tmp_path: Path,
    bundled_site: BundledSite,  # noqa: F811 - a fixture
) -> None:
    stock = (await house.tools.writer.read()).inventory
    topic, form = stock.topics[0], stock.formats[0]
    texts = [f"All about {topic}, a {form}, part {number}" for number in range(3)]
    written = await write_by_hand(bundled_site, texts)
    async with reading_as_ada(house, tmp_path, bundled_site.url) as tools:
        outcome = await run(house, tools, discover)
        assert outcome.ending is Ending.DONE
        assert outcome.figures["failed"] == outcome.figures["forbidden"] == 0
        [bert] = await rows.fetch(house.database, "SELECT * FROM peers WHERE username = 'bert'")
        assert (bert["site"], bert["topic"], bert["last_read_at"]) == (SITE, topic, None)

        await rows.execute(house.database, "DELETE FROM peers WHERE username <> 'bert'")
        await run(house, tools, scrape_priority)
        posts = await rows.fetch(house.database, "SELECT * FROM peer_posts WHERE author = 'bert'")
        assert {(post["reference"], post["text"]) for post in posts} == set(zip(written, texts, strict=True))

        await rows.execute(house.database, "DELETE FROM peer_posts")
        outcome = await run(house, tools, scrape_background)
        assert outcome.figures["read"] == 6
        found = await rows.fetch(house.database, "SELECT reference FROM peer_posts WHERE author = 'bert'")
        assert {post["reference"] for post in found} == set(written), "the first search is for that topic"


@pytest.mark.parametrize(("work", "read", "forbidden"), [(discover, 1, 5), (scrape_background, 0, 6)])
async def test_a_list_that_robots_txt_forbids_is_not_opened_and_the_run_says_so(
    house: House, tmp_path: Path, work: Work, read: int, forbidden: int
) -> None:
    with serve() as site:
        site.pages |= {"/": page(item()), "/search": page(item())}
        site.pages["/robots.txt"] = Reply(
            "User-agent: *\nDisallow: /search\n", headers={"Content-Type": "text/plain"}
        )
        async with reading_as_ada(house, tmp_path, f"http://{site.host}") as tools:
            outcome = await run(house, tools, work)
            assert outcome.ending is Ending.DONE
            assert (outcome.figures["read"], outcome.figures["forbidden"]) == (read, forbidden)
            assert f"{forbidden} forbidden by robots.txt" in outcome.detail
            assert ("GET", "/search") not in site.seen
            assert ("GET", "/robots.txt") in site.seen
