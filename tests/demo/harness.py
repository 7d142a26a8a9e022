"""What the tests of the bundled site share: the site in this process, a visitor, and a small DOM."""

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import httpx
import trio
from starlette.types import ASGIApp

from orchestrator.clock import Clock
from orchestrator.demo.accounts import Account
from orchestrator.demo.database import open_database
from orchestrator.demo.options import Options
from orchestrator.demo.server import serve
from orchestrator.demo.site import Site, build_site

NOON = 1_777_896_000.0
"""2026-05-04T12:00:00Z."""
HOUR = 3600.0
TOKEN = "a-token-for-tests"
ACCOUNTS = {
    "ada": Account("ada", "pass-of-ada", "Ada Green"),
    "bert": Account("bert", "pass-of-bert", "Bert"),
}
_VOID = {"meta", "link", "input", "br", "img", "hr", "path", "rect"}


@dataclass
class Moment:
    """A clock that a test sets by hand."""

    value: float = NOON

    def clock(self) -> Clock:
        return Clock(time=lambda: self.value)


@dataclass
class Node:
    """An element of a page."""

    tag: str
    attributes: dict[str, str]
    parent: "Node | None" = None
    children: list["Node | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def walk(self) -> Iterator["Node"]:
        yield self
        for child in self.children:
            if isinstance(child, Node):
                yield from child.walk()

    def all(self, selector: str) -> list["Node"]:
        """Elements that fit `tag`, `.class`, `#id`, `[name]`, `[name=value]` or a row of them, no spaces."""
        tests = [_test_of(part) for part in re.findall(r"[.#]?[\w-]+|\[[^]]+\]", selector)]
        return [node for node in self.walk() if all(test(node) for test in tests)]

    def one(self, selector: str) -> "Node":
        found = self.all(selector)
        assert len(found) == 1, f"{len(found)} elements fit {selector}"
        return found[0]

    def count(self, name: str) -> int:
        return int(self.one(f"[data-count={name}]").text)


def _test_of(part: str) -> Callable[[Node], bool]:
    if part.startswith("."):
        return lambda node: part[1:] in node.attributes.get("class", "").split()
    if part.startswith("#"):
        return lambda node: node.attributes.get("id") == part[1:]
    if part.startswith("["):
        name, equals, value = part[1:-1].partition("=")
        return lambda node: name in node.attributes and (not equals or node.attributes[name] == value)
    return lambda node: node.tag == part


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = self.open = Node("#document", {})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs}, self.open)
        self.open.children.append(node)
        if tag not in _VOID:
            self.open = node

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.children.append(Node(tag, {name: value or "" for name, value in attrs}, self.open))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.tag == tag, f"</{tag}> closes <{self.open.tag}>"
        assert self.open.parent is not None
        self.open = self.open.parent

    def handle_data(self, data: str) -> None:
        self.open.children.append(data)


def parse(html: str) -> Node:
    """The page as a tree; fails when an element is not closed properly."""
    builder = _Builder()
    builder.feed(html)
    builder.close()
    assert builder.open is builder.root, f"<{builder.open.tag}> is never closed"
    return builder.root


@dataclass
class Visitor:
    """A browser's worth of a person: cookies, forms, pages."""

    http: httpx.AsyncClient

    async def get(self, path: str, status: int = 200) -> Node:
        response = await self.http.get(path)
        assert response.status_code == status, response.text
        return parse(response.text)

    async def send_form(self, path: str, form_id: str, **fields: str) -> httpx.Response:
        """Load the page, fill its form and send it, with the hidden fields that the page put in."""
        form = (await self.get(path)).one(f"form#{form_id}")
        hidden = {
            node.attributes["name"]: node.attributes["value"] for node in form.all("input[type=hidden]")
        }
        return await self.http.post(form.attributes["action"], data={**hidden, **fields})

    async def sign_in(self, name: str = "ada", password: str | None = None) -> httpx.Response:
        password = ACCOUNTS[name].password if password is None else password
        return await self.send_form("/sign-in", "sign-in", username=name, password=password)

    async def write(self, text: str) -> httpx.Response:
        return await self.send_form("/compose", "compose", text=text)

    async def published(self, text: str) -> str:
        """Write a post that must be accepted; returns its reference."""
        response = await self.write(text)
        assert response.status_code == 303, response.text
        return response.headers["location"].removeprefix("/post/").removesuffix("?new=1")

    async def reply(self, reference: str, text: str) -> httpx.Response:
        return await self.send_form(f"/post/{reference}", "reply", text=text)

    async def admin(self, path: str, json: object = None) -> httpx.Response:
        """GET, or POST when there is a body, with the token."""
        headers = {"authorization": f"Bearer {TOKEN}"}
        if json is None:
            return await self.http.get(f"/admin/{path}", headers=headers)
        return await self.http.post(f"/admin/{path}", json=json, headers=headers)

    async def ledger_texts(self) -> list[str]:
        return [entry["text"] for entry in (await self.admin("ledger")).json()["posts"]]


@asynccontextmanager
async def open_site(directory: Path, clock: Clock, *, without: str = "") -> AsyncIterator[Site]:
    """The site on a database in `directory`, without a network, and without one of the accounts."""
    accounts = {name: account for name, account in ACCOUNTS.items() if name != without}
    options = Options("127.0.0.1", 0, directory, TOKEN, clock, accounts, seed=7, parent=None)
    with open_database(directory / "murmur.sqlite3") as database:
        site = await build_site(options, database)
        await site.accounts.provision(accounts)
        yield site


@asynccontextmanager
async def open_visitor(app: ASGIApp, client: str = "127.0.0.1") -> AsyncIterator[Visitor]:
    transport = httpx.ASGITransport(app, client=(client, 50_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://murmur.test") as http:
        yield Visitor(http)


@asynccontextmanager
async def open_served(app: ASGIApp) -> AsyncIterator[str]:
    """The app behind a real socket; yields its address."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, app, listeners, stop)  # noqa: ASYNC113 - the sockets listen already
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        stop.set()


async def exchange(address: str, request: bytes) -> bytes:
    """Send raw bytes on a connection of its own and return all that comes until the other side ends it."""
    host, _, port = address.removeprefix("http://").partition(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        await stream.send_all(request)
        received = b""
        with suppress(trio.BrokenResourceError):  # a reset ends it as well
            async for chunk in stream:
                received += chunk
        return received
