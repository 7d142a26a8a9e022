"""Weighing a real tree of processes."""

from pathlib import Path

import psutil
import pytest
import trio

from orchestrator.browser.pool import ContextPool
from orchestrator.db.embedded import open_embedded
from orchestrator.health.weights import weigh
from tests.browser.harness import Site, family_of, of_kind, pool_in, serve

MB = 1_000_000
pytestmark = pytest.mark.timeout(180)


async def test_every_part_of_the_house_is_weighed_once(tmp_path: Path, state_dir: Path) -> None:
    others = {process.pid for process in psutil.Process().children()}  # what other tests still have running
    async with pool_in(tmp_path) as pool, open_embedded(state_dir / "postgres"):
        with serve() as site:
            await open_pages(pool, site)
            driver, browser = pool.process_ids()
            weights = await trio.to_thread.run_sync(weigh, driver, browser, state_dir / "postgres" / "data")
            renderers = of_kind(family_of(browser), "renderer")
            roots = [child for child in psutil.Process().children() if child.pid not in others]
            whole = sum(
                process.memory_full_info().pss
                for root in roots
                for process in (root, *root.children(recursive=True))
            )
    assert set(weights.renderers) == {process.pid for process in renderers}
    assert len(renderers) >= 2
    assert sum(weights.renderers.values()) == weights.parts["renderers"]
    assert all(size > 5 * MB for size in (*weights.parts.values(), *weights.renderers.values()))
    assert weights.total - weights.parts["daemon"] == pytest.approx(whole, rel=0.2)


async def open_pages(pool: ContextPool, site: Site) -> None:
    for slot, account in enumerate(("ada", "grace")):
        async with pool.use(slot, account, site.hosts) as session:
            await session.visit(site.open)


def test_without_a_browser_and_a_server_of_ours_there_is_the_daemon_alone(tmp_path: Path) -> None:
    weights = weigh(0, 0, tmp_path / "postgres" / "data")
    assert weights.parts["daemon"] > 10 * MB
    assert weights.total == weights.parts["daemon"]
    assert not weights.renderers
