"""Call: one request that is computed for a key, from its body to what it is charged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from qwen3_reranker.serve.accounts.admission import Reservation
from qwen3_reranker.serve.accounts.key_records import UsageRow
from qwen3_reranker.serve.accounts.prices import dollars
from qwen3_reranker.serve.body import disconnected, read_object
from qwen3_reranker.serve.context import Context, JsonResponse, passing_of, remaining
from qwen3_reranker.serve.dialects.base import Reply
from qwen3_reranker.serve.gate import Passing
from qwen3_reranker.serve.problems import Problem

Result = TypeVar("Result")
#: What nobody receives any more; nginx's number, for the log.
_CLIENT_GONE = 499


class WritesProblems(Protocol):
    """What an error is written in."""

    def write_problem(self, problem: Problem, request_id: str) -> tuple[int, Any]:
        """Status and body."""
        ...


@dataclass(slots=True)
class Call:
    """A request whose body has been read. deadline: by time.monotonic()."""

    context: Context
    request: Request
    passing: Passing
    reservation: Reservation | None
    body: Mapping[str, Any]
    warnings: tuple[str, ...]
    deadline: float
    cost: int = 0

    def choose_model(self, id: str) -> None:
        """Note the model for log and metrics. Raises Problem 403 if the key may not use it."""
        self.passing.model = id
        if self.passing.key:
            self.passing.key.require_model(id)

    def charge(self, prompt_tokens: int) -> str | None:
        """Reserve tokens and their price, which is returned in dollars. Raises Problem 402 or 429."""
        price = self.context.prices.cost(self.passing.model, prompt_tokens)
        self.cost = price or 0
        if self.reservation:
            self.reservation.charge(prompt_tokens, self.cost)
            self.passing.headers |= self.reservation.headers()
        return None if price is None else dollars(price)

    async def finish(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of the work, unless the client goes first: then ClientDisconnect, once the work has ended."""
        working, gone = asyncio.create_task(work), asyncio.create_task(disconnected(self.request))
        try:
            await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            is_done = working.done()
            working.cancel()
            gone.cancel()
            await asyncio.wait({working, gone})
        if not is_done:
            raise ClientDisconnect
        return working.result()

    def settle(self, *, documents: int, prompt_tokens: int, computed_tokens: int) -> None:
        """The request is answered: it is in the log, and the key has used what it took."""
        self.passing.facts |= {
            "documents": documents,
            "prompt_tokens": prompt_tokens,
            "computed_tokens": computed_tokens,
        }
        if self.reservation is None or self.passing.key is None:
            return
        self.reservation.settle(
            UsageRow(
                time=int(time.time()),
                key_id=self.passing.key.id,
                model=self.passing.model,
                route=self.passing.route,
                request_id=self.passing.request_id,
                documents=documents,
                prompt_tokens=prompt_tokens,
                computed_tokens=computed_tokens,
                cost=self.cost,
                duration=time.monotonic() - self.passing.started,
            )
        )


async def respond(
    context: Context,
    request: Request,
    *,
    scope: str,
    writer: Callable[[Mapping[str, Any] | None], WritesProblems],
    answer: Callable[[Call], Coroutine[Any, Any, Reply]],
) -> Response:
    """Read the body of a request for a key, and reply with what `answer` makes of it or with the problem in its way.

    writer: what writes problems, given the body once it is read.
    """
    passing = passing_of(request)
    body: Mapping[str, Any] | None = None
    try:
        with ExitStack() as held:
            reservation: Reservation | None = None
            if passing.key and context.accounts:
                passing.key.require_scope(scope)
                reservation = held.enter_context(context.accounts.enter(passing.key))
            held.enter_context(context.bodies.room(request))
            body, warnings = await read_object(context.bodies, request)
            seconds = remaining(request.headers, context.settings.timeout)
            call = Call(context, request, passing, reservation, body, warnings, passing.started + seconds)
            reply = await answer(call)
        return JsonResponse(reply.body, headers=reply.headers)
    except Problem as problem:
        context.metrics.on_rejected(problem.code)
        status, written = writer(body).write_problem(problem, passing.request_id)
        return JsonResponse(written, status, problem.headers)
    except ClientDisconnect:
        context.metrics.on_cancelled(passing.model)
        return Response(status_code=_CLIENT_GONE)
