"""Which hosts and origins are let in: to read, to order and to listen."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

import pytest
import trio

from orchestrator.control.verbs import asker, verbs_of
from orchestrator.metrics import Metrics
from orchestrator.web.api import allowed_hosts, is_host_allowed, make_app
from orchestrator.web.feed.connection import PATH, Gate
from orchestrator.web.feed.feed import Feed
from orchestrator.web.feed.patch import Document
from orchestrator.web.guard import Token
from orchestrator.web.serve import Upgrade, serve_http
from orchestrator.web.v1.routes import make_routes
from tests.fakes import Work, a_job, a_stage, make_house

TOKEN = "a token of tests"
ALLOWED = ("pi.example", "192.0.2.7", "[fd00::1]")
"""As `http.host` and `http.allowed_hosts` give them."""

Statuses = tuple[int, int, int, int]
"""Of `/livez`, which says nothing and asks for nothing, a reading request, an order, and the feed."""

LET_IN: Statuses = (200, 200, 200, 101)
NO_SUCH_HOST: Statuses = (400, 400, 400, 400)
PASSED_ON: Statuses = (200, 401, 200, 101)
"""A proxy's request: who reads has to show the token too."""
FOREIGN_PAGE: Statuses = (200, 403, 403, 403)
NOT_SERVED: Statuses = (404, 404, 404, 404)

OWN = "Host: localhost:8700"


@dataclass(frozen=True)
class Case:
    """A request's head, beside method and path."""

    headers: tuple[str, ...]
    statuses: Statuses
    target: str = ""
    """What stands before the path."""
    version: str = "1.1"

    @property
    def name(self) -> str:
        return f"{self.target} {self.version} {' '.join(self.headers)}"


def host(value: str, statuses: Statuses) -> Case:
    return Case((f"Host: {value}",), statuses)


def origin(*values: str, statuses: Statuses, of: str = OWN) -> Case:
    return Case((of, *(f"Origin: {value}" for value in values)), statuses)


