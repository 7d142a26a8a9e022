"""Answers above 1 KB are compressed for whoever can read that."""

import gzip

import brotli
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from orchestrator.web.api import make_app
from orchestrator.web.compression import MIN_BYTES, Compression, coding_for

LONG = "word " * 1000


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", None),
        ("gzip", "gzip"),
        ("br", "br"),
        ("gzip, br", "br"),
        ("GZIP, deflate, zstd", "gzip"),
        ("gzip;q=1.0, br;q=0.5", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=0, *", "br"),
        ("*", "br"),
        ("*;q=0", None),
        ("identity", None),
        ("br;q=high, gzip", "gzip"),
        (",;,", None),
    ],
)
def test_the_best_coding_that_the_client_takes(accepted: str, coding: str | None) -> None:
    assert coding_for(accepted) == coding


async def ask(app: Starlette, path: str, accepted: str, method: str = "GET") -> httpx.Response:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        request = client.build_request(method, path, headers={"accept-encoding": accepted})
        answer = await client.send(request, stream=True)
        raw = b"".join([part async for part in answer.aiter_raw()])
        await answer.aclose()
    return httpx.Response(answer.status_code, headers={**answer.headers, "x-raw": raw.hex()})


def an_app() -> Starlette:
    async def long(_request: Request) -> Response:
        return PlainTextResponse(LONG)

    async def short(_request: Request) -> Response:
        return PlainTextResponse("x" * (MIN_BYTES - 1))

    async def packed(_request: Request) -> Response:
        return PlainTextResponse(LONG, headers={"Content-Encoding": "zstd"})

    async def pieces(_request: Request) -> Response:
        return StreamingResponse(iter([LONG, LONG]))

    app = Starlette(
        routes=[
            Route("/long", long),
            Route("/short", short),
            Route("/packed", packed),
            Route("/pieces", pieces),
        ]
    )
    app.add_middleware(Compression)
    return app


@pytest.mark.parametrize("coding", ["gzip", "br"])
async def test_a_long_answer_is_packed_and_can_be_unpacked(coding: str) -> None:
    answer = await ask(an_app(), "/long", coding)
    raw = bytes.fromhex(answer.headers["x-raw"])
    unpacked = gzip.decompress(raw) if coding == "gzip" else brotli.decompress(raw)
    assert unpacked.decode() == LONG
    assert answer.headers["content-encoding"] == coding
    assert answer.headers["content-length"] == str(len(raw))
    assert answer.headers["vary"] == "Accept-Encoding"
    assert len(raw) < len(LONG) / 10


@pytest.mark.parametrize(
    ("path", "accepted"), [("/short", "br"), ("/long", ""), ("/packed", "br"), ("/pieces", "br")]
)
async def test_what_is_short_or_not_to_be_packed_goes_as_it_is(path: str, accepted: str) -> None:
    answer = await ask(an_app(), path, accepted)
    assert answer.headers.get("content-encoding") == ("zstd" if path == "/packed" else None)
    assert len(bytes.fromhex(answer.headers["x-raw"])) in (MIN_BYTES - 1, len(LONG), 2 * len(LONG))
    assert ("vary" in answer.headers) is (path == "/long")


async def test_the_application_packs_its_answers() -> None:
    app = make_app(look=lambda: (True, {}), metrics=LONG.encode)
    answer = await ask(app, "/metrics", "gzip")
    assert gzip.decompress(bytes.fromhex(answer.headers["x-raw"])).decode() == LONG
    assert answer.headers["x-response-time"].endswith("ms")
