"""The contract of a dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel

from qwen3_reranker.serve.ask import Answer, Ask
from qwen3_reranker.serve.problems import Problem


@dataclass(frozen=True, slots=True)
class Reply:
    """A body that goes out as JSON, with headers of the dialect's own."""

    body: Any
    headers: Mapping[str, str]


class Dialect(Protocol):
    """Reads and writes one wire format.

    name: for the table of routes, metrics and the OpenAPI document; request, response and error: the shapes as that
    document gives them, which bodies that are accepted and sent agree with.
    """

    @property
    def name(self) -> str: ...
    @property
    def request(self) -> type[BaseModel]: ...
    @property
    def response(self) -> Any: ...
    @property
    def error(self) -> Any: ...

    def read(self, body: Mapping[str, Any], route: str) -> Ask:
        """What a body asks for; `route` is the path's template. Raises Problem, with nothing of the body in it."""
        ...

    def write(self, ask: Ask, answer: Answer) -> Reply:
        """The reply to an Ask of this dialect's own."""
        ...

    def write_problem(self, problem: Problem, request_id: str) -> tuple[int, Any]:
        """Status and body of an error; the status may be the dialect's own for what happened."""
        ...
