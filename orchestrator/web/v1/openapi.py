"""The OpenAPI description of the endpoints, made of the same models that check requests and shape answers."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from pydantic.json_schema import JsonSchemaMode, models_json_schema

import orchestrator
from orchestrator.web.problem import MEDIA_TYPE
from orchestrator.web.v1.documents import Document, Problem
from orchestrator.web.v1.endpoint import PREFIX, Endpoint, schema_of
from orchestrator.web.v1.queries import PATH, Body

Node = dict[str, Any]

_REFERENCE = "#/components/schemas/{model}"
_OF_ALL = (400, 401, 403, 500, 503)
"""401: of reading too, for whom a proxy passes on."""
_OF_BODIES = (408, 413, 415)

ABOUT = """What the daemon does, and what a person may order.

Long lists are read a page at a time: `next_cursor` of one page is `cursor` of the next, with the same
filters. Rows that come or go meanwhile neither move a page nor make it skip or repeat another row. Whatever
changes something needs the token. Errors are problem details (RFC 9457) with a `remedy`."""


def describe(endpoints: Sequence[Endpoint], *, is_open_to_read: bool) -> Node:
    """The description as plain data."""
    paths: dict[str, Node] = {}
    for endpoint in endpoints:
        operations = paths.setdefault(endpoint.path, {})
        operations[endpoint.method.lower()] = _operation(endpoint, is_open_to_read)
    return {
        "openapi": "3.1.0",
        "info": {"title": "orchestrator", "version": orchestrator.__version__, "description": ABOUT},
        "servers": [{"url": PREFIX}],
        "paths": paths,
        "components": {
            "schemas": _schemas(endpoints),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _schemas(endpoints: Sequence[Endpoint]) -> Node:
    kinds: dict[type[Document | Body], JsonSchemaMode] = {Problem: "serialization"}
    for endpoint in endpoints:
        kinds[endpoint.answer] = "serialization"
        if endpoint.body is not None:
            kinds[endpoint.body] = "validation"
    _, found = models_json_schema(list(kinds.items()), ref_template=_REFERENCE)
    schemas: Node = found["$defs"]
    return schemas


def _operation(endpoint: Endpoint, is_open_to_read: bool) -> Node:
    needs_token = endpoint.is_changing or not is_open_to_read
    operation: Node = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "parameters": [*_in_path(endpoint), *_in_query(endpoint)],
        "responses": {
            str(endpoint.status): _response(endpoint.status, "application/json", endpoint.answer.__name__),
            **{
                str(status): _response(status, MEDIA_TYPE, Problem.__name__) for status in _refusals(endpoint)
            },
        },
    }
    if needs_token:
        operation["security"] = [{"token": []}]
    if endpoint.body is not None:
        schema = {"$ref": _REFERENCE.format(model=endpoint.body.__name__)}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _refusals(endpoint: Endpoint) -> list[int]:
    found = {*_OF_ALL, *endpoint.refusals}
    if endpoint.body is not None:
        found |= {*_OF_BODIES}
    if endpoint.path_names:
        found.add(404)
    return sorted(found)


def _response(status: int, media_type: str, model: str) -> Node:
    schema = {"$ref": _REFERENCE.format(model=model)}
    return {"description": HTTPStatus(status).phrase, "content": {media_type: {"schema": schema}}}


def _in_path(endpoint: Endpoint) -> list[Node]:
    return [
        {"name": name, "in": "path", "required": True, "schema": schema_of(PATH[name])}
        for name in endpoint.path_names
    ]


def _in_query(endpoint: Endpoint) -> list[Node]:
    schema = endpoint.query.model_json_schema()
    found = []
    for name, node in schema.get("properties", {}).items():
        node = _inlined(_without_null(node), schema.get("$defs", {}))
        found.append({"name": name, "in": "query", "required": False, "schema": node})
    return found


def _without_null(node: Node) -> Node:
    """A parameter is there or not; there is no null in a query."""
    arms = [arm for arm in node.get("anyOf", ()) if arm != {"type": "null"}]
    rest = {key: value for key, value in node.items() if key not in ("anyOf", "default", "title")}
    if "anyOf" not in node:
        return {key: value for key, value in node.items() if key != "title"}
    return rest | (arms[0] if len(arms) == 1 else {"anyOf": arms})


def _inlined(node: Any, definitions: Node) -> Any:
    """`node` with what it refers to in its place."""
    if isinstance(node, dict):
        if "$ref" in node:
            return _inlined(definitions[node["$ref"].rpartition("/")[2]], definitions)
        return {key: _inlined(value, definitions) for key, value in node.items()}
    return [_inlined(part, definitions) for part in node] if isinstance(node, list) else node
