"""A scripted site and a pool for the tests of the browser."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from orchestrator.browser.pool import ContextPool
from tests.browser.harness import MemoryStore, Site, pool_in, serve


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as site:
        yield site


@pytest.fixture
def other_site() -> Iterator[Site]:
    with serve() as site:
        yield site


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def pool(tmp_path: Path, store: MemoryStore) -> AsyncIterator[ContextPool]:
    async with pool_in(tmp_path, store) as pool:
        yield pool
