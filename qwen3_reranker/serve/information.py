"""What the server says of itself and its models: /v1/models, /info, /version, the metrics and the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from qwen3_reranker.embedder import Embedder
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.serve.context import Context, JsonResponse, passing_of
from qwen3_reranker.serve.dialects.infos import Model, ModelFacts, Models, TEIInfo, model_list, model_object, tei_info
from qwen3_reranker.serve.noted_route import NotedRoute
from qwen3_reranker.serve.openapi import Operation, errors, openapi
from qwen3_reranker.serve.problems import Problem
from qwen3_reranker.serve.served import ServedEmbedder, ServedReranker

_LISTS = (
    "/v1/models",
    "/api/v1/models",
    "/cohere/v1/models",
    "/voyage/v1/models",
    "/jina/v1/models",
    "/vllm/v1/models",
)
_BUSY = (401, 503)


class Information:
    """Routes that only tell; `others` are the operations of all other routes, for the OpenAPI document."""

    def __init__(self, context: Context, others: Sequence[Operation]) -> None:
        self._context = context
        self._document = openapi([*others, *self.operations()], context.version, keyed=context.accounts is not None)

    def routes(self) -> list[NotedRoute]:
        """All of them."""
        return [
            *(NotedRoute(path, self._models) for path in _LISTS),
            *(NotedRoute(f"{path}/{{model:path}}", self._model) for path in _LISTS[:2]),
            NotedRoute("/info", self._info),
            NotedRoute("/tei/info", self._info),
            NotedRoute("/version", self._version),
            NotedRoute("/metrics", self._metrics),
            NotedRoute("/openapi.json", self._openapi),
        ]

    @staticmethod
    def operations() -> list[Operation]:
        """The same for the OpenAPI document."""
        told = errors(*_BUSY)
        return [
            *(Operation("get", path, "The models served", "models", replies=(Models,), errors=told) for path in _LISTS),
            *(
                Operation(
                    "get", f"{path}/{{model}}", "One model", "models", replies=(Model,), errors=errors(404, *_BUSY)
                )
                for path in _LISTS[:2]
            ),
            *(
                Operation("get", path, "TEI's description", "models", replies=(TEIInfo,), errors=errors(404, *_BUSY))
                for path in ("/info", "/tei/info")
            ),
            Operation("get", "/version", "The running version", "operations", replies=(dict[str, str],), public=True),
            Operation(
                "get",
                "/metrics",
                "Measures for Prometheus",
                "operations",
                errors=errors(403, *_BUSY),
                media="text/plain",
            ),
            Operation("get", "/openapi.json", "This document", "operations", replies=(dict[str, object],), public=True),
        ]

    def _facts(self) -> list[ModelFacts]:
        models = self._context.models
        return [
            *(self._facts_of(each, each.reranker, "rerank") for each in models.rerankers),
            *(self._facts_of(other, other.embedder, "embed") for other in models.embedders),
        ]

    def _facts_of(
        self, served: ServedReranker | ServedEmbedder, runner: Reranker | Embedder, task: Literal["rerank", "embed"]
    ) -> ModelFacts:
        return ModelFacts(
            id=served.id,
            created=served.created,
            owned_by=served.settings.source.split("/")[0],
            context_length=runner.tokens.max_length,
            task=task,
            price=self._context.prices.per_token(served.id),
            aliases=served.settings.aliases,
            parameters=runner.config.num_parameters,
            precision=runner.options.precision,
        )

    async def _models(self, request: Request) -> Response:
        return JsonResponse(model_list(self._facts()))

    async def _model(self, request: Request) -> Response:
        asked = request.path_params["model"].lower()
        for facts in self._facts():
            if asked in (facts.id.lower(), *(alias.lower() for alias in facts.aliases)):
                return JsonResponse(model_object(facts))
        raise Problem(404, "not_found_error", "model_not_found", "no model of that name is served", parameter="model")

    async def _info(self, request: Request) -> Response:
        context = self._context
        model = context.models.reranker(None)
        facts = next(each for each in self._facts() if each.id == model.id)
        return JsonResponse(
            tei_info(
                facts,
                version=context.version,
                max_documents=context.settings.max_documents,
                max_batch_tokens=model.reranker.options.batch_tokens,
                max_concurrent_requests=context.settings.max_requests,
                tokenisation_workers=context.models.NUM_TOKENISING,
            )
        )

    async def _version(self, request: Request) -> Response:
        return JsonResponse({"version": self._context.version})

    async def _metrics(self, request: Request) -> Response:
        passing = passing_of(request)
        if passing.key:
            passing.key.require_scope("metrics")
        metrics = self._context.metrics
        for model in self._context.models.rerankers:
            metrics.queue_tokens.labels(model.id).set(model.scheduler.stats().waiting_tokens)
        return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)

    async def _openapi(self, request: Request) -> Response:
        return JsonResponse(self._document)
