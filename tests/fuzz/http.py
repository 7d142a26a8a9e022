"""Requests for the HTTP port."""

import json
import re
from collections.abc import Callable, Sequence
from random import Random
from urllib.parse import quote, urlencode

from tests.fuzz.mutate import TEXTS, a_text, any_value, cut, mutated
from tests.fuzz.talk import Check, Talk, slowly

MOST = 20
"""Requests on one connection."""
METHODS = (
    "GET", "GET", "GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PRI",
    "G",
)  # fmt: skip
PATHS = (
    "/", "/livez", "/startupz", "/readyz", "/health", "/metrics", "/static/page.js", "/static/page.css",
    "/feed", "/feed?", "/api/v1/", "/api/v1/openapi.json", "*", "/livez/", "//livez",
    "/static/../page.html", "/%", "/%00", "/\x7e", "http://localhost/livez", "http://evil.example/livez",
    "[", "/[", "http://[", "@:", "?", "/%ed%a0%80",
)  # fmt: skip
LISTS = (
    "jobs", "runs", "posts", "drafts", "replies", "accounts", "leases", "insights", "alerts", "budget",
    "models",
)  # fmt: skip
ORDERS = ("pause", "resume", "jobs/{}/pause", "jobs/{}/resume", "jobs/{}/run", "drafts", "drafts/{}",
          "drafts/{}/approve", "drafts/{}/reject", "posts/{}/resolve")  # fmt: skip
PARAMETERS = (
    "limit", "offset", "cursor", "state", "account", "job", "ending", "name", "is_over", "site", "x",
)  # fmt: skip
FIELDS = ("account", "to", "text", "due_at", "decision", "reference", "x")
HEADERS = (
    "Accept: text/html", "Accept: */*;q=nan", "Accept-Encoding: br",
    "Accept-Encoding: gzip;q=0.1, br;q=x, *;q=-1", "Accept-Encoding: ,;,", "Upgrade: h2c",
    "Upgrade: websocket", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: !",
    "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: \xff", "Sec-WebSocket-Protocol: \xe9",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Origin: null", "Origin: http://evil.example",
    "Origin: http://localhost", "Cookie: a=b; a; =; \xff", "Range: bytes=0-", "Referer: \xff",
    "Authorization: Bearer", "Authorization: Basic \xff", "X-Forwarded-Host: evil.example",
    "Forwarded: host=evil.example", "TE: trailers", "If-None-Match: *", "Content-Type: application/json",
    "Keep-Alive: timeout=99999",
)  # fmt: skip
HOSTS = (
    "localhost", "localhost", "localhost", "127.0.0.1:8700", "[::1]", "evil.example", "localhost:", "[",
    "a@localhost", "",
)  # fmt: skip
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
FAULT = 500
FOR_FEED = re.compile(rb"GET /feed ")


def http_talk(rng: Random, token: str) -> Talk:
    """Requests without a body, each of which is answered, and one more that may be anything."""
    asked = [_request(rng, token) for _ in range(rng.randint(0, MOST))]
    if rng.random() < 0.5:
        end, says_end = rng.choice(_ENDS)(rng, _with_body(rng, token)), True
    else:
        end, says_end = _with_body(rng, token), False
    stage = [b"".join(request for _, request in asked), *slowly(rng, end)]
    methods = [method for method, _ in asked]
    if asked and FOR_FEED.match(asked[0][1]):
        del methods[1:]  # the connection is the feed's then, which answers once and ends it
    return Talk("http", len(asked) + 1, [stage], _answers(methods), rng.random() < 0.02, says_end)


def _request(rng: Random, token: str) -> tuple[str, bytes]:
    method = rng.choice(METHODS)
    return method, _head(method, _target(rng), _headers(rng, token))


