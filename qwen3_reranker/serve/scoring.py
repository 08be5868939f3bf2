"""ScoreRequest -> ScoreResult: tokenize in a worker thread, queue, and cancel on deadline or disconnect."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import numpy as np

from qwen3_reranker import score as scores
from qwen3_reranker.errors import QueryTooLongError, RerankerError, TooLongError
from qwen3_reranker.records import Usage
from qwen3_reranker.serve.accounts.prices import dollars
from qwen3_reranker.serve.context import Context
from qwen3_reranker.serve.middleware import RequestState
from qwen3_reranker.serve.models import ServedReranker
from qwen3_reranker.serve.problems import Problem, busy, invalid, late, of_error
from qwen3_reranker.serve.protocol import ScoreRequest, ScoreResult, StageSeconds
from qwen3_reranker.serve.scheduler import Overloaded, ScheduledRequest


async def score(asked: ScoreRequest, model: ServedReranker, context: Context, state: RequestState) -> ScoreResult:
    """The scores of a request, once its quota is reserved.

    Raises Problem. When it is cancelled, the pairs that are not computed leave the queue.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def on_end() -> None:
        loop.call_soon_threadsafe(ended.set)

    began = time.monotonic()
    try:
        scheduled = await loop.run_in_executor(context.models.tokenizing, _tokenize, asked, model, state, on_end)
    except TooLongError as error:
        field = f"{asked.documents_field}.{error.index}"
        raise invalid("context_length_exceeded", "a document does not fit and was not to be cut", field) from None
    except QueryTooLongError as error:
        raise _query_too_long(error, asked, model) from error
    except RerankerError as error:
        raise of_error(error) from error
    tokenized = time.monotonic()
    prompt_tokens = sum(len(row.ids) for row in scheduled.rows)
    state.reserve(prompt_tokens, context.prices.cost(model.id, prompt_tokens) if context.prices else None)
    await _compute(scheduled, model, ended)
    receipts = [row.receipt for row in scheduled.rows]
    return ScoreResult(
        request_id=state.request_id,
        model=model.id,
        created=int(time.time()),
        logits=scheduled.logits_N.tolist(),
        probabilities=scores.probabilities(scheduled.logits_N).tolist(),
        order=np.argsort(-scheduled.logits_N, kind="stable")[: asked.top_n].tolist(),
        receipts=receipts,
        usage=Usage(prompt_tokens, scheduled.computed_tokens, 0, sum(receipt.truncated for receipt in receipts)),
        cost=None if state.cost is None else dollars(state.cost),
        seconds=StageSeconds(
            tokenizing=tokenized - began,
            queueing=scheduled.started - scheduled.submitted,
            computing=scheduled.ended - scheduled.started,
            total=scheduled.ended - began,
        ),
    )


def _tokenize(
    asked: ScoreRequest, model: ServedReranker, state: RequestState, on_end: Callable[[], None]
) -> ScheduledRequest:
    rows = model.reranker.rows(
        asked.queries, asked.documents, asked.instruction, limits=asked.limits, cache_salt=state.tenant
    )
    return ScheduledRequest(rows, deadline=state.deadline, on_end=on_end)


async def _compute(scheduled: ScheduledRequest, model: ServedReranker, ended: asyncio.Event) -> None:
    """Wait until a request is computed. Raises Problem."""
    try:
        model.scheduler.submit(scheduled)
        async with asyncio.timeout(max(0.0, scheduled.deadline - time.monotonic())):
            await ended.wait()
    except Overloaded as overloaded:
        raise busy("overloaded", f"{overloaded.reason}; try again later", overloaded.retry_after) from None
    except TimeoutError:
        model.scheduler.cancel(scheduled, TimeoutError())
        raise late() from None
    except asyncio.CancelledError:
        model.scheduler.cancel(scheduled, asyncio.CancelledError())
        raise
    if isinstance(scheduled.error, TimeoutError):
        raise late()
    if isinstance(scheduled.error, Overloaded):
        raise busy("draining", "the server is shutting down", scheduled.error.retry_after)
    if isinstance(scheduled.error, RerankerError):
        raise of_error(scheduled.error) from scheduled.error
    if scheduled.error is not None:
        message = "the model failed; the server's log says why"
        raise Problem(500, "server_error", "inference_error", message) from scheduled.error


def _query_too_long(error: QueryTooLongError, asked: ScoreRequest, model: ServedReranker) -> Problem:
    limit, least = asked.limits.row_tokens, error.least_tokens
    if limit is None or not limit < least <= model.reranker.tokens.max_length:
        return of_error(error)
    field = "truncate_prompt_tokens"
    message = f"`{field}` counts the whole prompt, which takes {least - 1} tokens here without the document"
    return invalid("invalid_value", f"{message}: it must be at least {least}", field)
