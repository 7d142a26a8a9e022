"""Who listens gets a snapshot, then what changes; who is slow or one too many is let go."""

from typing import Any

import trio
from trio.testing import MockClock

from orchestrator.metrics import Metrics
from orchestrator.web.feed.feed import BEAT_S, KEPT, MAX_OF_USER, TICK_S, WAITING, Feed, Listener, unpacked
from orchestrator.web.feed.patch import apply


class House:
    """What is looked at; `looks` counts."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {"mode": "ready", "jobs": {"plan": {"state": "waiting"}}}
        self.looks = 0

    async def __call__(self) -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        self.looks += 1
        return self.document

    def become(self, **change: Any) -> None:
        self.document = {**self.document, **change}


def feed_of(house: House) -> Feed:
    return Feed(house, Metrics())


async def next_of(listener: Listener) -> dict[str, Any]:
    return unpacked(await listener.messages.receive())


async def test_a_listener_gets_the_document_and_then_what_changes() -> None:
    house = House()
    feed = feed_of(house)
    listener = await feed.join("ada", "")
    first = await next_of(listener)
    assert first["document"] == house.document
    house.become(mode="degraded")
    await feed.tick()
    second = await next_of(listener)
    assert second["patch"] == {"mode": "degraded"}
    assert second["n"] == first["n"] + 1


async def test_what_did_not_change_is_not_told(autojump_clock: MockClock) -> None:
    feed = feed_of(House())
    listener = await feed.join("ada", "")
    await next_of(listener)
    await feed.tick()  # the first message of all is a sign of life
    await next_of(listener)
    for _ in range(int(BEAT_S / TICK_S) - 1):
        await trio.sleep(TICK_S)
        await feed.tick()
    assert listener.messages.statistics().current_buffer_used == 0
    await trio.sleep(TICK_S)
    await feed.tick()
    assert set(await next_of(listener)) == {"n", "at"}


async def test_nobody_looks_while_nobody_listens(autojump_clock: MockClock) -> None:
    house = House()
    feed = feed_of(house)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.run)
        await trio.sleep(100)
        assert house.looks == 0
        listener = await feed.join("ada", "")
        await trio.sleep(10)
        looks = house.looks
        assert looks >= 10
        feed.leave(listener)
        await trio.sleep(100)
        assert house.looks <= looks + 1
        nursery.cancel_scope.cancel()


async def test_who_comes_back_gets_what_it_missed() -> None:
    house = House()
    feed = feed_of(house)
    stays, leaves = await feed.join("ada", ""), await feed.join("grace", "")
    await next_of(stays)
    snapshot = await next_of(leaves)
    had = snapshot["document"]
    feed.leave(leaves)
    for mode in ("degraded", "ready", "draining"):
        house.become(mode=mode)
        await feed.tick()
    back = await feed.join("grace", f"{snapshot['life']}.{snapshot['n']}")
    while back.messages.statistics().current_buffer_used:
        had = apply(had, (await next_of(back))["patch"])
    assert had == house.document


async def test_who_was_away_too_long_or_knew_another_daemon_gets_a_snapshot() -> None:
    house = House()
    feed = feed_of(house)
    listener = await feed.join("ada", "")
    life, number = (first := await next_of(listener))["life"], first["n"]
    for count in range(WAITING + 1):
        house.become(count=count)
        await feed.tick()
        await next_of(listener)
    for had in (f"{life}.{number}", f"other.{number}", f"{life}.{number + KEPT * 2}", f"{life}.x", "."):
        assert "document" in await next_of(await feed.join("grace", had))


async def test_a_slow_listener_is_dropped_and_the_others_are_told() -> None:
    house = House()
    feed = feed_of(house)
    slow, quick = await feed.join("ada", ""), await feed.join("grace", "")
    for count in range(WAITING + 1):
        house.become(count=count)
        await feed.tick()
        await quick.messages.receive()
    assert feed.listeners == 1
    assert slow.why == "too slow"
    left = [message async for message in slow.messages]
    assert len(left) == WAITING


async def test_the_oldest_connection_of_a_user_makes_room() -> None:
    feed = feed_of(House())
    connections = [await feed.join("ada", "") for _ in range(MAX_OF_USER + 1)]
    assert feed.listeners == MAX_OF_USER
    assert [bool(one.why) for one in connections] == [True] + [False] * MAX_OF_USER
    await feed.join("grace", "")
    assert feed.listeners == MAX_OF_USER + 1
