"""What a client of ours does on one connection."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random

import trio

from tests.fuzz.mutate import pieces

ANSWER_S = 60.0
"""Longest wait for the end of an answer; generous, since the machine may be busy."""
LOOPS = 3
"""That go by between two pieces of what comes slowly."""

Check = Callable[[bytes], str]
"""Gets all that came back, and says what is wrong with it, or nothing."""
Connect = Callable[[], Awaitable[trio.SocketStream]]


def nothing_wrong(_received: bytes) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Talk:
    """One connection's frames."""

    door: str
    count: int
    """Of frames."""
    stages: Sequence[Sequence[bytes]]
    """What is said, in pieces; between two stages something has to come back."""
    check: Check = nothing_wrong
    is_left: bool = False
    """The connection stays open, and we say no more, until the batch is over."""
    says_end: bool = True
    """The connection is half closed when all is said."""


def slowly(rng: Random, data: bytes) -> list[bytes]:
    """Sometimes in pieces."""
    return pieces(rng, data) if rng.random() < 0.1 else [data]


async def hold(talk: Talk, connect: Connect) -> bytes:
    """All that comes back until the other side closes. Raises TooSlowError when it does not."""
    received, came = bytearray(), trio.Event()

    async def say(stream: trio.SocketStream) -> None:
        nonlocal came
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            for number, stage in enumerate(talk.stages):
                if number > 0:
                    await came.wait()
                came = trio.Event()
                await _send(stream, stage)
            if talk.says_end:
                await stream.send_eof()

    with trio.fail_after(ANSWER_S):
        async with await connect() as stream, trio.open_nursery() as nursery:
            nursery.start_soon(say, stream)
            with suppress(trio.BrokenResourceError):
                async for chunk in stream:
                    received += chunk
                    came.set()
            nursery.cancel_scope.cancel()
    return bytes(received)


async def leave(talk: Talk, connect: Connect) -> trio.SocketStream:
    """Say the beginning, and listen no more."""
    stream = await connect()
    with suppress(trio.BrokenResourceError), trio.move_on_after(0):  # as much as goes at once
        await _send(stream, talk.stages[0])
    return stream


async def _send(stream: trio.SocketStream, stage: Sequence[bytes]) -> None:
    for piece in stage:
        await stream.send_all(piece)
        for _ in range(LOOPS if len(stage) > 1 else 0):
            await trio.lowlevel.checkpoint()
