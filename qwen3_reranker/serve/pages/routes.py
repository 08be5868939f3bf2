"""Which address shows which page."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from qwen3_reranker.serve.catalogue import KNOWN
from qwen3_reranker.serve.noted_route import NotedRoute
from qwen3_reranker.serve.pages.assets import SECURITY_HEADERS, Assets
from qwen3_reranker.serve.pages.examples import EXAMPLES
from qwen3_reranker.serve.pages.rendering import Renderer
from qwen3_reranker.serve.pages.site import Site


def routes(site: Site) -> list[NotedRoute]:
    """The pages of a site, all of them public: they hold nothing of any key's."""
    return _Pages(site).routes()


def not_found(site: Site) -> Callable[[Request], Response]:
    """What answers a browser at an address where nothing is: a page, with status 404."""
    return _Pages(site).not_found


class _Pages:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._assets = Assets()
        self._renderer = Renderer(site, self._assets)
        self._entries = site.entries(KNOWN)
        self._entry_of = {name: entry for entry in reversed(self._entries) for name in site.names(entry)}

    def routes(self) -> list[NotedRoute]:
        return [
            NotedRoute("/", self._playground),
            NotedRoute("/models", self._models),
            NotedRoute("/models/{id:path}", self._model),
            NotedRoute("/keys", self._keys),
            NotedRoute("/assets/{digest}/{name}", self._assets.answer),
        ]

    def not_found(self, request: Request) -> Response:
        return self._renderer.page(request, "not_found.html", 404)

    async def _playground(self, request: Request) -> Response:
        asked = request.query_params.get("model", "").lower()
        rerankers = self._site.rerankers
        named = [model for model in rerankers if asked in (model.id.lower(), model.repository.lower())]
        chosen = next(iter(named or rerankers), None)
        return self._renderer.page(request, "playground.html", examples=EXAMPLES, chosen=chosen)

    async def _models(self, request: Request) -> Response:
        return self._renderer.page(request, "models.html", entries=self._entries)

    async def _model(self, request: Request) -> Response:
        asked = request.path_params["id"]
        entry = self._entry_of.get(asked.lower())
        if entry is None:
            return self.not_found(request)
        if asked != entry.id:
            root = request.scope.get("root_path", "").rstrip("/")
            return RedirectResponse(f"{root}/models/{quote(entry.id)}", 308, SECURITY_HEADERS)
        return self._renderer.page(request, "model.html", entry=entry)

    async def _keys(self, request: Request) -> Response:
        return self._renderer.page(request, "keys.html")
