"""Ask -> Answer: tokens aside, a turn in the line, and the end of whoever is late or gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qwen3_reranker import score
from qwen3_reranker.errors import QueryTooLongError, RerankerError, TooLongError
from qwen3_reranker.serve.ask import Answer, Ask, Spent, Timings
from qwen3_reranker.serve.problems import Problem, busy, invalid, of_error
from qwen3_reranker.serve.scheduler import Overloaded, ScheduledRequest
from qwen3_reranker.serve.served import Models, ServedReranker


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose request it is: `owner` numbers the key, 0 none; deadline by time.monotonic()."""

    request_id: str
    owner: int
    deadline: float


async def judge(
    ask: Ask, model: ServedReranker, models: Models, caller: Caller, on_counted: Callable[[int], str | None]
) -> Answer:
    """What the model says to an Ask.

    on_counted: told the prompt tokens before anything is computed; it raises Problem for a key that cannot pay for
    them, and returns the cost. Raises Problem; cancelling takes the pairs that have not been computed out of the line.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not ended.done():
            ended.set_result(None)

    def end() -> None:
        loop.call_soon_threadsafe(tell)

    began = time.monotonic()
    try:
        scheduled = await loop.run_in_executor(models.tokenising, _tokenised, ask, model, caller, end)
    except TooLongError as error:
        place = f"{ask.documents_at}.{error.index}"
        raise invalid("context_length_exceeded", "a document does not fit and was not to be cut", place) from None
    except QueryTooLongError as error:
        raise _no_room(error, ask, model) from error
    except RerankerError as error:
        raise of_error(error) from error
    tokenised = time.monotonic()
    prompt_tokens = sum(len(row.ids) for row in scheduled.rows)
    cost = on_counted(prompt_tokens)
    try:
        model.scheduler.submit(scheduled)
        async with asyncio.timeout_at(loop.time() + max(0.0, caller.deadline - time.monotonic())):
            await ended
    except Overloaded as refusal:
        raise busy("overloaded", f"{refusal.reason}; try again later", refusal.retry_after) from None
    except TimeoutError:
        model.scheduler.cancel(scheduled, TimeoutError())
        raise _late() from None
    except asyncio.CancelledError:
        model.scheduler.cancel(scheduled, asyncio.CancelledError())
        raise
    _raise_failure(scheduled)
    receipts = [row.receipt for row in scheduled.rows]
    return Answer(
        request_id=caller.request_id,
        model=model.id,
        created=int(time.time()),
        logits=scheduled.logits_N.tolist(),
        probabilities=score.probabilities(scheduled.logits_N).tolist(),
        order=np.argsort(-scheduled.logits_N, kind="stable")[: ask.top_n].tolist(),
        receipts=receipts,
        spent=Spent(prompt_tokens, scheduled.computed_tokens, sum(row.truncated for row in receipts), cost),
        timings=Timings(
            tokenised - began,
            scheduled.started - scheduled.submitted,
            scheduled.ended - scheduled.started,
            scheduled.ended - began,
        ),
        warnings=ask.warnings,
    )


def _tokenised(ask: Ask, model: ServedReranker, caller: Caller, on_end: Callable[[], None]) -> ScheduledRequest:
    rows = model.reranker.rows(ask.queries, ask.documents, ask.instruction, limits=ask.limits, cache_salt=caller.owner)
    return ScheduledRequest(rows, deadline=caller.deadline, on_end=on_end)


def _no_room(error: QueryTooLongError, ask: Ask, model: ServedReranker) -> Problem:
    asked, least = ask.limits.row_tokens, error.least_tokens
    if asked is None or not asked < least <= model.reranker.tokens.max_length:
        return of_error(error)
    place = "truncate_prompt_tokens"
    message = f"`{place}` counts the whole prompt, which takes {least - 1} tokens here without the document"
    return invalid("invalid_value", f"{message}: it must be at least {least}", place)


def _raise_failure(scheduled: ScheduledRequest) -> None:
    if scheduled.error is None:
        return
    if isinstance(scheduled.error, TimeoutError):
        raise _late()
    if isinstance(scheduled.error, Overloaded):
        raise busy("draining", "the server is shutting down", scheduled.error.retry_after)
    if isinstance(scheduled.error, RerankerError):
        raise of_error(scheduled.error) from scheduled.error
    raise Problem(
        500, "server_error", "inference_error", "the model failed; the server's log says why"
    ) from scheduled.error


def _late() -> Problem:
    return Problem(504, "timeout_error", "deadline_exceeded", "the deadline passed before the answer was ready")
