"""AdmittedRequest: what a request holds from its headers to its reply: limits of its key, memory, time, turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from qwen3_reranker.errors import TooLongError
from qwen3_reranker.records import Row
from qwen3_reranker.serve.context import Context
from qwen3_reranker.serve.json_http import json_in_pieces, seconds_left, until_disconnect
from qwen3_reranker.serve.middleware import RequestState, state_of
from qwen3_reranker.serve.problems import late
from qwen3_reranker.serve.request_body import HeldBytes, parse_object
from qwen3_reranker.serve.scheduler import ScheduledRequest

# Work on smaller bodies holds up the event loop for less than a thread's turn costs.
_INLINE_BYTES = 16 << 10
# Characters that are tokenized in one turn, some 50 ms.
_SLICE_CHARACTERS = 1 << 17

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class AdmittedRequest:
    """A request that may be read and answered. Everything it waits for ends with `open_request`."""

    request: Request
    context: Context
    state: RequestState
    held: HeldBytes

    async def answer(
        self, answer: Callable[[dict[str, Any], tuple[str, ...]], Coroutine[Any, Any, Response]]
    ) -> Response:
        """The response to the JSON object of the body and its warnings. Raises Problem, ClientDisconnect."""
        body = [await self.context.bodies.read(self.request)]

        async def parsed() -> Response:
            # Nothing here keeps the bytes while the request is answered.
            value, warnings = await self.run("parse", partial(parse_object, body.pop(), self.context.bodies.max_values))
            return await answer(value, warnings)

        return await until_disconnect(self.request, parsed())

    async def run(self, name: str, function: Callable[[], Made]) -> Made:
        """What a function of the body's texts returns: at once for a small body, else in its turn of a thread."""
        return function() if self.held.size <= _INLINE_BYTES else await self._take_turn(name, function, self.held.size)

    async def schedule(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        rows_of: Callable[[slice], list[Row]],
        on_end: Callable[[], object],
    ) -> ScheduledRequest:
        """The rows of all pairs, tokenized slice by slice, as a request to submit. Raises what `rows_of` raises."""
        rows: list[Row] = []
        for part in _slices(queries, documents):
            try:
                rows += await self._take_turn("tokenize", partial(rows_of, part), _characters(queries, documents, part))
            except TooLongError as error:
                raise TooLongError(str(error), part.start + error.index) from None
        return await self.run("tokenize", partial(ScheduledRequest, rows, deadline=self.state.deadline, on_end=on_end))

    async def respond(self, reply: Callable[[], Any], headers: Mapping[str, str] | None = None) -> Response:
        """The JSON of what `reply` makes."""
        content = await self.run("write", lambda: json_in_pieces(reply()))
        return Response(content, headers=headers, media_type="application/json")

    async def _take_turn(self, name: str, function: Callable[[], Made], size: int) -> Made:
        self.held.keep()
        return await self.context.workers.run(
            name, function, tenant=self.state.tenant, size=size, on_end=self.held.release
        )


@asynccontextmanager
async def open_request(request: Request, context: Context, scope: str) -> AsyncIterator[AdmittedRequest]:
    """Hold a request's share of limits and memory, until its deadline. Raises Problem: 403, 413, 429, 503 or 504."""
    state = state_of(request)
    state.deadline = state.started + seconds_left(request.headers, context.settings.timeout)
    with state.admitted(context.accounts, scope), context.bodies.hold(request, state.tenant) as held:
        try:
            async with asyncio.timeout(max(0.0, state.deadline - time.monotonic())) as state.timeout:
                yield AdmittedRequest(request, context, state, held)
        except TimeoutError:
            raise late() from None


def _characters(queries: Sequence[str], documents: Sequence[str], part: slice) -> int:
    # Pairs share most queries, and what is equal is tokenized once.
    return sum(map(len, set(queries[part]))) + sum(map(len, documents[part]))


def _slices(queries: Sequence[str], documents: Sequence[str]) -> list[slice]:
    """Ranges of pairs with about as many characters as are tokenized in one turn."""
    cuts, held, known = [0], 0, ""
    for index, (query, document) in enumerate(zip(queries, documents, strict=True)):
        if held >= _SLICE_CHARACTERS:
            cuts.append(index)
            held, known = 0, ""
        held += len(document) + (0 if query is known else len(query))
        known = query
    return [slice(start, stop) for start, stop in zip(cuts, [*cuts[1:], len(documents)], strict=True)]
