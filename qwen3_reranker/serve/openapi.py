"""The table of routes -> the OpenAPI 3.1 document: what goes in, what comes out, and every status that can occur."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from qwen3_reranker.serve.dialects.embeddings import OpenAIEmbeddings
from qwen3_reranker.serve.dialects.rerank import Error
from qwen3_reranker.serve.dialects.routes import Route
from qwen3_reranker.serve.problems import Problem, busy, invalid

_MEANINGS = {
    200: "Done.",
    400: "The request cannot be used as it is; `param` says where.",
    401: "No valid API key.",
    402: "The key's credit does not cover the request.",
    403: "The key is not allowed to do this.",
    404: "No such model, or nothing at this path.",
    408: "The body took too long to arrive.",
    413: "The body has too many bytes.",
    415: "The body is not plain JSON.",
    422: "The request cannot be used as it is.",
    424: "The model failed.",
    429: "A limit of the key is reached, or there is no room; `Retry-After` says when to come again.",
    500: "The model failed.",
    503: "No room, or not ready; `Retry-After` says when to come again.",
    504: "The deadline passed before the answer was ready.",
}
# One of every kind of problem that a judging request can end in: a dialect may give each a status of its own.
_PROBLEMS = (
    invalid("invalid_json", ""),
    invalid("no_documents", ""),
    *(Problem(status, "", "", "") for status in (401, 402, 403, 404, 408, 413, 415, 429, 500, 504)),
    busy("overloaded", "", 1),
    busy("draining", "", 1),
)
_ONLY_WITH_KEYS = frozenset({401, 402, 403})


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path; types are what pydantic makes a schema of.

    path: its template, such as "/v1/models/{model}". requests and replies: the shapes of bodies, of which one fits;
    replies is empty where a reply is not JSON, and then `media` says what it is. errors: status -> shapes. public:
    answered without a key.
    """

    method: str
    path: str
    summary: str
    tag: str
    requests: tuple[Any, ...] = ()
    replies: tuple[Any, ...] = ()
    errors: Mapping[int, tuple[Any, ...]] = field(default_factory=dict)
    media: str = "application/json"
    public: bool = False

    @property
    def id(self) -> str:
        """A name for generated clients."""
        return "_".join([self.method, *re.findall(r"[A-Za-z0-9]+", self.path)])

    @property
    def shapes(self) -> tuple[Any, ...]:
        """All shapes of its bodies."""
        return (*self.requests, *self.replies, *(shape for shapes in self.errors.values() for shape in shapes))


def errors(*statuses: int) -> dict[int, tuple[Any, ...]]:
    """The canonical error at these statuses."""
    return dict.fromkeys(statuses, (Error,))


def judging_operation(route: Route) -> Operation:
    """The operation of a route that judges."""
    # The gate and a bug answer before a dialect can.
    found: dict[int, tuple[Any, ...]] = errors(401, 500, 503)
    for dialect in route.dialects:
        for problem in _PROBLEMS:
            status, _ = dialect.write_problem(problem, "")
            if dialect.error not in found.setdefault(status, ()):
                found[status] += (dialect.error,)
    names = " or ".join(dialect.name for dialect in route.dialects)
    return Operation(
        "post",
        route.path,
        f"Judge ({names})",
        route.dialect.name,
        requests=tuple(dialect.request for dialect in route.dialects),
        replies=tuple(dialect.response for dialect in route.dialects),
        errors=dict(sorted(found.items())),
    )


def embedding_operation(path: str) -> Operation:
    """The operation of a path that embeds."""
    dialect = OpenAIEmbeddings
    statuses = sorted({problem.status for problem in _PROBLEMS})
    return Operation(
        "post",
        path,
        f"Embed ({dialect.name})",
        dialect.name,
        requests=(dialect.request,),
        replies=(dialect.response,),
        errors=errors(*statuses),
    )


def openapi(operations: Sequence[Operation], version: str, *, keyed: bool) -> dict[str, Any]:
    """The document; keyed: whether the server asks for keys, without which some statuses cannot occur."""
    shapes = {id(shape): shape for operation in operations for shape in operation.shapes}
    schemas, definitions = TypeAdapter.json_schemas(
        [(key, "validation", TypeAdapter(shape)) for key, shape in shapes.items()],
        ref_template="#/components/schemas/{model}",
    )
    by_shape = {key: schema for (key, _), schema in schemas.items()}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, by_shape, keyed)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "qwen3_reranker",
            "version": version,
            "description": "Judge documents with Qwen3-Reranker models, in the wire formats of other rerankers.",
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


def _operation(operation: Operation, schemas: Mapping[int, Any], keyed: bool) -> dict[str, Any]:
    def content(shapes: Sequence[Any]) -> dict[str, Any]:
        found = [schemas[id(shape)] for shape in shapes]
        return {"application/json": {"schema": found[0] if len(found) == 1 else {"anyOf": found}}}

    replies = content(operation.replies) if operation.replies else {operation.media: {"schema": {"type": "string"}}}
    responses: dict[str, Any] = {"200": {"description": _MEANINGS[200], "content": replies}}
    for status, shapes in operation.errors.items():
        if keyed or status not in _ONLY_WITH_KEYS:
            responses[str(status)] = {"description": _MEANINGS[status], "content": content(shapes)}
            if status in (429, 503):
                responses[str(status)]["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "responses": responses,
    }
    if operation.requests:
        described["requestBody"] = {"required": True, "content": content(operation.requests)}
    if names := re.findall(r"{(\w+)", operation.path):
        described["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if operation.public:
        described["security"] = []
    return described
