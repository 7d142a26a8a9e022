"""A feed of a made-up document, on a real port."""

from functools import partial
from typing import Any

import pytest
import trio

from orchestrator.metrics import Metrics
from orchestrator.web.api import allowed_hosts, is_host_allowed, make_app
from orchestrator.web.feed.connection import PATH, Gate
from orchestrator.web.feed.feed import Feed
from orchestrator.web.guard import Token
from orchestrator.web.serve import Upgrade, serve_http

SECRET = "a secret"
APP = make_app(look=lambda: (True, {"mode": "ready", "checks": []}), metrics=lambda: b"a 1\n")


class Served:
    """A feed on a port; `document` is what it shows."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {"mode": "ready"}
        self.metrics = Metrics()
        self.feed = Feed(self._look, self.metrics)
        self.port = 0

    @property
    def address(self) -> str:
        """Of the live page, with the token."""
        return f"http://127.0.0.1:{self.port}/#token={SECRET.replace(' ', '%20')}"

    async def become(self, **change: Any) -> None:
        """Change the document, and tell everybody."""
        self.document = {**self.document, **change}
        await self.feed.tick()

    async def serve(self, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; `port` 0 takes a free one."""
        names = allowed_hosts(["watch.example"])
        gate = Gate(self.feed, Token(SECRET), partial(is_host_allowed, hosts=names))
        upgrade = Upgrade(PATH, gate.serve)
        await serve_http(APP, "127.0.0.1", self.port, upgrade=upgrade, task_status=task_status)

    async def _look(self) -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        return self.document


@pytest.fixture
async def served(nursery: trio.Nursery) -> Served:
    one = Served()
    one.port = await nursery.start(one.serve)
    return one
