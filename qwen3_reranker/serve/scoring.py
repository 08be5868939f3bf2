"""ScoreRequest -> ScoreResult, and texts -> vectors: tokenize in turns, reserve the quota, queue, wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker import score as scores
from qwen3_reranker.cascade import BANDS
from qwen3_reranker.errors import QueryTooLongError, RerankerError, TooLongError
from qwen3_reranker.recheck import RecheckedTexts
from qwen3_reranker.records import DocumentScores, Row, Screen, Screening, Usage
from qwen3_reranker.screening import screening_passes
from qwen3_reranker.serve.accounts.prices import dollars, sum_of_costs
from qwen3_reranker.serve.admitted_request import AdmittedRequest
from qwen3_reranker.serve.models import ServedEmbedder, ServedReranker
from qwen3_reranker.serve.problems import Problem, busy, invalid, late, of_error
from qwen3_reranker.serve.protocol import EmbeddingRequest, ScoreRequest, ScoreResult, StageSeconds
from qwen3_reranker.serve.scheduler import Overloaded, ScheduledRequest
from qwen3_reranker.serve.selected_pairs import refuse_selection, selected_pairs


@dataclass(frozen=True, slots=True)
class Computed:
    """What a model made of a request's rows: a logit or a vector of each, (num_rows,) or (num_rows, dim).

    cost: in nanodollars, None without a price.
    """

    outputs_N: NDArray[np.float32]
    rows: Sequence[Row]
    usage: Usage
    seconds: StageSeconds
    cost: int | None


async def score(asked: ScoreRequest, model: ServedReranker, admitted: AdmittedRequest) -> ScoreResult:
    """The scores of a request: those of the judge of its model. Raises Problem."""
    state, judge = admitted.state, model.judge
    calibration = judge.calibration_of(asked.instruction)
    is_calibrated = judge.is_calibrated(asked.instruction)
    if is_calibrated is False and asked.min_probability is not None:
        message = (
            "`min_probability` is a probability of this model's calibration, which belongs to another instruction; "
            "leave one of the two out"
        )
        raise invalid("uncalibrated_instruction", message, "min_probability")
    refuse_selection(asked)
    computed, judged, screening = await _judged(asked, model, admitted)
    state.settle(len(asked.documents), computed.usage)
    logits_N = computed.outputs_N
    probabilities_N = calibration.probabilities(logits_N) if calibration else scores.probabilities(logits_N)
    order_N = np.argsort(-logits_N, kind="stable")[: np.isfinite(logits_N).sum()]
    # No map falls, so those that are left out are the last.
    num_kept = int(np.sum(probabilities_N[order_N] >= np.float32(asked.min_probability or 0)))
    ranked, receipts = order_N[:num_kept].tolist(), [row.receipt for row in computed.rows]
    choice = None
    if asked.selection.given:
        select = partial(selected_pairs, asked, ranked, probabilities_N.tolist(), receipts)
        choice = await admitted.run("select", select)
    return ScoreResult(
        request_id=state.request_id,
        model=model.id,
        created=int(time.time()),
        logits=logits_N.tolist(),
        probabilities=probabilities_N.tolist(),
        order=ranked[: asked.top_n] if choice is None else choice.chosen,
        receipts=receipts,
        usage=computed.usage,
        cost=None if state.cost is None else dollars(state.cost),
        seconds=computed.seconds,
        is_calibrated=is_calibrated,
        left_out=len(order_N) - num_kept,
        none_of_these=num_kept == 0,
        judged=judged,
        screening=screening,
        selection=choice,
    )


async def _judged(
    asked: ScoreRequest, model: ServedReranker, admitted: AdmittedRequest
) -> tuple[Computed, tuple[int, int] | None, Screening | None]:
    """The judge's logits of all pairs, -inf for those that cannot be wanted; the fields `judged` and `screening`."""
    # Only the best of one query's documents are found for less work.
    is_for_best = asked.top_n is not None and not asked.instructions and len(set(asked.queries)) == 1
    if model.then is not None:
        band = model.settings.band or BANDS * (asked.top_n or 0)
        if is_for_best and (asked.top_n or 0) <= band < len(set(asked.documents)):
            return await _cascaded(asked, model, admitted, band)
        return await _pairs(asked, model.then, admitted), (0, len(asked.documents)), None
    # What a threshold leaves out, and what a set is chosen from, are all documents.
    is_of_best = is_for_best and asked.min_probability is None and not asked.selection.given
    if model.screen is not None and is_of_best:
        return await _screened(asked, model, model.screen, admitted)
    return await _pairs(asked, model, admitted), None, None


