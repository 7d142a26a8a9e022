"""The feed over real sockets, on the port of the HTTP endpoints."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)

from orchestrator.web.feed.connection import MAX_MESSAGE, PATH, POLICY, TOO_SLOW
from orchestrator.web.feed.feed import MAX_OF_USER, unpacked
from tests.web.conftest import SECRET, Served

FOREIGN = (
    b"GET /feed HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@asynccontextmanager
async def connected(
    served: Served, *headers: tuple[str, str], path: str = PATH
) -> AsyncIterator[WebSocketConnection]:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    stream = await trio.open_tcp_stream("127.0.0.1", served.port)
    async with stream, trio.open_nursery() as nursery:
        host = f"127.0.0.1:{served.port}"
        connection = await wrap_client_stream(nursery, stream, host, path, extra_headers=raw)
        yield connection
        await connection.aclose()
        nursery.cancel_scope.cancel()


async def greeted(connection: WebSocketConnection, **hello: str) -> dict[str, Any]:
    """The first message after a greeting."""
    await connection.send_message(json.dumps({"token": SECRET} | hello))
    return await message_of(connection)


async def message_of(connection: WebSocketConnection) -> dict[str, Any]:
    message = await connection.get_message()
    assert isinstance(message, bytes)
    return unpacked(message)


async def closed_with(connection: WebSocketConnection) -> int:
    try:
        while True:
            await connection.get_message()
    except ConnectionClosed as closed:
        return int(closed.reason.code) if closed.reason is not None else 0


async def test_the_document_and_its_changes_come_over_the_socket(served: Served) -> None:
    async with connected(served) as connection:
        assert (await greeted(connection))["document"] == {"mode": "ready"}
        served.document = {"mode": "draining"}
        await served.feed.tick()
        assert (await message_of(connection))["patch"] == {"mode": "draining"}
    async with await trio.open_tcp_stream("127.0.0.1", served.port) as stream:  # the port's other business
        await stream.send_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("hello", ['{"token": "a secre"}', "{}", "[]", "no JSON", "[" * 4000, '{"token": 1}'])
async def test_who_has_not_the_token_is_let_go(served: Served, hello: str) -> None:
    async with connected(served) as connection:
        await connection.send_message(hello)
        assert await closed_with(connection) == POLICY
    assert served.feed.listeners == 0


async def test_a_page_from_elsewhere_is_refused(served: Served) -> None:
    own = f"http://127.0.0.1:{served.port}"
    async with connected(served, ("Origin", own)) as connection:
        assert "document" in await greeted(connection)
    for origin in (
        "http://evil.example",
        "null",
        f"http://127.0.0.1:{served.port + 1}",
        f"{own}.evil.example",
    ):
        with pytest.RaisesGroup(ConnectionRejected, flatten_subgroups=True, allow_unwrapped=True):
            async with connected(served, ("Origin", origin)):
                pass


async def test_a_request_that_is_none_for_a_socket_does_no_harm(served: Served) -> None:
    for request in (
        b"GET /feed HTTP/1.1\r\nHost: localhost\r\n\r\n",
        FOREIGN,
        b"GET /feed \r\n\r\n\x00\xff",
    ):
        async with await trio.open_tcp_stream("127.0.0.1", served.port) as stream:
            await stream.send_all(request)
            answer = bytearray()
            try:
                async for chunk in stream:
                    answer += chunk
            except trio.BrokenResourceError:
                pass
            assert b" 101 " not in answer.split(b"\r\n")[0]
    async with connected(served) as connection:
        assert "document" in await greeted(connection)


async def test_a_message_that_is_too_long_ends_the_connection(served: Served) -> None:
    async with connected(served) as connection:
        await connection.send_message(json.dumps({"token": SECRET, "user": "x" * MAX_MESSAGE}))
        assert await closed_with(connection) in (POLICY, 1009)


async def test_a_user_with_too_many_connections_loses_the_oldest(served: Served) -> None:
    async with connected(served) as oldest:
        await greeted(oldest, user="ada")
        async with trio.open_nursery() as nursery:
            done = trio.Event()

            async def another(*, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
                async with connected(served) as connection:
                    await greeted(connection, user="ada")
                    task_status.started()
                    await done.wait()

            for _ in range(MAX_OF_USER):
                await nursery.start(another)
            assert await closed_with(oldest) == TOO_SLOW
            assert served.feed.listeners == MAX_OF_USER
            done.set()


async def test_a_listener_that_goes_is_forgotten(served: Served) -> None:
    async with connected(served) as connection:
        await greeted(connection)
        assert served.feed.listeners == 1
    with trio.fail_after(10):
        while served.feed.listeners:
            await trio.sleep(0.01)


async def test_there_is_no_other_socket(served: Served) -> None:
    with pytest.RaisesGroup(HandshakeError, flatten_subgroups=True, allow_unwrapped=True):
        async with connected(served, path="/other"):
            pass