def _with_body(rng: Random, token: str) -> bytes:
    """A request that is the last on its connection."""
    body = json.dumps({name: any_value(rng) for name in FIELDS if rng.random() < 0.4}).encode()
    if rng.random() < 0.2:
        body = mutated(rng, body)
    if rng.random() < 0.05:
        body = b"[" * rng.choice((1000, 65_000, 70_000))
    headers = [*_headers(rng, token), "Connection: close", "Content-Type: application/json"]
    if rng.random() < 0.1:
        headers.append("Expect: 100-continue")
    if rng.random() < 0.7:
        return _head("POST", _target(rng), [*headers, f"Content-Length: {len(body)}"]) + body
    chunks = b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n" if body else b"0\r\n\r\n"
    return _head("PATCH", _target(rng), [*headers, "Transfer-Encoding: chunked"]) + chunks


def _target(rng: Random) -> str:
    name = quote(a_text(rng).encode(errors="replace"), safe="")
    match rng.randrange(4):
        case 0:
            target = rng.choice(PATHS)
        case 1:
            target = f"/api/v1/{rng.choice(ORDERS).format(name)}"
        case 2:
            target = f"/api/v1/{rng.choice(LISTS)}/{name}"
        case _:
            target = f"/api/v1/{rng.choice(LISTS)}"
    if rng.random() < 0.5:
        texts = {
            rng.choice(PARAMETERS): a_text(rng).encode(errors="replace") for _ in range(rng.randint(1, 3))
        }
        target += f"?{urlencode(texts)}"
    return target


def _headers(rng: Random, token: str) -> list[str]:
    headers = [f"Host: {rng.choice(HOSTS)}", *rng.choices(HEADERS, k=rng.choice((0, 0, 1, 1, 3)))]
    if rng.random() < 0.5:
        headers.append(f"Authorization: Bearer {token}")
    return headers


def _head(method: str, target: str, headers: Sequence[str]) -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", *headers, "", ""]).encode("latin-1")


# ── requests that break the rules ───────────────────────────────────────────────────────────────


def _changed(rng: Random, request: bytes) -> bytes:
    return mutated(rng, request) or b"\x00"


def _cut(rng: Random, request: bytes) -> bytes:
    return cut(rng, request) or request[:1]


def _huge(rng: Random, request: bytes) -> bytes:
    line, _, rest = request.partition(b"\r\n")
    more = rng.choice(
        (b"X: " + b"a" * 20_000, b"\r\n".join([b"A: b"] * 3000), b"Host: localhost", b"Content-Length: 1")
    )
    return line + b"\r\n" + more + b"\r\n" + rest


def _old(rng: Random, request: bytes) -> bytes:
    return request.replace(b"HTTP/1.1", rng.choice((b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"")), 1)


def _http2(rng: Random, _request: bytes) -> bytes:
    block = b"\x82\x86" + rng.choice((b"\x04\x02/\xff", b"\x84", b"")) + b"\x01\x09localhost"
    headers = len(block).to_bytes(3, "big") + b"\x01\x05" + (1).to_bytes(4, "big") + block
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5) + headers


def _random(rng: Random, _request: bytes) -> bytes:
    return rng.randbytes(rng.randint(1, 300))


def _text(rng: Random, _request: bytes) -> bytes:
    return rng.choice(TEXTS).encode(errors="replace") + b"\r\n\r\n"


_ENDS: tuple[Callable[[Random, bytes], bytes], ...] = (
    _changed, _changed, _changed, _cut, _huge, _old, _http2, _random, _text,
)  # fmt: skip


# ── what comes back ─────────────────────────────────────────────────────────────────────────────


def _answers(methods: Sequence[str]) -> Check:
    """An answer to each of `methods`, and none that tells of a fault of ours."""

    def check(received: bytes) -> str:
        at, asked = 0, iter(methods)
        count = 0
        while (found := STATUS.match(received, at)) is not None:
            status = int(found[1])
            if status == FAULT:
                return f"answered {received[at : at + 200]!r}"
            if status >= 200:
                count += 1
            head_end = received.find(b"\r\n\r\n", at) + 4
            length = LENGTH.search(received, at, head_end)
            is_bare = status < 200 or next(asked, "") == "HEAD"
            at = head_end + (0 if is_bare or length is None else int(length[1]))
            if count > len(methods):
                break  # of what came last nobody knows what it was
        if count < len(methods):
            return f"{len(methods)} requests and {count} answers"
        return ""

    return check