async def _cascaded(
    asked: ScoreRequest, model: ServedReranker, admitted: AdmittedRequest, band: int
) -> tuple[Computed, tuple[int, int], None]:
    """The judge's logits of the best `band` distinct documents of the model.

    The judge reads all documents, and the most that its part may cost is reserved, before the model computes: what
    cannot be answered costs nothing.
    """
    state, judge, began = admitted.state, model.judge, time.monotonic()
    rows = (await _tokenized(asked, judge, admitted, lambda: None)).rows
    tokens_of = {text: len(row.ids) for text, row in zip(asked.documents, rows, strict=True)}
    most = sum(sorted(tokens_of.values())[-band:])
    state.reserve(most, admitted.context.prices.cost(judge.id, most))
    reading = time.monotonic() - began
    first = await _pairs(asked, model, admitted)
    found = RecheckedTexts(asked.documents, _document_scores(first))
    chosen = found.order_U[:band]
    places = np.unique(found.place_N, return_index=True)[1][chosen]

    def scheduled(on_end: Callable[[], object]) -> Awaitable[ScheduledRequest]:
        make = partial(ScheduledRequest, [rows[place] for place in places], deadline=state.deadline, on_end=on_end)
        return admitted.run("tokenize", make)

    second = await _compute(scheduled, judge, admitted, first)
    found.add(chosen, _document_scores(second))
    logits_N = found.second_U[found.place_N]
    read = [
        by_judge if is_judged else by_first
        for is_judged, by_first, by_judge in zip(np.isfinite(logits_N), first.rows, rows, strict=True)
    ]
    usage = replace(Usage.total((first.usage, second.usage)), truncated_documents=second.usage.truncated_documents)
    seconds = first.seconds + second.seconds + StageSeconds(tokenizing=reading, total=reading)
    state.cost = sum_of_costs(first.cost, second.cost)
    return Computed(logits_N, read, usage, seconds, state.cost), (len(rows), found.rechecked), None


async def _screened(
    asked: ScoreRequest, model: ServedReranker, fast: ServedReranker, admitted: AdmittedRequest
) -> tuple[Computed, None, Screening | None]:
    """The same in passes. Only the first, which is of all documents, is charged."""
    screen = Screen.of(model.settings.screen, model.settings.confidence, asked.top_n)
    assert screen is not None, "it screens"
    passes = screening_passes(asked.documents, screen)
    whole: Computed | None = None
    seconds = StageSeconds()
    try:
        some = next(passes)
        while True:
            part = replace(asked, queries=[asked.queries[0]] * len(some.texts), documents=some.texts)
            computed = await _pairs(
                part, model if some.is_exact else fast, admitted, whole, is_recheck=whole is not None
            )
            whole, seconds = whole or computed, seconds + computed.seconds
            some = passes.send(_document_scores(computed))
    except StopIteration as ended:
        found: DocumentScores = ended.value
    assert whole is not None, "there is a first pass"
    usage = replace(whole.usage, computed_tokens=found.usage.computed_tokens)
    return replace(whole, outputs_N=found.logits, usage=usage, seconds=seconds), None, found.screening


def _document_scores(computed: Computed) -> DocumentScores:
    """The same, for a pass of several. Its probabilities are not looked at."""
    receipts = tuple(row.receipt for row in computed.rows)
    return DocumentScores(computed.outputs_N, computed.outputs_N, receipts, computed.usage)


async def _pairs(
    asked: ScoreRequest,
    model: ServedReranker,
    admitted: AdmittedRequest,
    before: Computed | None = None,
    *,
    is_recheck: bool = False,
) -> Computed:
    """What a model makes of the pairs; the rest is that of `_compute`."""
    return await _compute(partial(_tokenized, asked, model, admitted), model, admitted, before, is_recheck=is_recheck)


async def _tokenized(
    asked: ScoreRequest, model: ServedReranker, admitted: AdmittedRequest, on_end: Callable[[], object]
) -> ScheduledRequest:
    """The pairs in the model's tokens. Raises Problem, which names a field of the request."""

    def rows_of(part: slice) -> list[Row]:
        pairs = list(zip(asked.queries[part], asked.documents[part], strict=True))
        instructions = asked.instructions[part] or [asked.instruction] * len(pairs)
        salt, rows = admitted.state.tenant, list[Row]()
        for instruction, some in groupby(zip(instructions, pairs, strict=True), key=itemgetter(0)):
            queries, documents = zip(*(pair for _, pair in some), strict=True)
            rows += model.reranker.rows(queries, documents, instruction, limits=asked.limits, cache_salt=salt)
        return rows

    try:
        return await admitted.schedule(asked.queries, asked.documents, rows_of, on_end)
    except TooLongError as error:
        field = f"{asked.documents_field}.{error.index}"
        raise invalid("context_length_exceeded", "a document does not fit and was not to be cut", field) from None
    except QueryTooLongError as error:
        raise _query_too_long(error, asked, model) from error
    except RerankerError as error:
        raise of_error(error) from error


