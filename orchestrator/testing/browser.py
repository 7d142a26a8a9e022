"""Contexts in memory: slots under the real allocator, each in one use at a time."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from orchestrator.allocator import Allocator
from orchestrator.jobs.tools import Site
from orchestrator.sites.session import SiteAccount
from orchestrator.testing.site import FakeSite


class FakeBrowser:
    """Opens `site` in slots. A slot that broke is whole again after `rebuild_s`."""

    def __init__(self, site: FakeSite) -> None:
        self.rebuild_s = 1.0
        self.rebuilt: list[int] = []
        """The slots that had broken, in order."""
        self._site = site
        self._in_use: set[int] = set()
        self._send_broken, self._broken = trio.open_memory_channel[int](math.inf)

    @asynccontextmanager
    async def open_site(self, slot: int, account: SiteAccount) -> AsyncIterator[Site]:
        """What `Tools.open_site` is. Two uses of a slot at once are a bug of the caller: RuntimeError."""
        if slot in self._in_use:
            raise RuntimeError(f"slot {slot} is in use")
        self._in_use.add(slot)
        try:
            async with self._site.open_site(slot, account) as session:
                yield session
        finally:
            self._in_use.remove(slot)

    def note_broken(self, slot: int) -> None:
        """What the allocator's `on_broken` is."""
        self._send_broken.send_nowait(slot)

    async def run(self, allocator: Allocator) -> None:
        """Rebuild broken slots, for ever."""
        async for slot in self._broken:
            await trio.sleep(self.rebuild_s)
            self.rebuilt.append(slot)
            allocator.mend(slot)
