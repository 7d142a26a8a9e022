"""Five hundred clients that say a byte now and then, or take nothing of what they are told."""

import json
import os
import resource
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from orchestrator.control.verbs import asker, verbs_of
from orchestrator.metrics import Metrics
from orchestrator.web import serve
from orchestrator.web.api import allowed_hosts, is_host_allowed, make_app
from orchestrator.web.feed.connection import PATH, SEND_S, Gate
from orchestrator.web.feed.feed import WAITING, Feed
from orchestrator.web.guard import Token
from orchestrator.web.serve import HEADER_TIMEOUT_S, Upgrade, serve_http
from orchestrator.web.v1.endpoint import BODY_S
from orchestrator.web.v1.routes import make_routes
from tests.fakes import a_job, a_stage, make_house
from tests.fuzz.feed import HANDSHAKE, TEXT, frame

TOKEN = "a token of tests"
HEADS, HANDSHAKES, BODIES, LISTENERS = 200, 150, 100, 50
NEEDED_FILES = 2048
"""Both ends of each connection are in this process."""
HEAD = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: "
BODY = (
    b"POST /api/v1/drafts HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
    b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n" % TOKEN.encode()
)


class Served:
    """A house's HTTP port; `clients` counts its connections, `document` is what the feed shows."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {}
        self.feed = Feed(self._look, Metrics())
        self.clients = 0
        self.port = 0

    async def _look(self) -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        return self.document

    def count(self, clients: int) -> None:
        self.clients = clients


@pytest.fixture(autouse=True)
def _files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < NEEDED_FILES:
        pytest.skip(f"{NEEDED_FILES} files have to be open, and {hard} may be")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, NEEDED_FILES), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
async def served(mock_clock: trio.testing.MockClock) -> AsyncIterator[Served]:
    one = Served()
    async with a_stage([a_job("plan")]) as stage, trio.open_nursery() as nursery:
        house = make_house(stage)
        ask = asker(verbs_of(house, lambda _who: None), "api")
        more = make_routes(house, ask, Token(TOKEN), is_open_to_read=True)
        app = make_app(look=lambda: (True, {}), metrics=lambda: b"", more=more)
        gate = Gate(one.feed, Token(TOKEN), partial(is_host_allowed, hosts=allowed_hosts(())))
        serving = partial(serve_http, on_count=one.count, upgrade=Upgrade(PATH, gate.serve))
        one.port = await nursery.start(serving, app, "127.0.0.1", 0)
        yield one
        nursery.cancel_scope.cancel()


class Slow:
    """A client: `ended_at` says when the other side closed."""

    def __init__(self, stream: trio.SocketStream, said: bytes) -> None:
        self._stream = stream
        self._said = said
        self.ended_at: float | None = None

    async def drip(self) -> None:
        """The beginning, and then a byte a second, until the end."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._say)
            with suppress(trio.BrokenResourceError):
                async for _ in self._stream:
                    pass
            self.ended_at = trio.current_time()
            nursery.cancel_scope.cancel()

    async def _say(self) -> None:
        with suppress(trio.BrokenResourceError):
            await self._stream.send_all(self._said)
            while True:
                await trio.sleep(1)
                await self._stream.send_all(b"a")


async def connect(served: Served, stack: AsyncExitStack) -> trio.SocketStream:
    stream = await trio.open_tcp_stream("127.0.0.1", served.port)
    return await stack.enter_async_context(stream)


async def listen(served: Served, stack: AsyncExitStack) -> None:
    """A listener with little room for what it does not read."""
    stream = await connect(served, stack)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await stream.send_all(HANDSHAKE + b"\r\n")
    await stream.receive_some()
    await stream.send_all(frame(TEXT, json.dumps({"token": TOKEN}).encode()))
    await stream.receive_some()


