"""Health. Liveness: the event loop responds. Readiness: every model can score."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from qwen3_reranker.serve.context import Context
from qwen3_reranker.serve.json_http import JsonResponse
from qwen3_reranker.serve.models import ServedEmbedder, ServedReranker
from qwen3_reranker.serve.routes.base import HttpEndpoint
from qwen3_reranker.serve.scheduler import Overloaded, SchedulerStats

_PROBE_INTERVAL = 5.0


class Status(TypedDict):
    """live or ready."""

    status: str


class Unready(TypedDict):
    """Why the server takes no request now."""

    status: str
    reason: str


class HealthRoutes:
    """Health checks for load balancers; readiness comes from the schedulers' own batches."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._probed = 0.0

    def endpoints(self) -> Iterator[HttpEndpoint]:
        """All of them; /health is for a load balancer that checks one address."""
        for path in ("/health", "/health/ready", "/.well-known/ready"):
            yield HttpEndpoint(
                "GET",
                path,
                self._ready,
                "Readiness",
                "operations",
                replies=(Status,),
                errors={503: (Unready,)},
                public=True,
                probe=True,
            )
        for path in ("/health/live", "/ping", "/.well-known/live"):
            yield HttpEndpoint(
                "GET", path, self._live, "Liveness", "operations", replies=(Status,), public=True, probe=True
            )

    async def _live(self, request: Request) -> Response:
        return JsonResponse({"status": "live"})

    async def _ready(self, request: Request) -> Response:
        if reason := self.unready_reason():
            return JsonResponse({"status": "unready", "reason": reason}, 503, {"retry-after": "1"})
        return JsonResponse({"status": "ready"})

    def unready_reason(self) -> str:
        """Why the server takes no request now; empty if every model would answer one."""
        if self._context.drain.is_unready:
            return "shutting down"
        for model in self._context.models.all:
            stats = model.scheduler.stats()
            if reason := self._fault(stats):
                self._probe(model)
                return f"{model.id}: {reason}"
        return ""

    def _fault(self, stats: SchedulerStats) -> str:
        if not stats.is_running:
            return "its thread has ended"
        if stats.batch_seconds > self._context.settings.watchdog:
            return "a batch takes longer than the watchdog allows"
        return "batch after batch fails" if stats.is_broken else ""

    def _probe(self, model: ServedReranker | ServedEmbedder) -> None:
        """Score test pairs: a failing model gets no requests that could show its recovery."""
        if time.monotonic() - self._probed < _PROBE_INTERVAL:
            return
        self._probed = time.monotonic()
        with suppress(Overloaded):
            model.probe()
