"""The served models and the server itself: /v1/models, /info, /version and /metrics."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from qwen3_reranker.serve.context import Context
from qwen3_reranker.serve.dialects.base import fill
from qwen3_reranker.serve.json_http import JsonResponse
from qwen3_reranker.serve.middleware import state_of
from qwen3_reranker.serve.problems import Problem
from qwen3_reranker.serve.routes.base import HttpEndpoint, errors
from qwen3_reranker.serve.routes.model_info import MODEL, MODEL_LIST, TEI_INFO, ServerInfo
from qwen3_reranker.serve.served_model import ServedModel

_LISTS = (
    "/v1/models",
    "/api/v1/models",
    "/cohere/v1/models",
    "/voyage/v1/models",
    "/jina/v1/models",
    "/vllm/v1/models",
)
_BUSY = (401, 503)


class ModelRoutes:
    """Routes that describe the server and its models."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._served = [ServedModel.of(model) for model in context.models.all]

    def endpoints(self) -> Iterator[HttpEndpoint]:
        """All of them."""
        busy, missing = errors(*_BUSY), errors(404, *_BUSY)
        for path in _LISTS:
            yield HttpEndpoint(
                "GET", path, self._models, "The served models", "models", replies=(MODEL_LIST.type,), errors=busy
            )
        for path in _LISTS[:2]:
            template = f"{path}/{{model:path}}"
            yield HttpEndpoint(
                "GET", template, self._model, "One model", "models", replies=(MODEL.type,), errors=missing
            )
        for path in ("/info", "/tei/info", "/meta"):
            yield HttpEndpoint(
                "GET", path, self._info, "TEI's server information", "models", replies=(TEI_INFO.type,), errors=missing
            )
        yield HttpEndpoint(
            "GET",
            "/version",
            self._version,
            "The running version",
            "operations",
            replies=(dict[str, str],),
            public=True,
        )
        yield HttpEndpoint(
            "GET",
            "/metrics",
            self._metrics,
            "Prometheus metrics",
            "operations",
            errors=errors(403, *_BUSY),
            media="text/plain",
            public=self._context.settings.public_metrics,
        )
        yield HttpEndpoint(
            "GET",
            "/robots.txt",
            self._robots,
            "What crawlers may read: nothing",
            "operations",
            media="text/plain",
            public=True,
            documented=False,
        )

    async def _models(self, request: Request) -> Response:
        return JsonResponse(fill(MODEL_LIST, self._served))

    async def _model(self, request: Request) -> Response:
        name = request.path_params["model"].lower()
        for model in self._served:
            if name in (model.id.lower(), *(alias.lower() for alias in model.aliases)):
                return JsonResponse(fill(MODEL, model))
        raise Problem(404, "not_found_error", "model_not_found", "no model of that name is served", parameter="model")

    async def _info(self, request: Request) -> Response:
        context = self._context
        model = context.models.reranker(None)
        return JsonResponse(
            fill(
                TEI_INFO,
                ServerInfo(
                    model=ServedModel.of(model),
                    version=context.version,
                    max_documents=context.settings.max_documents,
                    max_batch_tokens=model.reranker.options.batch_tokens,
                    max_concurrent_requests=context.settings.max_requests,
                    tokenizer_threads=context.workers.NUM_THREADS,
                ),
            )
        )

    async def _robots(self, request: Request) -> Response:
        return PlainTextResponse("User-agent: *\nDisallow: /\n")

    async def _version(self, request: Request) -> Response:
        return JsonResponse({"version": self._context.version})

    async def _metrics(self, request: Request) -> Response:
        if key := state_of(request).key:
            key.require_scope("metrics")
        metrics = self._context.metrics
        return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)
