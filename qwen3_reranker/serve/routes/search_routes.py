"""The route that searches the server's index of files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from qwen3_reranker.serve.admitted_request import open_request
from qwen3_reranker.serve.context import Context
from qwen3_reranker.serve.dialects.base import CANONICAL_ERROR, fill
from qwen3_reranker.serve.middleware import state_of
from qwen3_reranker.serve.problems import Problem
from qwen3_reranker.serve.routes.base import HttpEndpoint
from qwen3_reranker.serve.routes.rerank import dialect_errors
from qwen3_reranker.serve.routes.search_bodies import FOUND, SearchBody
from qwen3_reranker.serve.searching import search as find


def search_endpoints(context: Context) -> Iterator[HttpEndpoint]:
    """The one endpoint. Without an index it answers 404."""

    async def search(request: Request) -> Response:
        state, index = state_of(request), context.index
        state.error_format = CANONICAL_ERROR
        if index is None:
            message = "this server searches no files; `serve --index FOLDER` lets it"
            raise Problem(404, "not_found_error", "no_index", message)
        async with open_request(request, context, "rerank") as admitted:

            async def answered(body: dict[str, Any], warnings: tuple[str, ...]) -> Response:
                asked = await admitted.run("read", lambda: SearchBody.of(body).request())
                found = await find(asked, index, admitted)
                found = replace(found, warnings=(*warnings, *found.warnings))
                seconds = found.results.seconds
                stages = {"retrieving": round(seconds.retrieving, 5), "judging": round(seconds.judging, 5)}
                state.log_fields |= stages
                timing = ", ".join(f"{name};dur={value * 1000:.1f}" for name, value in stages.items())
                return await admitted.respond(lambda: fill(FOUND, found), {"server-timing": timing})

            return await admitted.answer(answered)

    yield HttpEndpoint(
        "POST",
        "/v1/search",
        search,
        "Search the indexed files",
        "search",
        requests=(SearchBody,),
        replies=(FOUND.type,),
        errors=dialect_errors(CANONICAL_ERROR),
    )
