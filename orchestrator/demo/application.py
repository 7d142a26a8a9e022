"""Builds the site as one ASGI application out of its parts."""

from dataclasses import dataclass
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from orchestrator.clock import Clock
from orchestrator.demo.admin import Admin
from orchestrator.demo.database import Database
from orchestrator.demo.edge import Edge
from orchestrator.demo.faults import Faults, FaultyApp
from orchestrator.demo.pages import ROBOTS, Pages
from orchestrator.demo.posts import Posts
from orchestrator.demo.rendering import HERE, Renderer, iso

MAX_BODY_BYTES = 64 * 1024
_STATIC_TYPES = {"murmur.css": "text/css", "murmur.svg": "image/svg+xml"}
_STATIC_HEADERS = {"cache-control": "public, max-age=3600"}
_MESSAGES = {
    404: "There is nothing at this address. It may have been a good post once.",
    405: "This page can't be asked that way.",
    500: "Something broke on our side. Please try again.",
}


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application is made of."""

    database: Database
    posts: Posts
    renderer: Renderer
    pages: Pages
    admin: Admin
    faults: Faults
    clock: Clock


def build_app(parts: Parts) -> ASGIApp:
    basics = _Basics(parts)
    starlette = Starlette(
        routes=[
            *parts.pages.routes(),
            *parts.admin.routes(),
            Route("/healthz", basics.health),
            Route("/robots.txt", basics.robots),
            *(
                Route(f"/static/{name}", _File((HERE / "static" / name).read_bytes(), media_type).send)
                for name, media_type in _STATIC_TYPES.items()
            ),
        ],
        exception_handlers={HTTPException: basics.error_page, Exception: basics.error_page},
        max_body_size=MAX_BODY_BYTES,
    )
    return Edge(FaultyApp(starlette, parts.faults))


class _Basics:
    """What every site has: health, robots.txt, a page for each error."""

    def __init__(self, parts: Parts) -> None:
        self._database = parts.database
        self._renderer = parts.renderer
        self._clock = parts.clock

    async def health(self, _request: Request) -> Response:
        self._database.one("SELECT 1")
        return JSONResponse({"status": "ok", "shown_time": iso(self._clock.timestamp())})

    async def robots(self, _request: Request) -> Response:
        return PlainTextResponse(ROBOTS)

    async def error_page(self, request: Request, error: Exception) -> Response:
        http = error if isinstance(error, HTTPException) else HTTPException(500)
        page = self._renderer.page(
            request,
            "error.html",
            status=http.status_code,
            title=HTTPStatus(http.status_code).phrase,
            message=_MESSAGES.get(http.status_code, http.detail),
        )
        page.headers.update(http.headers or {})
        return page


@dataclass(frozen=True, slots=True)
class _File:
    """A file that is served from memory."""

    content: bytes
    media_type: str

    async def send(self, _request: Request) -> Response:
        return Response(self.content, media_type=self.media_type, headers=_STATIC_HEADERS)
