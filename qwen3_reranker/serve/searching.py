"""SearchRequest -> SearchAnswer: search in a thread, judge in turns of the scheduler, charge what was computed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from qwen3_reranker.errors import RerankerError, UnavailableError
from qwen3_reranker.records import Row, Usage
from qwen3_reranker.search.results import SearchResults
from qwen3_reranker.search.search_index import Staleness
from qwen3_reranker.search.selected_hits import unjudged_option
from qwen3_reranker.serve.accounts.prices import dollars
from qwen3_reranker.serve.admitted_request import AdmittedRequest
from qwen3_reranker.serve.models import UNCALIBRATED, ServedReranker
from qwen3_reranker.serve.problems import Problem, invalid, of_error
from qwen3_reranker.serve.protocol import SearchRequest, StageSeconds
from qwen3_reranker.serve.scheduler import ScheduledRequest
from qwen3_reranker.serve.scoring import wait
from qwen3_reranker.serve.served_index import ServedIndex

# Of the time until the deadline, a search may take this share: its reply must be written too.
_DEADLINE_SHARE = 0.9
# Limits and overload that leave the passages that are left to the first stage.
_ENDING = (402, 429, 503)


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """Results of a search. collections: all of the index. stale: of its folders. cost: US dollars, None if free."""

    request_id: str
    model: str | None
    results: SearchResults
    collections: Sequence[str]
    stale: Staleness
    usage: Usage
    cost: str | None
    warnings: tuple[str, ...]


async def search(asked: SearchRequest, served: ServedIndex, admitted: AdmittedRequest) -> SearchAnswer:
    """The best documents within the budget and the deadline. Cancelled, nothing more is computed. Raises Problem."""
    state, model, index = admitted.state, served.model, served.index
    if model is not None:
        state.use_model(model.id)
    turns = _Turns(model, admitted) if model is not None and asked.rerank else None
    if turns is None and (refused := unjudged_option(asked.selection)):
        name, reason = refused
        raise invalid("invalid_value", f"`{name}`: {reason}", name)
    left = _DEADLINE_SHARE * (state.deadline - time.monotonic())
    budget = max(min(asked.budget, left), 1e-3)

    def find() -> tuple[SearchResults, tuple[str, ...]]:
        names = tuple(index.folders())
        if set(asked.filters.collections or ()) - set(names):
            raise invalid("unknown_collection", f"`collections` may hold {', '.join(names) or 'none'}", "collections")
        results = index.search(
            asked.query,
            asked.limit,
            instruction=asked.instruction,
            budget=budget,
            filters=asked.filters,
            rerank=turns is not None,
            selection=asked.selection,
            judge_rows=turns,
            owner=state.key.id if state.key else "",
        )
        return results, names

    try:
        results, collections = await served.run(find)
    except asyncio.CancelledError:
        if turns is not None:
            turns.end()
            turns.settle(state.status_without_reply())
        raise
    except UnavailableError as error:
        raise Problem(500, "server_error", "index_error", "the index failed; the server's log says why") from error
    except RerankerError as error:
        raise of_error(error) from error
    warnings = turns.warnings if turns is not None else ()
    if model is not None:
        results = _calibrated(results, model, asked.instruction)
        if turns is not None and model.is_calibrated(asked.instruction) is False:
            warnings += (UNCALIBRATED,)
    usage = Usage(0, 0, 0, 0)
    if turns is not None:
        usage = turns.settle()
    else:
        state.settle(0, usage)
    return SearchAnswer(
        state.request_id,
        model.id if model is not None else None,
        results,
        collections,
        served.stale,
        usage,
        None if state.cost is None else dollars(state.cost),
        warnings,
    )


def _calibrated(results: SearchResults, model: ServedReranker, instruction: str | None) -> SearchResults:
    """The same with the probabilities of the model's calibration, if it holds for the instruction."""
    logits = [hit.logit for hit in results if hit.logit is not None]
    values = iter(model.probabilities(np.array(logits, np.float32), instruction).tolist())
    hits = tuple(hit if hit.logit is None else replace(hit, probability=next(values)) for hit in results)
    return replace(results, hits=hits)


class _Turns:
    """Judges the rows of one search: each call, from the thread that searches, is a request to the scheduler."""

    def __init__(self, model: ServedReranker, admitted: AdmittedRequest) -> None:
        self._model = model
        self._admitted = admitted
        self._loop = asyncio.get_running_loop()
        self._requests: list[ScheduledRequest] = []
        self._reserved = 0
        self._is_over = False
        self.warnings: tuple[str, ...] = ()

    def __call__(self, rows: Sequence[Row], deadline: float) -> list[float] | None:
        """The logits; None if they are not there by the deadline. Raises Problem, or CancelledError after `end`."""
        ended = asyncio.Event()
        scheduled = ScheduledRequest(
            [replace(row, cache_salt=self._admitted.state.tenant) for row in rows],
            deadline=deadline,
            on_end=lambda: self._loop.call_soon_threadsafe(ended.set),
        )
        return asyncio.run_coroutine_threadsafe(self._computed(scheduled, ended), self._loop).result()

    async def _computed(self, scheduled: ScheduledRequest, ended: asyncio.Event) -> list[float] | None:
        if self._is_over:
            raise asyncio.CancelledError
        try:
            # A row without a document is there to measure the speed, and costs nothing.
            if any(row.receipt.document_tokens for row in scheduled.rows):
                self._reserve(sum(len(row.ids) for row in scheduled.rows))
                self._requests.append(scheduled)
            async with asyncio.timeout(scheduled.deadline - time.monotonic()):
                await wait(scheduled, self._model, ended)
        except TimeoutError:
            return None
        except Problem as problem:
            # A key that may judge nothing at all is told so.
            is_refused = problem.status in (402, 429) and not self._requests
            if is_refused or problem.status not in (*_ENDING, 504):
                raise
            self.warnings = (f"not all was judged: {problem.message}",) if problem.status in _ENDING else ()
            return None
        logits: list[float] = scheduled.outputs_N.tolist()
        return logits

    def _cost(self, tokens: int) -> int | None:
        return self._admitted.context.prices.cost(self._model.id, tokens)

    def _reserve(self, tokens: int) -> None:
        before, after = self._cost(self._reserved), self._cost(self._reserved + tokens)
        self._admitted.state.reserve(tokens, None if after is None or before is None else after - before)
        self._reserved += tokens

    def end(self) -> None:
        """Compute nothing more; in the loop's thread."""
        self._is_over = True
        for request in self._requests:
            self._model.scheduler.cancel(request, asyncio.CancelledError())

    def settle(self, status: int = 200) -> Usage:
        """Charge what was computed, and nothing else; the usage."""
        state, total, seconds = self._admitted.state, Usage(0, 0, 0, 0), StageSeconds()
        documents = 0
        for request in self._requests:
            begun, usage = request.begun_usage()
            documents += begun
            total = Usage(
                total.prompt_tokens + usage.prompt_tokens,
                total.computed_tokens + usage.computed_tokens,
                0,
                total.truncated_documents + usage.truncated_documents,
            )
            if request.started:
                waited, computed = request.started - request.submitted, request.ended - request.started
                seconds = replace(seconds, queueing=seconds.queueing + waited, computing=seconds.computing + computed)
        state.cost = self._cost(total.prompt_tokens)
        if documents and status == 200:
            self._admitted.context.metrics.on_result(self._model.id, documents, total, seconds)
        if documents or status == 200:
            state.settle(documents, total, status)
        return total
