"""Errors as HTTP tells them: problem details (RFC 9457), one shape for all."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.errors import (
    ControlError,
    DatabaseRefusedError,
    DatabaseUnavailableError,
    FenceLostError,
    NotKeptError,
    NotReadyError,
    NotThereError,
    OrchestratorError,
    PostNotThereError,
    PostStateError,
    ReplyImpossibleError,
    RequestError,
)

MEDIA_TYPE = "application/problem+json"

STATUS: tuple[tuple[type[OrchestratorError], int], ...] = (
    (NotThereError, 404),
    (PostNotThereError, 404),
    (PostStateError, 409),
    (RequestError, 400),
    (NotReadyError, 503),
    (NotKeptError, 503),
    (DatabaseUnavailableError, 503),
    (DatabaseRefusedError, 503),
    (FenceLostError, 503),
    (ReplyImpossibleError, 422),
    (ControlError, 422),
)
"""Of an error the first that fits; all others are faults of ours."""


def status_of(error: OrchestratorError) -> int:
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def problem(
    status: int, detail: str, *, remedy: str = "", headers: Mapping[str, str] | None = None
) -> Response:
    """A response that says what is wrong with a request, in one line, and what to do about it."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if remedy:
        document["remedy"] = remedy
    body = (json.dumps(document, ensure_ascii=False) + "\n").encode(errors="replace")
    return Response(body, status, headers, media_type=MEDIA_TYPE)


async def of_http(request: Request, error: Exception) -> Response:
    """What the framework refuses: an unknown path, a method that is not for it."""
    assert isinstance(error, HTTPException)
    path = request.scope["raw_path"].decode("ascii")  # `request.url` does not read all that a target can be
    detail = f"{request.method} {path}: {error.detail}"
    return problem(error.status_code, detail, remedy="See: /api/v1/", headers=error.headers)


async def of_ours(_request: Request, error: Exception) -> Response:
    """An error of this program; of one that is no fault of the request only its kind is told."""
    assert isinstance(error, OrchestratorError)
    status = status_of(error)
    if status == 500:
        raise error
    return problem(status, str(error), remedy=error.remedy)
