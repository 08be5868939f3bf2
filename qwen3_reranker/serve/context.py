"""Context: what the handlers of one server share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from qwen3_reranker.serve.accounts.accounts import Accounts
from qwen3_reranker.serve.accounts.key_records import KeyRecord
from qwen3_reranker.serve.accounts.prices import Prices
from qwen3_reranker.serve.body import Bodies
from qwen3_reranker.serve.gate import Door, Passing
from qwen3_reranker.serve.metrics import Metrics
from qwen3_reranker.serve.served import Models
from qwen3_reranker.serve.settings import Settings


@dataclass(frozen=True, slots=True)
class Context:
    """One server: its settings, models, keys (None: off), measures, and who is inside."""

    settings: Settings
    models: Models
    accounts: Accounts | None
    prices: Prices
    metrics: Metrics
    bodies: Bodies
    door: Door
    version: str
    owners: dict[str, int] = field(default_factory=dict)

    def owner(self, key: KeyRecord | None) -> int:
        """The number whose rows a key's are; 0 is nobody's."""
        return 0 if key is None else self.owners.setdefault(key.id, len(self.owners) + 1)


class JsonResponse(Response):
    """A body as JSON; numbers that are not finite are a bug, never a NaN."""

    media_type = "application/json"

    def __init__(self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(body, status, dict(headers or {}))

    def render(self, content: Any) -> bytes:
        """Compact and ASCII-free, as clients expect UTF-8."""
        return json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


def passing_of(request: Request) -> Passing:
    """What the gate knows of a request."""
    passing: Passing = request.scope["state"]["passing"]
    return passing


def remaining(headers: Mapping[str, str], most: float) -> float:
    """Seconds that a request has: what the server grants, or less where the client says that it waits no longer."""
    for name in ("x-request-timeout", "x-stainless-read-timeout"):
        try:
            asked = float(headers.get(name, "inf"))
        except ValueError:
            continue
        if asked > 0:
            most = min(most, asked)
    return most
