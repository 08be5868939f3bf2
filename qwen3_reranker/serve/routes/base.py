"""HttpEndpoint: one method of one path, declared once for routing, OpenAPI and docs."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from qwen3_reranker.serve.dialects.base import ERROR

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class HttpEndpoint:
    """A route of the server. The shapes of its bodies are types that pydantic can make a schema of.

    path: Starlette's template, such as "/v1/models/{model:path}". requests, replies: alternatives; no replies where a
    reply is not JSON, and then `media` is its type. errors: status -> alternatives. public: answered without a key.
    probe: answered also while the server drains or is full. documented: part of the OpenAPI document.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    tag: str
    requests: tuple[Any, ...] = ()
    replies: tuple[Any, ...] = ()
    errors: Mapping[int, tuple[Any, ...]] = field(default_factory=dict)
    media: str = "application/json"
    public: bool = False
    probe: bool = False
    documented: bool = True

    @property
    def documented_path(self) -> str:
        """The path's template as OpenAPI writes it."""
        return openapi_path(self.path)

    @property
    def id(self) -> str:
        """A name for generated clients."""
        return "_".join([self.method.lower(), *re.findall(r"[A-Za-z0-9]+", self.documented_path)])

    @property
    def shapes(self) -> tuple[Any, ...]:
        """All shapes of its bodies."""
        return (*self.requests, *self.replies, *(shape for shapes in self.errors.values() for shape in shapes))


def openapi_path(path: str) -> str:
    """A path's template as OpenAPI and pages write it, without the kinds of its parameters."""
    return re.sub(r":\w+}", "}", path)


def errors(*statuses: int) -> dict[int, tuple[Any, ...]]:
    """The error for every client at these statuses."""
    return dict.fromkeys(statuses, (ERROR.type,))
