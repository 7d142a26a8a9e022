"""What the tests of the browser share: a small scripted site, a store in memory, a pool over them."""

import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
from playwright.async_api import Page

from orchestrator import aio
from orchestrator.browser.guard import HostRules
from orchestrator.browser.page import Answer, open_url
from orchestrator.browser.pool import ContextPool, open_pool
from orchestrator.settings import BrowserSettings


class MemoryStore:
    """A SessionStore that keeps what it gets."""

    def __init__(self) -> None:
        self.states: dict[str, bytes] = {}
        self.saves = 0

    async def load(self, account: str) -> bytes | None:
        return self.states.get(account)

    async def save(self, account: str, state: bytes) -> None:
        self.states[account] = state
        self.saves += 1


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the scripted site. `lost` ends the connection without a byte of it."""

    body: str = "<!doctype html><title>ok</title><h1>ok</h1>"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    lost: bool = False
    cut_at: int | None = None


@dataclass
class Site:
    """An HTTP server on one port. `pages` maps a path to a reply or to a function of the request."""

    port: int = 0
    pages: dict[str, Reply | Callable[[BaseHTTPRequestHandler], Reply]] = field(default_factory=dict)
    seen: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of every request that came."""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def hosts(self) -> frozenset[str]:
        return frozenset({self.host})

    def url(self, path: str = "/") -> str:
        return f"http://{self.host}{path}"

    async def open(self, page: Page, path: str = "/") -> Answer:
        """For `visit`."""
        return await open_url(page, self.url(path), HostRules.parse(self.hosts))


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            path = self.path.partition("?")[0]
            site.seen.append((self.command, path))
            self.rfile.read(int(self.headers.get("content-length", 0)))
            page = site.pages.get(path, Reply())
            reply = page if isinstance(page, Reply) else page(self)
            if reply.lost:
                self.close_connection = True
                return
            body = reply.body.encode()
            self.send_response(reply.status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[: reply.cut_at])
            self.close_connection |= reply.cut_at is not None

        do_GET = do_POST = do_HEAD = _answer  # noqa: N815 - the names that http.server calls

        def log_message(self, *_args: object) -> None:
            pass

    return Handler


@contextmanager
def serve(family: socket.AddressFamily = socket.AF_INET, host: str = "127.0.0.1") -> Iterator[Site]:
    """A scripted site on a free port while the block runs."""
    site = Site()

    class Server(ThreadingHTTPServer):
        address_family = family
        daemon_threads = True

        def handle_error(self, *_args: object) -> None:
            """Browsers break connections off all the time."""

    server = Server((host, 0), _handler(site))
    site.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@asynccontextmanager
async def pool_in(
    state_dir: Path, store: MemoryStore | None = None, capacity: int = 3, **settings: Any
) -> AsyncIterator[ContextPool]:
    """A bridge and a pool that keeps its files in `state_dir`."""
    async with aio.open_bridge():
        browser = BrowserSettings(**settings)
        async with open_pool(
            browser, state_dir=state_dir, store=store or MemoryStore(), capacity=capacity
        ) as pool:
            yield pool


def family_of(pid: int) -> list[psutil.Process]:
    """A process and all its descendants."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def still_there(family: list[psutil.Process], timeout_s: float = 5) -> list[psutil.Process]:
    """Those that have not ended within the time; ended ones that nobody has buried count as ended."""
    _, alive = psutil.wait_procs([p for p in family if not is_ended(p)], timeout=timeout_s, callback=None)
    return [process for process in alive if not is_ended(process)]


def is_ended(process: psutil.Process) -> bool:
    try:
        return bool(not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def of_kind(family: list[psutil.Process], kind: str) -> list[psutil.Process]:
    """The browser's processes of one kind, such as `renderer`; not those that have just ended."""
    found = []
    for process in family:
        with suppress(psutil.NoSuchProcess):
            if f"--type={kind}" in process.cmdline():
                found.append(process)
    return found


def has_ipv6() -> bool:
    return Path("/proc/net/if_inet6").exists() and os.access("/proc/net/if_inet6", os.R_OK)
