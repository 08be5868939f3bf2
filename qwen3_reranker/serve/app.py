"""Application: settings, models and keys -> everything that answers, behind the gate."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from qwen3_reranker.serve import pages
from qwen3_reranker.serve.account_routes import AccountRoutes
from qwen3_reranker.serve.accounts.accounts import Accounts
from qwen3_reranker.serve.accounts.prices import Prices
from qwen3_reranker.serve.body import Bodies
from qwen3_reranker.serve.context import Context, JsonResponse, passing_of
from qwen3_reranker.serve.dialects.rerank import error_of
from qwen3_reranker.serve.dialects.routes import judging_routes
from qwen3_reranker.serve.embeddings_endpoint import EmbeddingsEndpoint
from qwen3_reranker.serve.gate import Door, Gate
from qwen3_reranker.serve.health import Health
from qwen3_reranker.serve.information import Information
from qwen3_reranker.serve.metrics import Metrics
from qwen3_reranker.serve.noted_route import NotedRoute
from qwen3_reranker.serve.openapi import embedding_operation, judging_operation
from qwen3_reranker.serve.problems import Problem
from qwen3_reranker.serve.rerank_endpoint import RerankEndpoint
from qwen3_reranker.serve.scheduler import Overloaded
from qwen3_reranker.serve.served import Models
from qwen3_reranker.serve.settings import Settings

_KINDS = {
    404: ("not_found_error", "not_found", "nothing is at this address"),
    405: ("invalid_request_error", "method_not_allowed", "this address takes another method"),
}


class Application:
    """One server without its socket; `asgi` is what an ASGI server runs. It owns models and accounts: `close` it."""

    def __init__(
        self, settings: Settings, models: Models, accounts: Accounts | None, metrics: Metrics, version: str
    ) -> None:
        self.door = Door()
        self.context = Context(
            settings=settings,
            models=models,
            accounts=accounts,
            prices=Prices(models.prices),
            metrics=metrics,
            bodies=Bodies(settings.max_body_bytes, settings.max_bodies_bytes, settings.body_timeout),
            door=self.door,
            version=version,
        )
        self._site = pages.Site.of(models, keys_required=accounts is not None, version=version)
        self._page_not_found = pages.not_found(self._site)
        #: What is routed; behind the gate there is nothing else.
        self.routes = self._routes()
        self.asgi: ASGIApp = Gate(
            Starlette(
                routes=self.routes,
                exception_handlers={
                    Problem: _on_problem,
                    HTTPException: self._on_http_error,
                    Exception: _on_bug,
                },
            ),
            accounts=accounts,
            metrics=metrics,
            door=self.door,
            max_requests=settings.max_requests,
            public_metrics=settings.public_metrics,
            answer_problem=answer_problem,
        )

    def abandon(self) -> None:
        """End what is still judged; those who wait for it are told to come again."""
        for model in self.context.models.rerankers:
            model.scheduler.close(Overloaded("the server is shutting down", 1.0))

    def close(self) -> None:
        """Give the models' memory back and write what usage is left; raises StoreError if that cannot be."""
        self.context.models.close()
        if self.context.accounts is not None:
            self.context.accounts.close()

    def _routes(self) -> list[NotedRoute]:
        context = self.context
        judging = judging_routes(context.settings.max_documents)
        embeddings, account, health = EmbeddingsEndpoint(context), AccountRoutes(context), Health(context)
        operations = [
            *map(judging_operation, judging),
            embedding_operation(embeddings.PATH),
            *account.operations(),
            *health.operations(),
        ]
        return [
            *(NotedRoute(each.path, RerankEndpoint(context, each).answer, methods=["POST"]) for each in judging),
            NotedRoute(embeddings.PATH, embeddings.answer, methods=["POST"]),
            *account.routes(),
            *health.routes(),
            *Information(context, operations).routes(),
            *pages.routes(self._site),
        ]

    async def _on_http_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 404 and "text/html" in request.headers.get("accept", ""):
            return self._page_not_found(request)
        kind, code, message = _KINDS.get(
            error.status_code, ("invalid_request_error", "http_error", "the request is not right")
        )
        return await _on_problem(request, Problem(error.status_code, kind, code, message, headers=error.headers))


def answer_problem(problem: Problem, request_id: str) -> ASGIApp:
    """The application that answers with a problem, as every client can read it."""
    return JsonResponse(error_of(problem, request_id), problem.status, problem.headers)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return JsonResponse(error_of(error, passing_of(request).request_id), error.status, error.headers)


async def _on_bug(request: Request, error: Exception) -> Response:
    return await _on_problem(
        request, Problem(500, "server_error", "internal_error", "the server failed; its log says where")
    )
