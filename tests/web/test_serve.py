import errno
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from orchestrator.errors import AddressInUseError, SettingsError
from orchestrator.web.api import make_app
from orchestrator.web.serve import GRACE_S, HEADER_TIMEOUT_S, LIFE_S, SEND_TIMEOUT_S, bind, serve_http

APP = make_app(look=lambda: (True, {"mode": "ready", "checks": []}), metrics=lambda: b"a 1\n")


@pytest.fixture
async def port(nursery: trio.Nursery) -> int:
    found: int = await nursery.start(serve_http, APP, "127.0.0.1", 0)
    return found


async def ask(port: int, request: bytes) -> bytes:
    """Everything that the server says until it closes the connection."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(request)
        return await read_all(stream)


async def read_all(stream: trio.SocketStream) -> bytes:
    answer = bytearray()
    try:
        async for chunk in stream:
            answer += chunk
    except trio.BrokenResourceError:
        pass
    return bytes(answer)


def get(path: str, *headers: str, method: str = "GET", encoding: str = "ascii") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode(encoding)


async def is_served(port: int) -> bool:
    return (await ask(port, get("/livez"))).startswith(b"HTTP/1.1 200")


async def test_a_free_port_is_found_and_told(port: int) -> None:
    assert port > 0
    head, body = (await ask(port, get("/readyz"))).split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 200")
    assert b"x-response-time: " in head
    assert json.loads(body)["ready"] is True


async def test_head_has_no_body(port: int) -> None:
    answer = await ask(port, get("/metrics", method="HEAD"))
    assert b"content-length: 4" in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_a_host_name_from_elsewhere_is_refused(port: int) -> None:
    answer = await ask(port, b"GET /readyz HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")


async def test_a_taken_port_is_named_with_what_to_do() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressInUseError) as caught:
            await serve_http(APP, "127.0.0.1", port)
    assert str(caught.value) == f"port {port} on 127.0.0.1 is in use"
    assert "http.port" in caught.value.remedy


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
async def test_an_address_of_no_interface_names_the_setting(host: str) -> None:
    with pytest.raises(SettingsError, match=r"http\.host"):
        await serve_http(APP, host, 0)


async def test_a_port_that_needs_more_rights_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: socket.socket, _address: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse, raising=False)
    with pytest.raises(SettingsError, match=r"http\.port 80 can't be used: Permission denied"):
        await serve_http(APP, "127.0.0.1", 80)


async def test_the_port_is_free_again_after_the_end() -> None:
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve_http, APP, "127.0.0.1", 0)
        assert await is_served(port)
        nursery.cancel_scope.cancel()
    bind("127.0.0.1", port).close()


async def test_children_do_not_inherit_the_listening_socket() -> None:
    with bind("127.0.0.1", 0) as listening:
        assert not listening.get_inheritable()


# ── bad clients ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "garbage",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /livez HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999\r\n\r\n",
    ],
)
async def test_garbage_is_refused_and_disturbs_nobody(port: int, garbage: bytes) -> None:
    answer = await ask(port, garbage)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert await is_served(port)


async def test_http_2_is_not_spoken(port: int) -> None:
    # A path that is not ASCII makes Hypercorn's HTTP/2 raise; in its own server that ends the server.
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    block = b"\x82\x86" + b"\x04\x02/\xff" + b"\x01\x09localhost"
    headers = len(block).to_bytes(3, "big") + b"\x01\x05" + (1).to_bytes(4, "big") + block
    with capture_logs() as logs:
        assert (await ask(port, preface + headers)).startswith(b"HTTP/1.1 400")
    assert logs == []
    assert await is_served(port)


KEY = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="


@pytest.mark.parametrize(
    "headers",
    [
        ["Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"],
        ["Upgrade: h2c", "HTTP2-Settings: !"],
        ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", KEY],
        ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Protocol: \xff", KEY],
    ],
)
async def test_a_switch_to_another_protocol_is_passed_over(port: int, headers: list[str]) -> None:
    with capture_logs() as logs:
        answer = await ask(port, get("/livez", *headers, encoding="latin-1"))
    assert answer.startswith(b"HTTP/1.1 200")
    assert logs == []


async def test_requests_do_not_keep_a_connection_open_for_ever(
    port: int, autojump_clock: trio.testing.MockClock
) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream, trio.open_nursery() as nursery:

        async def go_on() -> None:
            with suppress(trio.BrokenResourceError):
                while True:
                    await stream.send_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    await trio.sleep(1)

        nursery.start_soon(go_on)
        with trio.fail_after(LIFE_S + 1):
            assert (await read_all(stream)).count(b" 200 ") > LIFE_S - 5
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("target", ["[", "http://[", "*[", "/x%0a", "@["])
async def test_a_target_that_is_no_address_is_not_found(port: int, target: str) -> None:
    with capture_logs() as logs:
        answer = await ask(port, get(target))
    assert answer.startswith(b"HTTP/1.1 404")
    assert f"GET {target}: Not Found" in json.loads(answer.partition(b"\r\n\r\n")[2])["detail"]
    assert logs == []


@pytest.mark.parametrize("sent", [b"", b"GET /livez HTTP/1.1\r\nHo"])
async def test_a_half_open_request_is_closed_at_its_deadline(
    port: int, sent: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    started_at = trio.current_time()
    assert await ask(port, sent) == b""
    assert trio.current_time() - started_at == pytest.approx(HEADER_TIMEOUT_S, abs=0.5)


async def flood(scope: Scope, _receive: Receive, send: Send) -> None:
    """An application that answers more than any buffer holds."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _chunk in range(100):
        await send({"type": "http.response.body", "body": b"x" * (1 << 20), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def test_a_client_that_does_not_read_is_dropped(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    port = await nursery.start(serve_http, flood, "127.0.0.1", 0)
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(get("/"))
        await trio.sleep(SEND_TIMEOUT_S + 1)
        assert len(await read_all(stream)) < 100 << 20


# ── the end ─────────────────────────────────────────────────────────────────────────────────────


def slow(began: trio.Event, may_end: Callable[[], Awaitable[Any]]) -> Any:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        began.set()
        await may_end()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"done"})

    return app


async def test_a_request_under_way_is_answered_before_the_end() -> None:
    began, may_end, answers = trio.Event(), trio.Event(), []

    async def client(port: int) -> None:
        answers.append(await ask(port, get("/")))

    async with trio.open_nursery() as clients, trio.open_nursery() as servers:
        port = await servers.start(serve_http, slow(began, may_end.wait), "127.0.0.1", 0)
        clients.start_soon(client, port)
        await began.wait()
        servers.cancel_scope.cancel()
        may_end.set()
    assert answers[0].endswith(b"done")


async def test_a_request_that_takes_too_long_does_not_hold_up_the_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    began = trio.Event()
    async with trio.open_nursery() as clients:
        async with trio.open_nursery() as servers:
            port = await servers.start(serve_http, slow(began, trio.sleep_forever), "127.0.0.1", 0)
            clients.start_soon(ask, port, get("/"))
            await began.wait()
            ended_at = trio.current_time()
            servers.cancel_scope.cancel()
        assert trio.current_time() - ended_at <= GRACE_S + 0.5


async def test_an_idle_connection_does_not_hold_up_the_end(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as servers:
        port = await servers.start(serve_http, APP, "127.0.0.1", 0)
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
            ended_at = trio.current_time()
            servers.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                assert await read_all(stream) == b""
    assert trio.current_time() - ended_at < GRACE_S


async def test_who_wants_to_know_is_told_how_many_clients_there_are() -> None:
    told: list[int] = []
    async with trio.open_nursery() as servers:
        port = await servers.start(partial(serve_http, APP, "127.0.0.1", 0, on_count=told.append))
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(get("/"))
            await stream.receive_some()
            assert told == [1]
        servers.cancel_scope.cancel()
    assert told == [1, 0]
