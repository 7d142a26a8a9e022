"""The live page: its files, which are part of the package and need nothing from elsewhere."""

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing from elsewhere, no script within the page, and no page around ours."""
HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache", "Referrer-Policy": "no-referrer"}


def page_routes() -> list[Route]:
    """`/static/…`, each file of the page; `show_page` shows the page itself."""
    return [_route(name) for name in _contents if name != "page.html"]


def show_page() -> Response:
    return _answer("page.html")


def _read() -> dict[str, bytes]:
    folder = files("orchestrator.web").joinpath("static")
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.name.endswith(tuple(KINDS))}


_contents = _read()


def _route(name: str) -> Route:
    async def show(_request: Request) -> Response:
        return _answer(name)

    return Route(f"/static/{name}", show)


def _answer(name: str) -> Response:
    kind = KINDS[name[name.rindex(".") :]]
    return Response(_contents[name], media_type=kind, headers=HEADERS)
