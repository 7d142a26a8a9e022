"""The bundled site for tests: in this process, at noon of 2026-05-04, with two accounts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.demo.site import Site
from tests.demo.harness import Moment, Visitor, open_site, open_visitor


@pytest.fixture
def moment() -> Moment:
    return Moment()


@pytest.fixture
async def site(tmp_path: Path, moment: Moment) -> AsyncIterator[Site]:
    async with open_site(tmp_path, moment.clock()) as site:
        yield site


@pytest.fixture
async def visitor(site: Site) -> AsyncIterator[Visitor]:
    async with open_visitor(site.app) as visitor:
        yield visitor
