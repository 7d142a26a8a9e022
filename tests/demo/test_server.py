"""The site behind a real socket: dropped connections, rubbish on the wire, shutting down."""

from collections.abc import AsyncIterator
from urllib.parse import urlencode

import httpx
import pytest
import trio

from orchestrator.demo.server import serve
from orchestrator.demo.site import Site
from tests.demo.harness import Visitor, exchange, open_served


@pytest.fixture
async def address(site: Site) -> AsyncIterator[str]:
    async with open_served(site.app) as address:
        yield address


@pytest.fixture
async def visitor(address: str) -> AsyncIterator[Visitor]:
    async with httpx.AsyncClient(base_url=address) as http:
        yield Visitor(http)


async def raw_post(visitor: Visitor, text: str) -> bytes:
    """What a compose request looks like on the wire, on a connection that ends with its answer."""
    token = (await visitor.get("/compose")).one("form#compose").one("[name=form_token]").attributes["value"]
    body = urlencode({"form_token": token, "text": text})
    return (
        "POST /compose HTTP/1.1\r\nHost: murmur\r\nConnection: close\r\n"
        f"Cookie: session={visitor.http.cookies['session']}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def test_a_dropped_answer_sends_not_a_byte_and_the_post_is_in_the_ledger(
    visitor: Visitor, address: str
) -> None:
    await visitor.sign_in()
    request = await raw_post(visitor, "dropped")
    await visitor.admin("faults", {"drop_answer": {"times": 1}})
    assert await exchange(address, request) == b""
    assert await visitor.ledger_texts() == ["dropped"]
    assert (await exchange(address, request)).startswith(b"HTTP/1.1 303")
    assert await visitor.ledger_texts() == ["dropped", "dropped"]


async def test_a_client_sees_a_dropped_answer_as_a_broken_connection(visitor: Visitor) -> None:
    await visitor.sign_in()
    await visitor.admin("faults", {"drop_answer": 1})
    with pytest.raises(httpx.TransportError):
        await visitor.write("dropped")
    await visitor.admin("faults", {})
    assert (await visitor.get("/@ada")).one(".text").text == "dropped"


async def test_a_request_can_be_dropped_before_the_post_is_accepted(visitor: Visitor, address: str) -> None:
    await visitor.sign_in()
    request = await raw_post(visitor, "lost")
    await visitor.admin("faults", {"drop_answer": {"processed": False}})
    assert await exchange(address, request) == b""
    assert await visitor.ledger_texts() == []


async def test_a_refused_post_is_answered_also_when_answers_are_dropped(
    visitor: Visitor, address: str
) -> None:
    await visitor.sign_in()
    request = await raw_post(visitor, "forbidden")
    await visitor.admin("faults", {"drop_answer": {"times": 1}})
    assert (await exchange(address, request)).startswith(b"HTTP/1.1 422")
    assert (await visitor.admin("faults")).json()["drop_answer"]["times"] == 1


async def test_any_page_can_be_dropped(visitor: Visitor, address: str) -> None:
    await visitor.admin("faults", {"drop_answer": {"path": "/", "method": None}})
    assert await exchange(address, b"GET / HTTP/1.1\r\nHost: murmur\r\n\r\n") == b""
    assert (await visitor.admin("ledger")).status_code == 200


async def test_many_posts_at_once_are_each_in_the_ledger_once_dropped_or_not(
    visitor: Visitor, address: str
) -> None:
    await visitor.sign_in()
    requests = [await raw_post(visitor, f"post {number}") for number in range(40)]
    await visitor.admin("faults", {"drop_answer": 0.5})
    answers: list[bytes] = []

    async def send(request: bytes) -> None:
        answers.append(await exchange(address, request))

    async with trio.open_nursery() as nursery:
        for request in requests:
            nursery.start_soon(send, request)
    assert 0 < answers.count(b"") < 40
    assert sorted(await visitor.ledger_texts()) == sorted(f"post {number}" for number in range(40))


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"rubbish\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00" + b"\x00" * 50 + b"\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 20_000, b"431"),
        (b"POST /compose HTTP/1.1\r\nHost: m\r\nContent-Length: x\r\n\r\n", b"400"),
    ],
)
async def test_rubbish_on_the_wire_is_refused_and_the_next_request_is_served(
    visitor: Visitor, address: str, request_bytes: bytes, status: bytes
) -> None:
    assert (await exchange(address, request_bytes)).startswith(b"HTTP/1.1 " + status)
    assert (await visitor.http.get("/healthz")).status_code == 200


async def test_a_form_with_too_many_fields_is_refused(visitor: Visitor, address: str) -> None:
    await visitor.sign_in()
    request = await raw_post(visitor, "x")
    head, _, body = request.partition(b"\r\n\r\n")
    body = b"&".join(b"a%d=1" % number for number in range(50))
    head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length"))
    answer = await exchange(address, head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert answer.startswith(b"HTTP/1.1 400")


async def test_a_client_that_leaves_in_the_middle_of_its_form_harms_nobody(
    visitor: Visitor, address: str
) -> None:
    await visitor.sign_in()
    request = await raw_post(visitor, "half")
    host, port = address.removeprefix("http://").split(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        await stream.send_all(request[:-2])
    assert (await visitor.write("whole")).status_code == 303
    assert await visitor.ledger_texts() == ["whole"]


async def test_stopping_ends_idle_connections_and_refuses_new_ones(site: Site) -> None:
    async with open_served(site.app) as address, httpx.AsyncClient(base_url=address) as http:
        assert (await http.get("/healthz")).status_code == 200
        host, port = address.removeprefix("http://").split(":")
        idle = await trio.open_tcp_stream(host, int(port))
    assert await idle.receive_some() == b""
    await idle.aclose()
    with pytest.raises(OSError, match="connect"):
        await trio.open_tcp_stream(host, int(port))


async def test_stopping_does_not_wait_for_a_slow_answer(visitor: Visitor, site: Site, address: str) -> None:
    await visitor.admin("faults", {"slow_s": 600})
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, site.app, listeners, stop)
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: m\r\n\r\n")
            await trio.testing.wait_all_tasks_blocked(0.05)
            stop.set()
            assert await stream.receive_some() == b""


async def test_stopping_does_not_wait_for_a_client_that_does_not_read() -> None:
    async def endless(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})  # type: ignore[operator]

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, endless, listeners, stop)
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: m\r\n\r\n")
            await stream.receive_some(1)
            await trio.testing.wait_all_tasks_blocked(0.05)
            stop.set()
            await trio.lowlevel.checkpoint()
            nursery.cancel_scope.deadline = trio.current_time() + 30  # a hang fails, it does not pass
            while nursery.child_tasks:
                await trio.testing.wait_all_tasks_blocked(0.05)
    assert not nursery.cancel_scope.cancelled_caught
