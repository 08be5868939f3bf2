"""The table of endpoints -> the OpenAPI 3.1 document: bodies, replies and statuses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from qwen3_reranker.serve.json_http import StaticJson
from qwen3_reranker.serve.routes.base import HttpEndpoint

_MEANINGS = {
    200: "Done.",
    400: "The request cannot be used as it is; `param` says where.",
    401: "No valid API key.",
    402: "The key's credit does not cover the request.",
    403: "The key is not allowed to do this.",
    404: "No such model or key, or nothing at this path.",
    408: "The body took too long to arrive.",
    409: "The state of the key does not allow this.",
    413: "The body has too many bytes.",
    415: "The body is a form, or compressed with something else than gzip.",
    422: "The request cannot be used as it is.",
    424: "The model failed.",
    429: "A limit of the key is reached, or there is no capacity; `Retry-After` says when to come again.",
    500: "The model failed.",
    503: "No capacity, or not ready; `Retry-After` says when to come again.",
    504: "The deadline passed before the answer was ready.",
}
_ONLY_WITH_KEYS = frozenset({401, 402, 403})


def openapi_endpoint(others: Sequence[HttpEndpoint], version: str, *, keyed: bool, root_path: str = "") -> HttpEndpoint:
    """The endpoint of the document that describes the others and itself. root_path: where a proxy shows the server."""

    async def answer(request: Request) -> Response:
        return static.answer(request)

    endpoint = HttpEndpoint(
        "GET", "/openapi.json", answer, "The OpenAPI document", "operations", replies=(dict[str, object],), public=True
    )
    document = openapi([*others, endpoint], version, keyed=keyed)
    static = StaticJson({**document, "servers": [{"url": root_path or "/"}]})
    return endpoint


def openapi(endpoints: Sequence[HttpEndpoint], version: str, *, keyed: bool) -> dict[str, Any]:
    """The document of the endpoints that are documented. keyed: whether keys are on; else 401 to 403 cannot occur."""
    endpoints = [endpoint for endpoint in endpoints if endpoint.documented]
    shapes = {id(shape): shape for endpoint in endpoints for shape in endpoint.shapes}
    schemas, definitions = TypeAdapter.json_schemas(
        [(key, "validation", TypeAdapter(shape)) for key, shape in shapes.items()],
        ref_template="#/components/schemas/{model}",
    )
    by_shape = {key: schema for (key, _), schema in schemas.items()}
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        operation = _operation(endpoint, by_shape, keyed)
        paths.setdefault(endpoint.documented_path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "qwen3_reranker",
            "version": version,
            "description": "Rerank documents with Qwen3-Reranker models, in the wire formats of other rerankers.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
        "security": [{"bearer": []}, {"header": []}] if keyed else [],
    }


def _operation(endpoint: HttpEndpoint, schemas: Mapping[int, Any], keyed: bool) -> dict[str, Any]:
    def content(shapes: Sequence[Any]) -> dict[str, Any]:
        found = [schemas[id(shape)] for shape in shapes]
        return {"application/json": {"schema": found[0] if len(found) == 1 else {"anyOf": found}}}

    replies = content(endpoint.replies) if endpoint.replies else {endpoint.media: {"schema": {"type": "string"}}}
    responses: dict[str, Any] = {"200": {"description": _MEANINGS[200], "content": replies}}
    for status, shapes in endpoint.errors.items():
        if keyed or status not in _ONLY_WITH_KEYS:
            responses[str(status)] = {"description": _MEANINGS[status], "content": content(shapes)}
            if status in (429, 503):
                responses[str(status)]["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    operation: dict[str, Any] = {
        "operationId": endpoint.id,
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "responses": responses,
    }
    if endpoint.requests:
        operation["requestBody"] = {"required": True, "content": content(endpoint.requests)}
    if names := re.findall(r"{(\w+)", endpoint.path):
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if endpoint.public:
        operation["security"] = []
    return operation
