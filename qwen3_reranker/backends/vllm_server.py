"""A plan -> the logit of each row, by a vLLM server elsewhere. It gets token ids, so it needs no template.

The prompt, the cuts and the receipts are those of every other backend. Which weights the server holds cannot be seen.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.backends.base import Backend, Executed, OnProgress, Steps
from qwen3_reranker.backends.classifier_outputs import logit, logit_columns
from qwen3_reranker.endpoints.address import KEY_VARIABLE, ServerAddress
from qwen3_reranker.endpoints.connection import ServerConnection, refuse_without_client
from qwen3_reranker.endpoints.endpoint_errors import EndpointError
from qwen3_reranker.endpoints.listed_models import listed_models
from qwen3_reranker.endpoints.request_loop import RequestLoop
from qwen3_reranker.endpoints.score_transforms import sigmoid
from qwen3_reranker.endpoints.server_options import ServerOptions
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import InputError
from qwen3_reranker.plan import Plan
from qwen3_reranker.weights import Checkpoint

_EXAMPLE = 'engine_options={"url": "http://localhost:8000"}'
# Of ServerOptions, what means nothing where tokens are sent.
_UNUSED = ("dialect", "check", "deadline")
_MOST_ROWS = 64
# A server that starts may need a moment; nothing depends on this answer.
_FIRST_RETRIES = 2
# Bytes of a token id and the comma after it, about.
_TOKEN_BYTES = 7
# Servers of 16 bits keep this distance between a probability and that of the logit.
_SAME = 0.02


def open_backend(
    checkpoint: Checkpoint, options: EngineOptions, constant_prefix: NDArray[np.int32]
) -> VllmServerBackend:
    """The backend, once the server has answered.

    Raises InputError for options, UnavailableError without httpx2, and EndpointError for a server that does not answer
    as vLLM does with a reranker.
    """
    given = dict(options.engine_options or {})
    url = given.pop("url", None)
    if not isinstance(url, str):
        raise InputError(f'backend="vllm-server" needs the address of the server, such as {_EXAMPLE}')
    if unused := [name for name in _UNUSED if name in given]:
        raise InputError(f'{unused[0]} has no meaning for backend="vllm-server", which sends tokens')
    refuse_without_client()
    backend = VllmServerBackend(ServerAddress.of(url), ServerOptions.of(given, url), logit_columns(checkpoint))
    try:
        backend.check(constant_prefix.tolist() or [0], checkpoint.config.row_length(options.max_length))
    except BaseException:
        backend.close()
        raise
    return backend


@dataclass(frozen=True, slots=True)
class _RowRequest:
    """The rows of one request, of the same salt, and where they begin among those of the plan."""

    start: int
    ids: list[list[int]]
    salt: int


class VllmServerBackend:
    """Runs plans on one server. columns: those of yes and of no in its outputs, or of the one output."""

    def __init__(self, address: ServerAddress, options: ServerOptions, columns: Sequence[int]) -> None:
        self._address, self._options, self._columns = address, options, columns
        self._key = os.environ.get(KEY_VARIABLE) if options.api_key is None else options.api_key
        self._connect()

    def steps(self, plan: Plan, on_progress: OnProgress | None = None) -> Steps:
        """The logit of each row, (num_rows, 1). Some requests are under way at once; a step ends with the last of them.

        Equal rows are computed once. computed_tokens: those of the rows that the server does not say that it found in
        its cache; it says so with `--enable-prompt-tokens-details`. cached_tokens: what the tree would have had to
        compute beyond that.
        """
        ends_R, row_N = np.unique(plan.ends(), return_inverse=True)
        logits_R = np.empty(len(ends_R), np.float32)
        computed_tokens = 0
        requests = self._requests(plan, ends_R)
        while some := list(islice(requests, self._options.concurrency)):
            if some[0].start:
                yield
            for asked, (found, cached) in zip(some, self._loop.result(self._together(some)), strict=True):
                logits_R[asked.start : asked.start + len(found)] = found
                computed_tokens += sum(map(len, asked.ids)) - cached
            if on_progress:
                on_progress((some[-1].start + len(some[-1].ids)) / len(ends_R))
        return Executed(logits_R[row_N, None], computed_tokens, max(0, plan.num_tokens - computed_tokens))

    def check(self, ids: list[int], row_length: int) -> None:
        """Ask for one row, as a logit and as a probability. Raises EndpointError for what a reranker would not answer.

        row_length: the longest row that will come; InputError if the server says that it takes less.
        """
        models = self._loop.result(self._connection.said(self._path("/v1/models"), math.inf, _FIRST_RETRIES))
        if (most := _longest_row(models, self._options.served_name)) and most < row_length:
            raise InputError(
                f"{self._address.host} takes rows of up to {most:,} tokens, and rows have up to {row_length:,}: give "
                f"max_length={most}, or start the server with --max-model-len {row_length}"
            )
        raw = logit(self._loop.result(self._outputs([ids]))[0][0], self._columns)
        plain = self._loop.result(self._outputs([ids], use_activation=True))[0][0][self._columns[0]]
        if abs(float(sigmoid(np.array(raw))) - plain) > _SAME:
            raise EndpointError(
                f"{self._address.host}: its logit {raw:.4g} and its probability {plain:.4g} do not belong together; "
                "is it vLLM 0.32 or later with a reranker in it?"
            )

    def close(self) -> None:
        """Close the connections; the backend cannot be used afterwards."""
        self._loop.close()

    def in_forked_child(self, interrupted: bool) -> Backend:
        """The same backend, with connections of its own."""
        self._connect()
        return self

    def _connect(self) -> None:
        self._connection = ServerConnection(self._address, self._options, self._key)
        self._loop = RequestLoop(self._connection.close)

    def _requests(self, plan: Plan, ends_R: NDArray[np.int64]) -> Iterator[_RowRequest]:
        """The rows in the order of the tree, so that those that begin alike come together."""
        most = self._options.max_documents or _MOST_ROWS
        asked, num_bytes = _RowRequest(0, [], 0), 0
        for place, end in enumerate(ends_R.tolist()):
            ids, salt = plan.path(end).tolist(), int(plan.cache_salts_S[end])
            num_bytes += _TOKEN_BYTES * len(ids)
            if asked.ids and (salt != asked.salt or len(asked.ids) == most or num_bytes > self._options.max_bytes):
                yield asked
                asked, num_bytes = _RowRequest(place, [], salt), _TOKEN_BYTES * len(ids)
            elif not asked.ids:
                asked = _RowRequest(place, [], salt)
            asked.ids.append(ids)
        if asked.ids:
            yield asked

    async def _together(self, some: Sequence[_RowRequest]) -> list[tuple[list[float], int]]:
        """The logits of each request, and the tokens that the server had in its cache."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._outputs(each.ids, salt=each.salt)) for each in some]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        answered = [task.result() for task in tasks]
        return [([logit(each, self._columns) for each in outputs], cached) for outputs, cached in answered]

    async def _outputs(
        self, ids: list[list[int]], *, salt: int = 0, use_activation: bool = False
    ) -> tuple[list[list[float]], int]:
        body: dict[str, Any] = {"input": ids, "use_activation": use_activation}
        if salt:
            body["cache_salt"] = str(salt)
        if self._options.served_name is not None:
            body["model"] = self._options.served_name
        reply = await self._connection.reply(self._path("/classify"), body, math.inf)
        return _read(reply, len(ids), max(self._columns) + 1, self._address.host)

    def _path(self, path: str) -> str:
        """Of a route, for a base with or without /v1."""
        return self._address.path.removesuffix("/v1") + path


def _read(reply: bytes, num_rows: int, num_outputs: int, host: str) -> tuple[list[list[float]], int]:
    """The outputs of each row in its order, and the cached tokens that the reply tells."""
    try:
        answer = json.loads(reply)
        outputs = {int(entry["index"]): [float(each) for each in entry["probs"]] for entry in answer["data"]}
        rows = [outputs[row] for row in range(num_rows)]
        details = (answer.get("usage") or {}).get("prompt_tokens_details") or {}
        cached = int(details.get("cached_tokens") or 0)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise EndpointError(f"{host}: /classify does not answer as vLLM does with a reranker") from None
    if (least := min(map(len, rows))) < num_outputs:
        raise EndpointError(f"{host}: /classify gives {least} outputs for a row, and this head has {num_outputs}")
    return rows, cached


def _longest_row(models: Any, name: str | None) -> int | None:
    """The tokens that a server's list of models says a row may have."""
    used = (entry for entry in listed_models(models) if name in (None, entry.get("id")))
    most = next(used, {}).get("max_model_len")
    return most if isinstance(most, int) else None
