"""Listening from another process: up to date, and so again after a lost connection."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from orchestrator.errors import ControlError, NoDaemonError
from orchestrator.web.feed import client
from orchestrator.web.feed.client import Ear
from tests.web.conftest import Served


class Heard:
    """An ear, and whoever waits for it to hear something."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._has_come = trio.Event()
        self.address: str | None = None
        self.ear = Ear(self._find, self._note)

    async def _find(self) -> str:
        await trio.lowlevel.checkpoint()
        return self.address or self._served.address

    def _note(self) -> None:
        self._has_come.set()
        self._has_come = trio.Event()

    async def until(self, *, is_live: bool = True, **wanted: Any) -> None:
        """Until it is connected, or not, and the document says that."""
        with trio.fail_after(30):
            while self.ear.is_live is not is_live or not wanted.items() <= (self.ear.document or {}).items():
                await self._has_come.wait()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "AGAIN_S", (0.01,))


@asynccontextmanager
async def serving(served: Served) -> AsyncIterator[None]:
    """The same feed on its port, for a while."""
    async with trio.open_nursery() as nursery:
        served.port = await nursery.start(served.serve)
        yield
        nursery.cancel_scope.cancel()


async def test_the_document_is_known_and_kept_up_to_date(served: Served, nursery: trio.Nursery) -> None:
    heard = Heard(served)
    nursery.start_soon(heard.ear.run)
    await heard.until(mode="ready")
    await served.become(mode="degraded", note="x")
    await heard.until(mode="degraded", note="x")
    assert heard.ear.document == served.document


async def test_who_has_lost_the_connection_says_so_and_then_gets_what_it_missed(
    nursery: trio.Nursery,
) -> None:
    served = Served()
    heard = Heard(served)
    async with serving(served):
        nursery.start_soon(heard.ear.run)
        await heard.until(mode="ready")
        await served.become(note="before")
        await heard.until(note="before")
    await heard.until(is_live=False, mode="ready")
    assert heard.ear.document is not None
    heard.ear.document["mark"] = "a snapshot has none"
    await served.become(mode="degraded")
    async with serving(served):
        await heard.until(mode="degraded", note="before", mark="a snapshot has none")


async def test_another_daemon_in_its_place_is_heard_from_the_beginning(nursery: trio.Nursery) -> None:
    first, second = Served(), Served()
    heard = Heard(first)
    async with serving(first):
        nursery.start_soon(heard.ear.run)
        await heard.until(mode="ready")
    second.document = {"mode": "starting"}
    async with serving(second):
        heard.address = second.address
        await heard.until(mode="starting")
        assert heard.ear.document == second.document


async def test_a_wrong_token_is_an_error(served: Served) -> None:
    heard = Heard(served)
    heard.address = served.address + "x"
    with pytest.raises(ControlError, match="lets nobody listen"):
        await heard.ear.run()


async def test_who_can_hear_nothing_at_first_is_told_why(served: Served) -> None:
    heard = Heard(served)
    heard.address = "http://127.0.0.1:1/#token=x"
    with pytest.raises(ControlError, match=r"the live feed at 127\.0\.0\.1:1 can't be heard"):
        await heard.ear.run()

    async def nobody() -> str:
        raise NoDaemonError("no daemon is listening at x")

    with pytest.raises(NoDaemonError):
        await Ear(nobody, lambda: None).run()
