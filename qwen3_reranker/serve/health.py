"""Health: alive is whoever answers, ready is whoever has lately judged or could."""

from __future__ import annotations

import time
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from qwen3_reranker.serve.context import Context, JsonResponse
from qwen3_reranker.serve.noted_route import NotedRoute
from qwen3_reranker.serve.openapi import Operation
from qwen3_reranker.serve.scheduler import Overloaded, SchedulerStats
from qwen3_reranker.serve.served import ServedReranker

_PROBE_EVERY = 5.0


class Status(TypedDict):
    """live or ready."""

    status: str


class Unready(TypedDict):
    """Why no request should come now."""

    status: str
    reason: str


class Health:
    """What load balancers ask; `ready` is what the schedulers' own batches say."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._probed = 0.0

    def routes(self) -> list[NotedRoute]:
        """All of them; /health is what a load balancer that knows one address should ask."""
        return [
            NotedRoute("/health", self.ready),
            NotedRoute("/health/ready", self.ready),
            NotedRoute("/health/live", self.live),
            NotedRoute("/ping", self.live),
        ]

    @staticmethod
    def operations() -> list[Operation]:
        """The same for the OpenAPI document."""
        unready = {503: (Unready,)}
        return [
            *(
                Operation(
                    "get", path, "Ready for requests", "operations", replies=(Status,), errors=unready, public=True
                )
                for path in ("/health", "/health/ready")
            ),
            *(
                Operation("get", path, "Alive", "operations", replies=(Status,), public=True)
                for path in ("/health/live", "/ping")
            ),
        ]

    async def live(self, request: Request) -> Response:
        """The event loop turns."""
        return JsonResponse({"status": "live"})

    async def ready(self, request: Request) -> Response:
        """200 if every model would answer a request now, else 503 with what is wrong."""
        wrong = self.what_is_wrong()
        if wrong:
            return JsonResponse({"status": "unready", "reason": wrong}, 503, {"retry-after": "1"})
        return JsonResponse({"status": "ready"})

    def what_is_wrong(self) -> str:
        """Why no request should come now; nothing if some may."""
        if self._context.door.is_leaving:
            return "shutting down"
        for model in self._context.models.rerankers:
            vitals = model.scheduler.stats()
            self._context.metrics.queue_tokens.labels(model.id).set(vitals.waiting_tokens)
            if reason := self._ailment(vitals):
                self._probe(model)
                return f"{model.id}: {reason}"
        return ""

    def _ailment(self, vitals: SchedulerStats) -> str:
        if not vitals.is_running:
            return "its thread has ended"
        if vitals.batch_seconds > self._context.settings.watchdog:
            return "a batch takes longer than the watchdog allows"
        return "batch after batch fails" if vitals.is_broken else ""

    def _probe(self, model: ServedReranker) -> None:
        """A model that fails gets no requests by which to show that it has recovered: ask it something ourselves."""
        if time.monotonic() - self._probed < _PROBE_EVERY:
            return
        self._probed = time.monotonic()
        with suppress(Overloaded):
            model.probe()
