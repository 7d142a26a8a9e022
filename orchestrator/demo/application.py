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
    async def error_page(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        detail = error.detail if isinstance(error, HTTPException) else ""
        title = HTTPStatus(status).phrase
        message = _MESSAGES.get(status, detail)
        page = parts.renderer.page(request, "error.html", status=status, title=title, message=message)
        page.headers.update((error.headers if isinstance(error, HTTPException) else None) or {})
        return page

    async def health(_request: Request) -> Response:
        parts.database.one("SELECT 1")
        return JSONResponse({"status": "ok", "shown_time": iso(parts.clock.timestamp())})

    async def robots(_request: Request) -> Response:
        return PlainTextResponse(ROBOTS)

    starlette = Starlette(
        routes=[
            *parts.pages.routes(),
            *parts.admin.routes(),
            Route("/healthz", health),
            Route("/robots.txt", robots),
            *(_static_route(name, media_type) for name, media_type in _STATIC_TYPES.items()),
        ],
        exception_handlers={HTTPException: error_page, Exception: error_page},
        max_body_size=MAX_BODY_BYTES,
    )
    return Edge(FaultyApp(starlette, parts.faults))


def _static_route(name: str, media_type: str) -> Route:
    content = (HERE / "static" / name).read_bytes()

    async def file(_request: Request) -> Response:
        return Response(content, media_type=media_type, headers=_STATIC_HEADERS)

    return Route(f"/static/{name}", file)
