"""A server of the pages: real ones around the real bundled model, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from qwen3_reranker import Reranker
from qwen3_reranker.serve import pages
from qwen3_reranker.serve.catalogue import RERANKING
from qwen3_reranker.serve.pages import ServedModel, Site

KEY = "qr_live_0123456789abcdefghijklmnopqrstuvwxyz"


def site_of(rerankers: dict[str, Reranker], *, keys: bool = False) -> Site:
    """What the pages say of a server of these, of which the first has a price."""
    models = tuple(
        ServedModel(
            id=id,
            repository="nano" if id.startswith("nano") else f"models/{id}",
            config=reranker.config,
            max_length=reranker.tokens.max_length,
            precision="float32",
            backend="cpu",
            default_instruction=reranker.default_instruction,
            aliases=(f"{id}-latest",),
            price=Decimal("0.02") if id == "nano" else None,
            task=RERANKING,
            is_ready=lambda: True,
        )
        for id, reranker in rerankers.items()
    )
    return Site(models=models, keys_required=keys, version="0.1.0")


class Api:
    """The least of the API that the pages call, judged by real models; keys count what they used."""

    def __init__(self, rerankers: dict[str, Reranker], *, keys: bool, slow: bool = False) -> None:
        self._rerankers = rerankers
        self._keys = keys
        self._slow = slow
        self._used: dict[str, dict[str, Any]] = {}
        self.gone = 0

    def routes(self) -> list[Route]:
        posts = [Route(path, self._rerank, methods=["POST"]) for path in ("/v1/rerank", "/v2/rerank")]
        return [*posts, Route("/v1/key", self._key), Route("/v1/usage", self._usage)]

    def _refused(self, request: Request) -> JSONResponse | None:
        if not self._keys or request.headers.get("authorization") == f"Bearer {KEY}":
            return None
        return _problem(401, "invalid_api_key", "this key is unknown; see the page of keys")

    async def _rerank(self, request: Request) -> JSONResponse:
        if (refused := self._refused(request)) is not None:
            return refused
        body = await request.json()
        if body["query"] == "503":
            return _problem(503, "queue_full", "no room now", {"retry-after": "7", "x-request-id": "req_1"})
        reranker = self._rerankers.get(body["model"])
        if reranker is None:
            return _problem(404, "model_not_found", "no such model")
        if self._slow:
            while not await request.is_disconnected():
                await asyncio.sleep(0.02)
            self.gone += 1
            return _problem(499, "gone", "nobody waits")
        start = time.perf_counter()
        ranking = await asyncio.to_thread(
            reranker.rank, body["query"], body["documents"], instruction=body.get("instruction")
        )
        elapsed = time.perf_counter() - start
        tree = reranker.tree(body["query"], body["documents"], body.get("instruction"))
        results: list[dict[str, Any]] = []
        for hit in ranking:
            result: dict[str, Any] = {"index": hit.index, "relevance_score": hit.probability}
            if body.get("details"):
                result |= {
                    "logit": hit.logit,
                    "probability": hit.probability,
                    "document_tokens": hit.receipt.document_tokens,
                    "kept_tokens": hit.receipt.kept_tokens,
                }
            results.append(result)
        prompt = ranking.usage.prompt_tokens
        used = self._used.setdefault(body["model"], {"requests": 0, "documents": 0, "prompt_tokens": 0})
        used["requests"] += 1
        used["documents"] += len(results)
        used["prompt_tokens"] += prompt
        usage = {"prompt_tokens": prompt, "total_tokens": prompt, "search_units": 1, "computed_tokens": tree.num_tokens}
        timings = {"tokenising": elapsed / 10, "waiting": 0.0, "computing": elapsed * 0.9, "total": elapsed}
        return JSONResponse(
            {
                "id": "rerank-1",
                "object": "list",
                "model": body["model"],
                "results": results,
                "usage": usage | {"cost": str(Decimal(prompt) * Decimal("0.02") / 10**6)},
                "meta": {"warnings": [], "timings": timings},
            }
        )

    async def _key(self, request: Request) -> JSONResponse:
        if (refused := self._refused(request)) is not None:
            return refused
        spent = float(self._spent())
        return JSONResponse(
            {
                "data": {
                    "label": "search page",
                    "limit": 5,
                    "limit_remaining": 5 - spent,
                    "usage": spent,
                    "usage_daily": spent,
                    "usage_weekly": spent,
                    "usage_monthly": spent,
                    "expires_at": None,
                }
            }
        )

    async def _usage(self, request: Request) -> JSONResponse:
        if (refused := self._refused(request)) is not None:
            return refused
        today = int(time.time()) // 86400 * 86400
        data = [
            {"start": today, "model": model, **used, "cost": str(_cost(used))} for model, used in self._used.items()
        ]
        totals = {name: sum(row[name] for row in data) for name in ("requests", "documents", "prompt_tokens")}
        return JSONResponse(
            {"object": "list", "bucket": "day", "data": data, "totals": totals | {"cost": str(self._spent())}}
        )

    def _spent(self) -> Decimal:
        return sum((_cost(used) for used in self._used.values()), Decimal(0))


def _cost(used: dict[str, Any]) -> Decimal:
    return Decimal(used["prompt_tokens"]) * Decimal("0.02") / 10**6


def _problem(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    error = {"message": message, "type": "error", "param": None, "code": code}
    return JSONResponse({"id": "req_1", "error": error, "message": message, "detail": message}, status, headers)


def app_of(site: Site, api: Api | None = None) -> Starlette:
    not_found = pages.not_found(site)
    return Starlette(
        routes=[*pages.routes(site), *(api.routes() if api else [])],
        exception_handlers={404: lambda request, _: not_found(request)},
    )


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    """The app at an address of this machine's, for as long as the block lasts."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
