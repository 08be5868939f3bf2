"""The pages and their addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from qwen3_reranker.model_facts import KNOWN, RERANKING
from qwen3_reranker.serve.accounts.key_records import DEFAULT_SCOPES, SCOPES
from qwen3_reranker.serve.pages.api_reference import CLIENTS, Examples, other_routes
from qwen3_reranker.serve.pages.assets import SECURITY_HEADERS, Assets
from qwen3_reranker.serve.pages.playground_examples import EXAMPLES
from qwen3_reranker.serve.pages.quality_plot import quality_plot
from qwen3_reranker.serve.pages.rendering import Renderer
from qwen3_reranker.serve.pages.site import TYPICAL_DOCUMENT_TOKENS, TYPICAL_DOCUMENTS, Site
from qwen3_reranker.serve.pages.snippets import SNIPPETS
from qwen3_reranker.serve.routes.base import HttpEndpoint


def page_endpoints(site: Site, others: Sequence[HttpEndpoint] = ()) -> Iterator[HttpEndpoint]:
    """The pages of a site, all public: they hold nothing of any key. others: what the reference describes."""
    pages = _Pages(site, others)
    for path, handler, summary in (
        ("/", pages.playground, "Playground"),
        ("/search", pages.search, "Search page"),
        ("/models", pages.models, "Models"),
        ("/models/{id:path}", pages.model, "One model"),
        ("/keys", pages.keys, "A key's usage"),
        ("/admin", pages.admin, "Administration of keys"),
        ("/reference", pages.reference, "Reference of the API"),
        ("/assets/{digest}/{name}", pages.assets.answer, "Styles and scripts"),
    ):
        yield HttpEndpoint("GET", path, handler, summary, "pages", media="text/html", public=True, documented=False)


def page_not_found(site: Site) -> Callable[[Request], Response]:
    """The page for a browser at an unknown address, with status 404."""
    return _Pages(site).not_found


_PLAYGROUND_SNIPPETS = [(snippet, "") for snippet in SNIPPETS if snippet.task == RERANKING]

_ANY_ORIGIN = "http://any.invalid"


class _Pages:
    def __init__(self, site: Site, endpoints: Sequence[HttpEndpoint] = ()) -> None:
        self._endpoints = endpoints
        self._references: dict[str, bytes] = {}
        self.assets = Assets()
        self._site = site
        self._renderer = Renderer(site, self.assets)
        self._entries = site.entries(KNOWN)
        self._entry_of = {name: entry for entry in reversed(self._entries) for name in site.names(entry)}

    def not_found(self, request: Request) -> Response:
        return self._renderer.page(request, "not_found.html", 404)

    async def playground(self, request: Request) -> Response:
        name = request.query_params.get("model", "").lower()
        rerankers = self._site.rerankers
        named = [model for model in rerankers if name in (model.id.lower(), model.repository.lower())]
        chosen = next(iter(named or rerankers), None)
        return self._renderer.page(
            request, "playground.html", examples=EXAMPLES, chosen=chosen, snippets=_PLAYGROUND_SNIPPETS
        )

    async def models(self, request: Request) -> Response:
        return self._renderer.page(request, "models.html", entries=self._entries)

    async def model(self, request: Request) -> Response:
        name = request.path_params["id"]
        entry = self._entry_of.get(name.lower())
        if entry is None:
            return self.not_found(request)
        if name != entry.id:
            root = request.scope.get("root_path", "").rstrip("/")
            return RedirectResponse(f"{root}/models/{quote(entry.id)}", 308, SECURITY_HEADERS)
        facts, served = entry.specification, entry.served[0] if entry.served else None
        examples = Examples(origin=self._renderer.origin(request), keys=self._site.keys_required)
        return self._renderer.page(
            request,
            "model.html",
            entry=entry,
            plot=facts and quality_plot(facts, KNOWN),
            snippets=examples.of_model(
                entry.task, served.id if served else "", served.repository if served else entry.id
            ),
            typical=(TYPICAL_DOCUMENTS, TYPICAL_DOCUMENT_TOKENS),
        )

    async def search(self, request: Request) -> Response:
        return self._renderer.page(request, "search.html", 200 if self._site.searches else 404)

    async def keys(self, request: Request) -> Response:
        return self._renderer.page(request, "keys.html")

    async def admin(self, request: Request) -> Response:
        if not self._site.keys_required:
            return self.not_found(request)
        return self._renderer.page(request, "admin.html", scopes=SCOPES, usual=DEFAULT_SCOPES)

    async def reference(self, request: Request) -> Response:
        # Its text is the same for everybody but for the address, and takes 20 ms to write.
        root = request.scope.get("root_path", "")
        if root not in self._references:
            self._references = {root: bytes(self._reference(request).body)}
        body = self._references[root].replace(_ANY_ORIGIN.encode(), self._renderer.origin(request).encode())
        return HTMLResponse(body, 200, {**SECURITY_HEADERS, "cache-control": "no-cache"})

    def _reference(self, request: Request) -> HTMLResponse:
        site, endpoints = self._site, self._endpoints
        examples = Examples(
            origin=_ANY_ORIGIN,
            keys=site.keys_required,
            model=site.rerankers[0].id if site.rerankers else "nano",
            embedder=next((model.id for model in site.models if not model.ranks), ""),
        )
        return self._renderer.page(
            request,
            "reference.html",
            origin=_ANY_ORIGIN,
            clients=CLIENTS,
            first=examples.first_call(),
            dialects=[*examples.dialects(), *examples.embeddings(endpoints)],
            others=other_routes(endpoints),
        )