CASES = [
    # ── names of ours
    host("localhost", LET_IN),
    host("LOCALHOST", LET_IN),
    host("LocalHost:8700", LET_IN),
    host("127.0.0.1", LET_IN),
    host("127.0.0.1:1", LET_IN),
    host("[::1]", LET_IN),
    host("[::1]:8700", LET_IN),
    host("pi.example", LET_IN),
    host("PI.Example:443", LET_IN),
    host("192.0.2.7:8700", LET_IN),
    host("[fd00::1]:8700", LET_IN),
    host("[FD00::1]", LET_IN),
    # ── names of others, and ours written so that they could be somebody else's
    host("evil.example", NO_SUCH_HOST),
    host("evil.example:8700", NO_SUCH_HOST),
    host("localhost.", NO_SUCH_HOST),
    host("localhost.:8700", NO_SUCH_HOST),
    host("pi.example.", NO_SUCH_HOST),
    host("localhost.evil.example", NO_SUCH_HOST),
    host("127.0.0.1.evil.example", NO_SUCH_HOST),
    host("pi.example.evil.example", NO_SUCH_HOST),
    host("evil.pi.example", NO_SUCH_HOST),
    host("evilpi.example", NO_SUCH_HOST),
    host("127.0.0.2", NO_SUCH_HOST),
    host("127.1", NO_SUCH_HOST),
    host("2130706433", NO_SUCH_HOST),
    host("0x7f000001", NO_SUCH_HOST),
    host("0.0.0.0", NO_SUCH_HOST),
    host("[::]", NO_SUCH_HOST),
    host("[::ffff:127.0.0.1]", NO_SUCH_HOST),
    host("[::1%25lo]", NO_SUCH_HOST),
    host("::1", NO_SUCH_HOST),
    host("[::1", NO_SUCH_HOST),
    host("user@localhost", NO_SUCH_HOST),
    host("localhost@evil.example", NO_SUCH_HOST),
    host("localhost:80@evil.example", NO_SUCH_HOST),
    host("localhost:", NO_SUCH_HOST),
    host("localhost:http", NO_SUCH_HOST),
    host("localhost:-1", NO_SUCH_HOST),
    host("localhost:999999", NO_SUCH_HOST),
    host("localhost:8700:8700", NO_SUCH_HOST),
    host("localhost,evil.example", NO_SUCH_HOST),
    host("localhost evil.example", NO_SUCH_HOST),
    host("localhost/", NO_SUCH_HOST),
    host("http://localhost", NO_SUCH_HOST),
    host("*", NO_SUCH_HOST),
    host("", NO_SUCH_HOST),
    Case((), NO_SUCH_HOST),
    Case((), NO_SUCH_HOST, version="1.0"),
    Case((OWN, OWN), NO_SUCH_HOST),
    Case((OWN, "Host: evil.example"), NO_SUCH_HOST),
    Case(("Host: evil.example", OWN), NO_SUCH_HOST),
    Case(("Host: evil.example", "X-Forwarded-Host: localhost"), NO_SUCH_HOST),
    Case((OWN, "X-Forwarded-Host: evil.example"), PASSED_ON),
    Case((OWN, "Forwarded: host=localhost"), PASSED_ON),
    # ── targets with a host of their own
    Case((OWN,), NOT_SERVED, target="http://localhost:8700"),
    Case((OWN,), NOT_SERVED, target="http://evil.example"),
    Case((OWN,), NOT_SERVED, target="//evil.example"),
    Case(("Host: evil.example",), NO_SUCH_HOST, target="http://localhost:8700"),
    # ── pages of ours
    origin("http://localhost:8700", statuses=LET_IN),
    origin("HTTP://LOCALHOST:8700", statuses=LET_IN),
    origin("https://localhost:8700", statuses=LET_IN),
    origin("http://pi.example", of="Host: pi.example", statuses=LET_IN),
    origin("https://pi.example", of="Host: PI.example", statuses=LET_IN),
    origin("http://[::1]:8700", of="Host: [::1]:8700", statuses=LET_IN),
    # ── pages of others
    origin("null", statuses=FOREIGN_PAGE),
    origin("", statuses=FOREIGN_PAGE),
    origin("http://evil.example", statuses=FOREIGN_PAGE),
    origin("http://localhost", statuses=FOREIGN_PAGE),
    origin("http://localhost:8701", statuses=FOREIGN_PAGE),
    origin("http://localhost:87000", statuses=FOREIGN_PAGE),
    origin("http://127.0.0.1:8700", statuses=FOREIGN_PAGE),
    origin("http://localhost.:8700", statuses=FOREIGN_PAGE),
    origin("http://localhost:8700.evil.example", statuses=FOREIGN_PAGE),
    origin("http://localhost:8700@evil.example", statuses=FOREIGN_PAGE),
    origin("http://user@localhost:8700", statuses=FOREIGN_PAGE),
    origin("http://evil.localhost:8700", statuses=FOREIGN_PAGE),
    origin("http://evillocalhost:8700", statuses=FOREIGN_PAGE),
    origin("http://localhost:8700/", statuses=FOREIGN_PAGE),
    origin("http://localhost:8700, http://evil.example", statuses=FOREIGN_PAGE),
    origin("http://localhost:8700", "http://evil.example", statuses=FOREIGN_PAGE),
    origin("http://evil.example", "http://localhost:8700", statuses=FOREIGN_PAGE),
    origin("ws://localhost:8700", statuses=FOREIGN_PAGE),
    origin("localhost:8700", statuses=FOREIGN_PAGE),
    origin("file://", statuses=FOREIGN_PAGE),
    origin("chrome-extension://abcdefgh", statuses=FOREIGN_PAGE),
    origin("http://sub.pi.example", of="Host: pi.example", statuses=FOREIGN_PAGE),
    origin("http://localhost:8700", of="Host: pi.example", statuses=FOREIGN_PAGE),
    origin("http://evil.example", of="Host: evil.example", statuses=NO_SUCH_HOST),
]


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async def look() -> Document:
        return {}

    async with a_stage([a_job("plan", Work(is_held=True))]) as stage, trio.open_nursery() as nursery:
        house = make_house(stage)
        ask = asker(verbs_of(house, lambda _who: None), "api")
        more = make_routes(house, ask, Token(TOKEN), is_open_to_read=True)
        app = make_app(look=lambda: (True, {}), metrics=lambda: b"", hosts=ALLOWED, more=more)
        is_host = partial(is_host_allowed, hosts=allowed_hosts(ALLOWED))
        gate = Gate(Feed(look, Metrics()), Token(TOKEN), is_host)
        serve = partial(serve_http, app, "127.0.0.1", 0, upgrade=Upgrade(PATH, gate.serve))
        yield await nursery.start(serve)
        nursery.cancel_scope.cancel()


async def status_of(port: int, case: Case, method: str, path: str, *headers: str) -> int:
    lines = [f"{method} {case.target}{path} HTTP/{case.version}", *case.headers, *headers, "", ""]
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all("\r\n".join(lines).encode())
        answer = bytes(await stream.receive_some())
    return int(answer.split()[1])


async def test_who_is_let_in(port: int) -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 40
    found = {case.name: await statuses_of(port, case) for case in CASES}
    assert found == {case.name: case.statuses for case in CASES}


async def statuses_of(port: int, case: Case) -> Statuses:
    asked = partial(status_of, port, case)
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    return (
        await asked("GET", "/livez"),
        await asked("GET", "/api/v1/jobs"),
        await asked("POST", "/api/v1/jobs/plan/run", f"Authorization: Bearer {TOKEN}"),
        await asked(
            "GET", PATH, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", key
        ),
    )


async def test_no_order_is_taken_without_the_token_wherever_it_comes_from(port: int) -> None:
    for case in CASES:
        if case.statuses is LET_IN:
            assert await status_of(port, case, "POST", "/api/v1/jobs/plan/run") == 401
