"""The host guard: which hosts a context may reach, and the dead end where all other requests go.

Each context gets the guard as its proxy, with the allowed hosts as exceptions. Chromium reaches those
directly, at no cost to us; every other request (redirects, subresources, WebSockets, workers, other
ports of this machine) arrives at the guard's listener, which refuses it and counts the host.
"""

import ipaddress
import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog
import trio

log = structlog.get_logger("browser.guard")

HEAD_LIMIT_BYTES = 8192
HEAD_TIMEOUT_S = 5
CONNECTION_LIMIT = 64
COUNTED_HOSTS = 200
"""Hosts counted one by one; a page that asks for more is counted under `OTHERS`."""
OTHERS = "(others)"

DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
NAME = re.compile(rf"(?=.{{1,253}}$){LABEL}(\.{LABEL})*")


@dataclass(frozen=True, slots=True)
class HostRule:
    """One allowed host: exact, or with `*.` before it all names below it; any port when None."""

    host: str
    port: int | None = None
    is_wildcard: bool = False

    @classmethod
    def parse(cls, text: str) -> "HostRule":
        """Read `example.org`, `example.org:8080`, `*.example.org`, `127.0.0.1:80` or `[::1]:80`.

        Raises ValueError for all else: Chromium's bypass list gives a meaning to commas, slashes,
        and words in angle brackets, so nothing of that kind may get in.
        """
        head, port = _split_port(text.strip().lower())
        is_wildcard = head.startswith("*.")
        host = head.removeprefix("*.")
        is_name = NAME.fullmatch(host) is not None and not host.rpartition(".")[2].isdecimal()
        if not is_name and (is_wildcard or not _is_address(host)):
            raise ValueError(f"{text!r} is not a host, host:port or *.domain")
        if port and not (port.isdecimal() and 1 <= int(port) <= 65535):
            raise ValueError(f"{text!r} has no valid port")
        return cls(host, int(port) if port else None, is_wildcard)

    def matches(self, host: str, port: int) -> bool:
        if self.port not in (None, port):
            return False
        return host.endswith(f".{self.host}") if self.is_wildcard else host == self.host

    def bypass(self) -> str:
        """The rule as Chromium's proxy bypass list writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'*.' if self.is_wildcard else ''}{host}{f':{self.port}' if self.port else ''}"


def _split_port(text: str) -> tuple[str, str]:
    bracketed = re.fullmatch(r"\[([^]]*)\](?::(.*))?", text)
    if bracketed is not None:
        return bracketed[1], bracketed[2] or ""
    host, _, port = text.partition(":")
    return host, port


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class HostRules:
    """All hosts that one context may reach."""

    rules: tuple[HostRule, ...]

    @classmethod
    def parse(cls, hosts: Iterable[str]) -> "HostRules":
        return cls(tuple(HostRule.parse(host) for host in sorted(hosts)))

    def allows(self, url: str) -> bool:
        """Whether `url` is a http(s) address of an allowed host."""
        try:
            parts = urlsplit(url)
            port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
        except ValueError:
            return False
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            return False
        host = parts.hostname
        return any(rule.matches(host, port) for rule in self.rules)

    def bypass(self) -> str:
        """Chromium's bypass list. `<-loopback>` takes away its built-in exception for this machine."""
        return ",".join(["<-loopback>", *(rule.bypass() for rule in self.rules)])


class Guard:
    """The listener that refuses. `refused` counts requests by host and port."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.refused: Counter[str] = Counter()
        self.probe_mark = secrets.token_hex(8)
        self._limiter = trio.CapacityLimiter(CONNECTION_LIMIT)

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def probe_url(self) -> str:
        """A page of our own that shows `probe_mark`; only the pool's probe is let through to it."""
        return f"{self.url}/{self.probe_mark}"

    async def _serve(self, stream: trio.SocketStream) -> None:
        async with stream, self._limiter:
            try:
                with trio.move_on_after(HEAD_TIMEOUT_S):
                    head = await _read_head(stream)
                    await stream.send_all(self._answer(head.partition(b"\r\n")[0].decode("latin-1")))
                    await stream.send_eof()
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                log.debug("guard_connection_lost", error=repr(error))

    def _answer(self, request_line: str) -> bytes:
        method, _, rest = request_line.partition(" ")
        target = rest.partition(" ")[0]
        if method == "GET" and target == f"/{self.probe_mark}":
            return _response("200 OK", f"<!doctype html><title>{self.probe_mark}</title>")
        if method:
            self._count(method, target)
        return _response("403 Forbidden", "<!doctype html><title>refused by the host guard</title>")

    def _count(self, method: str, target: str) -> None:
        host = target if method == "CONNECT" else _host_of(target)
        is_new = host not in self.refused
        if is_new and len(self.refused) >= COUNTED_HOSTS:
            host, is_new = OTHERS, OTHERS not in self.refused
        self.refused[host] += 1
        if is_new:
            log.warning("host_refused", host=host)


def _host_of(target: str) -> str:
    try:
        return urlsplit(target).netloc.rpartition("@")[2][:260] or "(none)"
    except ValueError:
        return "(none)"


def _response(status: str, body: str) -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    ).encode()


async def _read_head(stream: trio.SocketStream) -> bytes:
    head = bytearray()
    while b"\r\n\r\n" not in head and len(head) < HEAD_LIMIT_BYTES:
        chunk = await stream.receive_some(4096)
        if not chunk:
            break
        head += chunk
    return bytes(head)


@asynccontextmanager
async def open_guard() -> AsyncIterator[Guard]:
    """Listen on any free port of 127.0.0.1 while the block runs."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    guard = Guard(listener.socket.getsockname()[1])
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, guard._serve, [listener])
        try:
            yield guard
        except Exception as error:  # noqa: BLE001 - it is raised again below
            failure = error  # out of the nursery it would come wrapped in a group
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