async def livez(served: Served) -> bytes:
    async with await trio.open_tcp_stream("127.0.0.1", served.port) as stream:
        await stream.send_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return b"".join([chunk async for chunk in stream])


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for it; the clock stands still meanwhile."""
    while not is_so():
        await trio.lowlevel.checkpoint()


async def test_livez_answers_while_five_hundred_slow_clients_are_there_and_each_of_them_ends(
    served: Served, mock_clock: trio.testing.MockClock
) -> None:
    assert b" 200 " in await livez(served)
    files = open_files()
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        for _ in range(LISTENERS):
            await listen(served, stack)
        kinds = [(HEAD, HEADS), (HANDSHAKE, HANDSHAKES), (BODY, BODIES)]
        heads, handshakes, bodies = [
            [Slow(await connect(served, stack), said) for _ in range(count)] for said, count in kinds
        ]
        for client in (*heads, *handshakes, *bodies):
            nursery.start_soon(client.drip)
        await until(
            lambda: (served.clients, served.feed.listeners) == (HEADS + HANDSHAKES + BODIES, LISTENERS)
        )
        assert b" 200 " in await livez(served)

        begin, after_s = trio.current_time(), 0.0
        while served.feed.listeners or after_s < BODY_S:
            mock_clock.jump(1)
            after_s = trio.current_time() - begin
            if after_s == HEADER_TIMEOUT_S:
                await until(lambda: all(client.ended_at for client in (*heads, *handshakes)))
            if after_s == BODY_S:
                await until(lambda: all(client.ended_at for client in bodies))
            served.document = {"a": os.urandom(100_000).hex()}
            await served.feed.tick()
            assert b" 200 " in await livez(served)
            assert after_s < WAITING + SEND_S
        assert {client.ended_at for client in (*heads, *handshakes)} == {begin + HEADER_TIMEOUT_S}
        assert {client.ended_at for client in bodies} == {begin + BODY_S}
    await until(lambda: open_files() <= files)


async def test_who_waits_longest_makes_room_for_one_more_and_a_request_at_work_never_does(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr(serve, "MAX_CONNECTIONS", 3)
    is_at_work, may_end, is_answered, counts = trio.Event(), trio.Event(), trio.Event(), [0]

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        if scope["path"] == "/long":
            is_at_work.set()
            await may_end.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        is_answered.set()

    port = await nursery.start(partial(serve_http, app, "127.0.0.1", 0, on_count=counts.append))

    async with AsyncExitStack() as stack:

        async def say(words: bytes) -> trio.SocketStream:
            mock_clock.jump(1)
            stream = await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", port))
            await stream.send_all(words)
            return stream

        at_work = await say(b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await is_at_work.wait()
        idle = await say(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await idle.receive_some()).startswith(b"HTTP/1.1 200")
        await is_answered.wait()
        half = await say(b"GET / HT")
        await until(lambda: counts[-1] == 3)
        another = await say(b"GET / HT")
        assert await idle.receive_some() == b""
        quick = await say(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await half.receive_some() == b""
        assert (await quick.receive_some()).startswith(b"HTTP/1.1 200")
        await another.send_all(b"TP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await another.receive_some()).startswith(b"HTTP/1.1 200")
        may_end.set()
        assert (await at_work.receive_some()).startswith(b"HTTP/1.1 200")


async def test_a_connection_beyond_those_at_work_is_closed(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr(serve, "MAX_CONNECTIONS", 1)
    is_at_work = trio.Event()

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        is_at_work.set()
        await trio.sleep_forever()

    port = await nursery.start(serve_http, app, "127.0.0.1", 0)
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with await trio.open_tcp_stream("127.0.0.1", port) as first:
        await first.send_all(request)
        await is_at_work.wait()
        async with await trio.open_tcp_stream("127.0.0.1", port) as second:
            with suppress(trio.BrokenResourceError):
                assert await second.receive_some() == b""


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_fault_of_ours(served: Served) -> None:
    with capture_logs() as logs:
        async with await trio.open_tcp_stream("127.0.0.1", served.port) as stream:
            await stream.send_all(BODY)
            await until(lambda: served.clients == 1)
        await until(lambda: served.clients == 0)
    assert [entry for entry in logs if entry["log_level"] != "debug"] == []
