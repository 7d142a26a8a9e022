"""One thing that may be asked over HTTP: what it takes, what it gives, and how a request comes to it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import structlog
import trio
from pydantic import TypeAdapter, ValidationError, create_model
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, compile_path

from orchestrator.errors import NotReadyError, RequestError
from orchestrator.web.api import mark
from orchestrator.web.guard import Token, is_forwarded, is_origin_allowed
from orchestrator.web.v1.documents import Document
from orchestrator.web.v1.queries import PATH, Body, Query

PREFIX = "/api/v1"
MAX_BODY_BYTES = 64 * 1024
BODY_S = 10.0
"""From a request's head to the end of its body."""
TIMEOUT_S = 30.0
"""A handler that takes longer is cancelled."""
COMPLAINTS_SHOWN = 3

log = structlog.get_logger("web")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that has been checked."""

    path: Any
    query: Any
    body: Any
    mark: Callable[[str], None]
    """Notes a checkpoint."""


@dataclass(frozen=True)
class Endpoint:
    """A method of a path. An OrchestratorError of its handler becomes a problem."""

    method: Literal["GET", "POST", "PATCH"]
    path: str
    """Below PREFIX; `{…}` stands for what `PATH` says."""
    name: str
    summary: str
    answer: type[Document]
    handler: Callable[[Asked], Awaitable[Document]]
    query: type[Query] = Query
    body: type[Body] | None = None
    status: int = 200
    refusals: tuple[int, ...] = ()
    """What it may answer besides, beyond what every request may be told."""

    @property
    def is_changing(self) -> bool:
        return self.method != "GET"

    @cached_property
    def path_names(self) -> list[str]:
        return list(compile_path(self.path)[2])

    @cached_property
    def path_model(self) -> type[Query]:
        fields: dict[str, Any] = {name: (PATH[name], ...) for name in self.path_names}
        return create_model(f"{self.name}_path", __base__=Query, **fields)


class Door:
    """Lets requests in, to their endpoints.

    Whatever changes something needs the token; reading needs it too where others than this machine can ask,
    and of a request that a proxy passes on.
    """

    def __init__(self, token: Token, *, is_open_to_read: bool) -> None:
        self._token = token
        self.is_open_to_read = is_open_to_read

    def routes(self, endpoints: Sequence[Endpoint]) -> list[Route]:
        """A route for each path, with all its methods: so a wrong one is told the right ones."""
        by_path: dict[str, dict[str, Endpoint]] = {}
        for endpoint in endpoints:
            by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
        return [self._route(path, found) for path, found in by_path.items()]

    def _route(self, path: str, found: Mapping[str, Endpoint]) -> Route:
        async def serve(request: Request) -> Response:
            endpoint = found["GET" if request.method == "HEAD" else request.method]
            self._check(endpoint, request)
            return await _answer(endpoint, request)

        return Route(f"{PREFIX}{path}", serve, methods=list(found))

    def _check(self, endpoint: Endpoint, request: Request) -> None:
        if not is_origin_allowed(request.headers):
            raise HTTPException(403, "a page of another site may not ask this")
        is_open = self.is_open_to_read and not is_forwarded(request.headers)
        needs_token = endpoint.is_changing or not is_open
        if needs_token and not self._token.is_shown(request.headers):
            log.warning("api_refused", method=endpoint.method, endpoint=endpoint.path)
            detail = "this needs the token: Authorization: Bearer TOKEN"
            raise HTTPException(401, detail, {"WWW-Authenticate": "Bearer"})


async def _answer(endpoint: Endpoint, request: Request) -> Response:
    asked = await _read(endpoint, request)
    mark(request, "request read")
    with trio.move_on_after(TIMEOUT_S) as patience:
        document = await endpoint.handler(asked)
    if patience.cancelled_caught:
        raise NotReadyError(f"{endpoint.name} did not end within {TIMEOUT_S:g} s", remedy="See the log")
    if endpoint.is_changing:
        log.info("api_order", endpoint=endpoint.name, path=request.scope["path"])
    content = document.model_dump_json().encode() + b"\n"
    mark(request, "answer written")
    return Response(content, endpoint.status, media_type="application/json")


async def _read(endpoint: Endpoint, request: Request) -> Asked:
    """Everything that the request says, checked. Raises RequestError and HTTPException."""
    try:
        path = endpoint.path_model(**request.path_params)
    except ValidationError as error:
        raise HTTPException(404, _complaint(error)) from None
    pairs = request.query_params.multi_items()
    given = dict(pairs)
    if len(given) != len(pairs):
        raise RequestError("a parameter appears twice")
    try:
        query = endpoint.query(**given)
        body = await _body(endpoint.body, request) if endpoint.body is not None else None
    except ValidationError as error:
        raise RequestError(_complaint(error), remedy=f"See: {PREFIX}/openapi.json") from None
    return Asked(path, query, body, lambda name: mark(request, name))


async def _body(kind: type[Body], request: Request) -> Body:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise HTTPException(415, "the body has to be application/json")
    received = bytearray()
    with trio.move_on_after(BODY_S) as patience:
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                received += chunk
                if len(received) > MAX_BODY_BYTES:
                    raise HTTPException(413, f"the body has more than {MAX_BODY_BYTES} bytes")
    if patience.cancelled_caught:
        raise HTTPException(408, f"the body was not complete after {BODY_S:g} s")
    return kind.model_validate_json(bytes(received))


def _complaint(error: ValidationError) -> str:
    """What is wrong, in one line; no value is shown."""
    found = [
        f"{'.'.join(map(str, one['loc'])) or 'the body'}: {one['msg'].removeprefix('Value error, ')}"
        for one in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    return "; ".join(found[:COMPLAINTS_SHOWN])


def schema_of(kind: Any) -> dict[str, Any]:
    """The JSON schema of a path's parameter."""
    return TypeAdapter(kind).json_schema()