async def embed(asked: EmbeddingRequest, model: ServedEmbedder, admitted: AdmittedRequest) -> Computed:
    """The vectors of a request. Raises Problem."""
    rows = partial(model.embedder.rows, role=asked.role, instruction=asked.instruction, limits=asked.limits)

    def rows_of(part: slice) -> list[Row]:
        return rows(asked.texts[part], cache_salt=admitted.state.tenant)

    schedule = partial(admitted.schedule, [""] * len(asked.texts), asked.texts, rows_of)
    try:
        computed = await _compute(schedule, model, admitted)
    except RerankerError as error:
        raise of_error(error) from error
    admitted.state.settle(len(asked.texts), computed.usage)
    return computed


async def _compute(
    schedule: Callable[[Callable[[], object]], Awaitable[ScheduledRequest]],
    model: ServedReranker | ServedEmbedder,
    admitted: AdmittedRequest,
    before: Computed | None = None,
    *,
    is_recheck: bool = False,
) -> Computed:
    """What the model makes of a request, reserved and not settled yet. Cancelled, rows not computed leave the queue.

    schedule: makes the request, with what to call at its end. before: what another model made of it, which is charged
    too if the caller does not wait for this one, and with which this one's part was reserved. is_recheck: only `before`
    is charged. Raises Problem, and what `schedule` raises.
    """
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    began = time.monotonic()
    try:
        scheduled = await schedule(lambda: loop.call_soon_threadsafe(ended.set))
    except asyncio.CancelledError:
        if before is not None:
            admitted.state.cost = before.cost
            admitted.state.settle(len(before.rows), before.usage, admitted.state.status_without_reply())
        raise
    tokenized = time.monotonic()
    prompt_tokens = sum(len(row.ids) for row in scheduled.rows)
    cost = admitted.context.prices.cost(model.id, prompt_tokens)
    if before is None:
        admitted.state.reserve(prompt_tokens, cost)
    try:
        await wait(scheduled, model, ended)
    except BaseException:
        _charge_unfinished(scheduled, model, admitted, before, is_recheck)
        raise
    seconds = StageSeconds(
        tokenizing=tokenized - began,
        queueing=scheduled.started - scheduled.submitted,
        computing=scheduled.ended - scheduled.started,
        total=scheduled.ended - began,
    )
    usage = Usage(prompt_tokens, scheduled.computed_tokens, 0, sum(row.receipt.truncated for row in scheduled.rows))
    if is_recheck:
        admitted.context.metrics.on_recheck(model.id, len(scheduled.rows), usage)
    else:
        admitted.context.metrics.on_result(model.id, len(scheduled.rows), usage, seconds)
    return Computed(scheduled.outputs_N, scheduled.rows, usage, seconds, cost)


async def wait(scheduled: ScheduledRequest, model: ServedReranker | ServedEmbedder, ended: asyncio.Event) -> None:
    """Queue a request until it is computed. Raises Problem."""
    try:
        model.scheduler.submit(scheduled)
        await ended.wait()
    except Overloaded as overloaded:
        raise busy("overloaded", f"{overloaded.reason}; try again later", overloaded.retry_after) from None
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


def _charge_unfinished(
    scheduled: ScheduledRequest,
    model: ServedReranker | ServedEmbedder,
    admitted: AdmittedRequest,
    before: Computed | None,
    is_recheck: bool,
) -> None:
    """Charge what was computed of a request whose caller left or whose deadline passed, and of no other."""
    # Without an error it was finished as its caller left.
    ended_by_caller = scheduled.error is None or isinstance(scheduled.error, TimeoutError | asyncio.CancelledError)
    documents, usage = scheduled.begun_usage()
    if not (scheduled.is_over and ended_by_caller and (documents or before)):
        return
    state, cost = admitted.state, admitted.context.prices.cost(model.id, usage.prompt_tokens)
    if before is not None and is_recheck:
        documents, usage, cost = len(before.rows), before.usage, before.cost
    elif before is not None:
        documents, usage = len(before.rows), Usage.total((before.usage, usage))
        cost = sum_of_costs(before.cost, cost)
    state.cost = cost
    state.settle(documents, usage, state.status_without_reply())


def _query_too_long(error: QueryTooLongError, asked: ScoreRequest, model: ServedReranker) -> Problem:
    limit, least = asked.limits.row_tokens, error.least_tokens
    if limit is None or not limit < least <= model.reranker.tokens.max_length:
        return of_error(error)
    field = "truncate_prompt_tokens"
    message = f"`{field}` counts the whole prompt, which takes {least - 1} tokens here without the document"
    return invalid("invalid_value", f"{message}: it must be at least {least}", field)
