"""`/livez` of a running demo while 500 clients say a byte a second, or take nothing of what they are told.

Whoever is let go comes back at once, so that there are always as many.
"""

import json
import resource
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median, quantiles

import trio

from bench.daemon import running_demo
from bench.figure import Figure, Report, ratio

HEADS, HANDSHAKES, BODIES, LISTENERS = 200, 150, 100, 50
REQUESTS = 200
"""Of each round."""
SETTLE_S = 3.0
DRIP_S = 1.0
HEAD = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: "
HANDSHAKE = (
    b"GET /feed HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
BODY = (
    b"POST /api/v1/drafts HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
    b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
)
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def measure(directory: Path, rounds: int) -> Report:
    state_dir = directory / "state"
    with running_demo(state_dir) as daemon, _more_files():
        token = (state_dir / "api-token").read_text().strip()
        alone, beside = trio.run(_rounds, daemon.http_port, token, rounds)
    medians = [[median(one) * 1000 for one in side] for side in (beside, alone)]
    return Report(
        [
            Figure(
                "/livez while 500 slow clients are there, next to without them",
                ratio(*medians),
                f"{_shown(beside)} ms",
                f"{_shown(alone)} ms",
            )
        ],
        ["slow clients: median, 99 of 100, longest of all requests of all rounds"],
    )


def _shown(rounds: Sequence[Sequence[float]]) -> str:
    every = [1000 * one for taken in rounds for one in taken]
    return f"{median(every):.1f}, {quantiles(every, n=100)[-1]:.1f}, {max(every):.1f}"


@contextmanager
def _more_files() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def _rounds(port: int, token: str, rounds: int) -> tuple[list[list[float]], list[list[float]]]:
    """Seconds of each request, alone and beside the slow clients."""
    alone, beside = [], []
    for _ in range(rounds):
        alone.append(await _ask(port))
        async with trio.open_nursery() as nursery:
            for said, count in ((HEAD, HEADS), (HANDSHAKE, HANDSHAKES), (BODY % token.encode(), BODIES)):
                for _ in range(count):
                    nursery.start_soon(_drip, port, said)
            for _ in range(LISTENERS):
                nursery.start_soon(_listen, port, token)
            await trio.sleep(SETTLE_S)
            beside.append(await _ask(port))
            nursery.cancel_scope.cancel()
    return alone, beside


async def _ask(port: int) -> list[float]:
    taken = []
    for _ in range(REQUESTS):
        begin = time.perf_counter()
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(LIVEZ)
            answer = b"".join([chunk async for chunk in stream])
        taken.append(time.perf_counter() - begin)
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"/livez answered {answer[:100]!r}")
        await trio.sleep(0.01)
    return taken


async def _drip(port: int, said: bytes) -> None:
    while True:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            with suppress(trio.BrokenResourceError):
                await stream.send_all(said)
                while True:
                    await trio.sleep(DRIP_S)
                    await stream.send_all(b"a")


async def _listen(port: int, token: str) -> None:
    hello = json.dumps({"token": token}).encode()
    greeting = bytes([0x81, 0x80 | len(hello)]) + bytes(4) + hello  # masked with zeros
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await stream.send_all(HANDSHAKE + b"\r\n")
        await stream.receive_some()
        await stream.send_all(greeting)
        await trio.sleep_forever()
