"""One batch of hostile talks, and then a plain request at each door."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from random import Random

import trio

from orchestrator.control import client
from orchestrator.web.feed.connection import PATH
from tests.fuzz.control import control_talk
from tests.fuzz.feed import BYTES, HANDSHAKE, TEXT, feed_talk, frame
from tests.fuzz.house import TOKEN, Doors
from tests.fuzz.http import http_talk
from tests.fuzz.talk import Talk, hold, leave
from tests.fuzz.watch import Sink

BATCH = 1000
"""Frames."""
AT_ONCE = 16
SHOWN = 10
"""Of what is wrong; mostly it is one thing again and again."""
EMPTY_S = 30.0
"""Until everybody who has left is counted as gone."""

_KINDS = ("control", "feed", "feed", "feed", "http")
"""A message of the feed takes much less time than a verb that asks the database."""


async def batch(doors: Doors, seed: int, sink: Sink) -> tuple[str, int]:
    """What is wrong, or nothing; and how many frames there were, at least BATCH."""
    talks = make_talks(doors, seed)
    wrong: list[str] = []
    async with _left_behind() as left:
        send, receive = trio.open_memory_channel[Talk](len(talks))
        async with trio.open_nursery() as nursery, send:
            for _ in range(AT_ONCE):
                nursery.start_soon(_converse, doors, receive.clone(), left, wrong)
            for talk in talks:
                send.send_nowait(talk)
    await _until_empty(doors, wrong)
    await _ask_plainly(doors, wrong)
    return "\n".join([*sink.faults, *wrong][:SHOWN]), sum(talk.count for talk in talks)


def make_talks(doors: Doors, seed: int) -> list[Talk]:
    """The same for the same seed."""
    rng, talks, count = Random(seed), [], 0
    makers = {
        "control": partial(control_talk, rng, doors.verbs),
        "feed": partial(feed_talk, rng, TOKEN),
        "http": partial(http_talk, rng, TOKEN),
    }
    while count < BATCH:
        talks.append(makers[rng.choice(_KINDS)]())
        count += talks[-1].count
    return talks


@asynccontextmanager
async def _left_behind() -> AsyncIterator[list[trio.SocketStream]]:
    left: list[trio.SocketStream] = []
    try:
        yield left
    finally:
        for stream in left:
            await trio.aclose_forcefully(stream)


async def _converse(
    doors: Doors,
    talks: trio.MemoryReceiveChannel[Talk],
    left: list[trio.SocketStream],
    wrong: list[str],
) -> None:
    async with talks:
        async for talk in talks:
            connect = partial(doors.connect, talk.door)
            if talk.is_left:
                left.append(await leave(talk, connect))
                continue
            try:
                complaint = talk.check(await hold(talk, connect))
            except trio.TooSlowError:
                complaint = "no end"
            if complaint:
                wrong.append(f"{talk.door}: {complaint}; said {talk.stages!s:.2000}")


async def _until_empty(doors: Doors, wrong: list[str]) -> None:
    with trio.move_on_after(EMPTY_S) as patience:
        while any(doors.inside.values()):
            await trio.sleep(0.002)
    if patience.cancelled_caught:
        wrong.append(f"still inside: {doors.inside}")


async def _ask_plainly(doors: Doors, wrong: list[str]) -> None:
    status = await trio.to_thread.run_sync(client.request, doors.control, "status")
    if status["mode"] != doors.house.modes.mode:
        wrong.append(f"the control socket says {status!r:.200}")
    for path in ("/livez", "/api/v1/jobs"):
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        answer = await hold(Talk("http", 1, [[request]], says_end=False), partial(doors.connect, "http"))
        if not answer.startswith(b"HTTP/1.1 200 "):
            wrong.append(f"GET {path}: {answer[:200]!r}")
    greeting = frame(TEXT, json.dumps({"token": TOKEN}).encode())
    async with await doors.connect("http") as stream:
        await stream.send_all(HANDSHAKE + b"\r\n")
        answer = bytes(await stream.receive_some())
        await stream.send_all(greeting)
        snapshot = bytes(await stream.receive_some())
    if not answer.startswith(b"HTTP/1.1 101 ") or snapshot[0] != 0x80 | BYTES:
        wrong.append(f"GET {PATH}: {answer[:200]!r}, {snapshot[:50]!r}")
