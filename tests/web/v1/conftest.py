"""The API of a house with a real database and the real verbs, and a client of it."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from orchestrator.control.verbs import asker, verbs_of
from orchestrator.db.fence import Fence, boot_time
from orchestrator.db.pool import Database
from orchestrator.db.posts import Stamp
from orchestrator.health.status import House
from orchestrator.web.api import make_app
from orchestrator.web.guard import Token
from orchestrator.web.v1.routes import make_routes
from tests import rows
from tests.fakes import NOON, Work, a_job, a_stage, make_house

TOKEN = "a token of tests"
SHOWN = {"authorization": f"Bearer {TOKEN}"}
Document = dict[str, Any]


def an_app(house: House, *, is_open_to_read: bool = True) -> Starlette:
    ask = asker(verbs_of(house, lambda _who: None), "api")
    more = make_routes(house, ask, Token(TOKEN), is_open_to_read=is_open_to_read)
    return make_app(look=lambda: (True, {}), metrics=lambda: b"", more=more)


def an_account(name: str) -> Document:
    """What the verb tells of an account that is well."""
    today = {"posts": {"count": 1, "limit": 24}}
    row = {"name": name, "site": "murmur", "signed_in_at": None, "visited_at": None, "health": 100}
    return row | {"condition": "well", "today": today, "figures": None, "why": []}


async def roster() -> list[Document]:
    return [an_account("ada"), an_account("grace")]


@dataclass
class Api:
    """What a client does, and what is behind it."""

    house: House
    database: Database
    stamp: Stamp
    work: Work
    """Of the job plan."""
    client: httpx.AsyncClient

    async def get(self, path: str, status: int = 200, **query: Any) -> Document:
        return _read(await self.client.get(f"/api/v1{path}", params=query), status)

    async def order(self, path: str, body: Any = None, status: int = 200, method: str = "POST") -> Document:
        answer = await self.client.request(method, f"/api/v1{path}", json=body, headers=SHOWN)
        return _read(answer, status)

    async def walk(self, path: str, **query: Any) -> list[Document]:
        """All rows of a long list, page after page."""
        found: list[Document] = []
        cursor: dict[str, Any] = {}
        while True:
            page = await self.get(path, **query, **cursor)
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            cursor = {"cursor": page["next_cursor"]}


def _read(answer: httpx.Response, status: int) -> Document:
    assert answer.status_code == status, answer.text
    media_type = "application/json" if status < 400 else "application/problem+json"
    assert answer.headers["content-type"] == media_type
    document: Document = json.loads(answer.content)
    if status >= 400:
        assert document["status"] == status
        assert "\n" not in document["detail"]
    return document


@pytest.fixture
async def api(database: Database) -> AsyncIterator[Api]:
    work = Work()
    async with a_stage([a_job("plan", work), a_job("posting"), a_job("reply_posting")]) as stage:
        house = make_house(stage, database)
        house.accounts, house.site_of = ("ada", "grace"), {"ada": "murmur", "grace": "murmur"}
        house.roster = roster
        fence = await rows.take_fence(database)
        house.fence = Fence(fence, rows.TTL_S, boot_time())
        transport = httpx.ASGITransport(app=an_app(house))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield Api(house, database, Stamp(fence, NOON), work, client)
