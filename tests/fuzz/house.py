"""The real doors of a house, control socket, HTTP and feed, with real verbs and a database behind them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from orchestrator.actors.job import Run
from orchestrator.control.server import Verb, serve_control
from orchestrator.control.verbs import asker, verbs_of
from orchestrator.db.fence import Fence, boot_time
from orchestrator.db.pool import Database
from orchestrator.health.status import House
from orchestrator.model import Outcome
from orchestrator.settings import ControlSettings
from orchestrator.web.api import allowed_hosts, is_host_allowed, make_app
from orchestrator.web.feed.connection import PATH, Gate
from orchestrator.web.feed.feed import Feed
from orchestrator.web.feed.look import Look
from orchestrator.web.feed.timeline import Timeline
from orchestrator.web.guard import Token
from orchestrator.web.serve import Upgrade, serve_http
from orchestrator.web.v1.routes import make_routes
from tests import rows
from tests.fakes import a_job, a_stage, make_house

TOKEN = "a token of the fuzz"


@dataclass
class Doors:
    """Where to knock, and how many are inside."""

    house: House
    feed: Feed
    verbs: dict[str, Verb]
    control: Path
    port: int

    async def connect(self, door: str) -> trio.SocketStream:
        if door == "control":
            return await trio.open_unix_socket(str(self.control))
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    @property
    def inside(self) -> dict[str, int]:
        """Connections of each door that have not ended yet."""
        return {**self.house.clients, "feed": self.feed.listeners}


@asynccontextmanager
async def open_doors(database: Database, directory: Path) -> AsyncIterator[Doors]:
    """Until the end of the block. The runs of its jobs never end, so that no orders make more of them."""
    async with (
        a_stage([a_job("plan", _run), a_job("posting", _run)]) as stage,
        trio.open_nursery() as nursery,
    ):
        house = make_house(stage, database)
        house.accounts, house.site_of = ("ada",), {"ada": "murmur"}
        house.fence = Fence(await rows.take_fence(database), rows.TTL_S, boot_time())
        verbs = {**verbs_of(house, lambda _who: None)}
        ask = asker(verbs, "api")
        token = Token(TOKEN)
        feed = Feed(Look(house, Timeline(), ask), stage.metrics)
        gate = Gate(feed, token, partial(is_host_allowed, hosts=allowed_hosts(())))
        app = make_app(
            look=lambda: (house.modes.is_ready, {"mode": house.modes.mode, "checks": []}),
            metrics=stage.metrics.render,
            more=make_routes(house, ask, token, is_open_to_read=True),
        )
        nursery.start_soon(feed.run)
        http = partial(
            serve_http,
            on_count=partial(house.count_clients, "http"),
            upgrade=Upgrade(PATH, gate.serve),
        )
        control = partial(serve_control, on_count=partial(house.count_clients, "control"))
        port = await nursery.start(http, app, "127.0.0.1", 0)
        path = await nursery.start(control, directory / "control.sock", verbs, ControlSettings())
        yield Doors(house, feed, verbs, path, port)
        nursery.cancel_scope.cancel()


async def _run(_run: Run) -> Outcome:
    await trio.sleep_forever()
    raise AssertionError
