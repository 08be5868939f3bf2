"""Application: settings, models and keys -> the ASGI application, with its table of endpoints."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from qwen3_reranker.serve.accounts.accounts import Accounts
from qwen3_reranker.serve.calibrations import read_calibrations
from qwen3_reranker.serve.context import Context
from qwen3_reranker.serve.metrics import Metrics
from qwen3_reranker.serve.middleware import CLIENT_GONE, RequestMiddleware, TemplatedRoute, state_of
from qwen3_reranker.serve.models import Models, open_models
from qwen3_reranker.serve.pages import Site, page_endpoints, page_not_found
from qwen3_reranker.serve.problems import Problem
from qwen3_reranker.serve.routes.account import AccountRoutes
from qwen3_reranker.serve.routes.administration import AdministrationRoutes
from qwen3_reranker.serve.routes.base import HttpEndpoint
from qwen3_reranker.serve.routes.embeddings import embedding_endpoints
from qwen3_reranker.serve.routes.explain import explain_endpoints
from qwen3_reranker.serve.routes.health import HealthRoutes
from qwen3_reranker.serve.routes.model_routes import ModelRoutes
from qwen3_reranker.serve.routes.openapi import openapi_endpoint
from qwen3_reranker.serve.routes.rerank import rerank_endpoints
from qwen3_reranker.serve.routes.search_routes import search_endpoints
from qwen3_reranker.serve.routes.tokenize import tokenizing_endpoints
from qwen3_reranker.serve.scheduler import Overloaded
from qwen3_reranker.serve.served_index import ServedIndex
from qwen3_reranker.serve.settings import ServerSettings

_LOGGER = logging.getLogger(__name__)
_HTTP_ERRORS = {
    404: ("not_found_error", "not_found", "nothing is at this address"),
    405: ("invalid_request_error", "method_not_allowed", "this address takes another method"),
}


def open_application(
    settings: ServerSettings, version: str, on_open: Callable[[str], None] = lambda _name: None
) -> Application:
    """Open the keys, which fails fast, then load and warm up the models.

    on_open is called with the name of each model. Raises what either raises, and then nothing stays open.
    """
    accounts = _open_accounts(settings)
    metrics = Metrics(version)
    try:
        if accounts is not None:
            metrics.watch_accounts(accounts.health)
            _warn_without_keys(accounts)
        models = open_models(settings, metrics, on_open)
        try:
            models.calibrate(read_calibrations(models.rerankers, settings))
            index = _open_index(settings, models)
        except BaseException:
            models.close()
            raise
    except BaseException:
        if accounts is not None:
            accounts.close()
        raise
    return Application(Context.of(settings, models, accounts, metrics, version, index))


def _open_index(settings: ServerSettings, models: Models) -> ServedIndex | None:
    if settings.search_index is None:
        return None
    first = next(iter(models.rerankers), None)
    return ServedIndex(settings.search_index, None if first is None else first.judge)


def _open_accounts(settings: ServerSettings) -> Accounts | None:
    if settings.keys is None:
        return None
    pepper = settings.pepper.encode("utf-8", "surrogateescape") if settings.pepper else None
    return Accounts(settings.keys, pepper, flush_interval=settings.usage_flush, cache_seconds=settings.keys_cache)


def _warn_without_keys(accounts: Accounts) -> None:
    if not accounts.store.has_keys():
        _LOGGER.warning(
            "%s holds no keys, so every request gets 401: `qwen3-reranker keys create NAME --keys ...` makes one",
            accounts.store.name,
        )


def all_endpoints(context: Context, site: Site) -> tuple[HttpEndpoint, ...]:
    """The table of everything that a server answers."""
    endpoints = (
        *rerank_endpoints(context),
        *embedding_endpoints(context),
        *search_endpoints(context),
        *explain_endpoints(context),
        *tokenizing_endpoints(context),
        *AccountRoutes(context).endpoints(),
        *AdministrationRoutes(context).endpoints(),
        *HealthRoutes(context).endpoints(),
        *ModelRoutes(context).endpoints(),
    )
    endpoints = (*endpoints, *page_endpoints(site, endpoints))
    openapi = openapi_endpoint(
        endpoints, context.version, keyed=context.accounts is not None, root_path=context.settings.root_path
    )
    return (*endpoints, openapi)


class Application:
    """One server without its socket; `asgi` is what an ASGI server runs. `close` frees models and accounts."""

    def __init__(self, context: Context) -> None:
        self.context = context
        routes = self._routes()
        self.asgi = RequestMiddleware(
            routes,
            endpoints=self.endpoints,
            accounts=context.accounts,
            metrics=context.metrics,
            drain=context.drain,
            settings=context.settings,
        )

    async def reload(self, settings: ServerSettings) -> None:
        """Take over settings, in the event loop. Requests that are inside end as they began.

        Raises CalibrationError for a calibration that cannot be used, and then everything is as before.
        """
        calibrations = await asyncio.to_thread(read_calibrations, self.context.models.rerankers, settings)
        self.context.use(settings, calibrations)
        # Templates and schemas are made anew, which takes a tenth of a second.
        routes = await asyncio.to_thread(self._routes)
        self.asgi.use(routes, self.endpoints, settings)

    def _routes(self) -> ASGIApp:
        """The application within the middleware. Its pages and schemas show the settings of this moment."""
        context = self.context
        site = Site.of(
            context.models,
            keys_required=context.accounts is not None,
            version=context.version,
            metrics=context.metrics,
            searches=context.index is not None,
        )
        self.endpoints = all_endpoints(context, site)
        self._page_not_found = page_not_found(site)
        return Starlette(
            routes=[
                TemplatedRoute(endpoint.path, endpoint.handler, methods=[endpoint.method])
                for endpoint in self.endpoints
            ],
            exception_handlers={
                Problem: self._on_problem,
                ClientDisconnect: self._on_disconnect,
                HTTPException: self._on_http_error,
                Exception: _on_bug,
            },
        )

    def abandon(self) -> None:
        """End all requests that still run; their clients may come again."""
        for model in self.context.models.all:
            model.scheduler.close(Overloaded("the server is shutting down", 1.0))

    def close(self) -> None:
        """Free the models and write the remaining usage; raises StoreError if that fails."""
        if self.context.index is not None:
            self.context.index.close()
        self.context.models.close()
        self.context.workers.close()
        if self.context.accounts is not None:
            self.context.accounts.close()

    async def _on_problem(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        state = state_of(request)
        if state.error_format is not None:
            self.context.metrics.on_rejected(error.code)
        return state.problem_response(error)

    async def _on_disconnect(self, request: Request, _error: Exception) -> Response:
        self.context.metrics.on_cancelled(state_of(request).model)
        return Response(status_code=CLIENT_GONE)

    async def _on_http_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 404 and "text/html" in request.headers.get("accept", ""):
            return self._page_not_found(request)
        kind, code, message = _HTTP_ERRORS.get(
            error.status_code, ("invalid_request_error", "http_error", "the request is not right")
        )
        problem = Problem(error.status_code, kind, code, message, headers=error.headers)
        return state_of(request).problem_response(problem)


async def _on_bug(request: Request, _error: Exception) -> Response:
    state = state_of(request)
    state.error_format = None
    problem = Problem(500, "server_error", "internal_error", "the server failed; its log says where")
    return state.problem_response(problem)
