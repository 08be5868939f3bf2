"""Endpoint of /v1/embeddings: texts -> vectors, where an embedder is served."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from qwen3_reranker.errors import RerankerError
from qwen3_reranker.records import Embeddings
from qwen3_reranker.serve.ask import EmbeddingAsk
from qwen3_reranker.serve.call import Call, respond
from qwen3_reranker.serve.context import Context
from qwen3_reranker.serve.dialects.base import Reply
from qwen3_reranker.serve.dialects.embeddings import OpenAIEmbeddings
from qwen3_reranker.serve.problems import Problem, invalid, of_error
from qwen3_reranker.serve.served import ServedEmbedder


class EmbeddingsEndpoint:
    """Answers /v1/embeddings."""

    PATH = "/v1/embeddings"

    def __init__(self, context: Context) -> None:
        self._context = context
        self.dialect = OpenAIEmbeddings()

    async def answer(self, request: Request) -> Response:
        """The reply, or the problem."""
        return await respond(self._context, request, scope="embeddings", writer=self._writer, answer=self._embedded)

    def _writer(self, _body: Mapping[str, Any] | None) -> OpenAIEmbeddings:
        return self.dialect

    async def _embedded(self, call: Call) -> Reply:
        # Before the body is looked at: without an embedder no body would do.
        self._context.models.embedder(None)
        ask = self.dialect.read(call.body)
        model = self._context.models.embedder(ask.model)
        call.choose_model(model.id)
        if ask.dimensions is not None and not 32 <= ask.dimensions <= model.embedder.dim:
            raise invalid("invalid_dimensions", f"must be 32 to {model.embedder.dim}", "dimensions")
        embeddings = await call.finish(self._paid_for(model, ask, call))
        usage = embeddings.usage
        call.settle(documents=len(ask.texts), prompt_tokens=usage.prompt_tokens, computed_tokens=usage.computed_tokens)
        return self.dialect.write(ask, _cut(embeddings.vectors, ask.dimensions), model.id, usage.prompt_tokens)

    async def _paid_for(self, model: ServedEmbedder, ask: EmbeddingAsk, call: Call) -> Embeddings:
        """The vectors, once the key can pay for them: counting takes a thousandth of the time."""
        loop = asyncio.get_running_loop()
        count = partial(model.embedder.count, ask.texts, role=_role(ask), instruction=ask.instruction)
        try:
            tokens = await loop.run_in_executor(self._context.models.tokenising, count)
        except RerankerError as error:
            raise of_error(error) from error
        call.charge(tokens)
        return await _embed(model, ask, call.deadline)


def _role(ask: EmbeddingAsk) -> str:
    return "document" if ask.instruction is None else "query"


async def _embed(model: ServedEmbedder, ask: EmbeddingAsk, deadline: float) -> Embeddings:
    """The vectors; who is late or gone is not computed to the end."""
    loop = asyncio.get_running_loop()
    stopped = threading.Event()

    def go_on(_share: float) -> None:
        if stopped.is_set():
            raise InterruptedError("nobody waits for these vectors")

    def embed() -> Embeddings:
        go_on(0.0)
        return model.embedder.embed(ask.texts, role=_role(ask), instruction=ask.instruction, on_progress=go_on)

    try:
        async with asyncio.timeout_at(loop.time() + deadline - time.monotonic()):
            return await loop.run_in_executor(model.turn, embed)
    except TimeoutError:
        raise Problem(
            504, "timeout_error", "deadline_exceeded", "the deadline passed before the answer was ready"
        ) from None
    except RerankerError as error:
        raise of_error(error) from error
    finally:
        stopped.set()


def _cut(vectors_ND: NDArray[np.float32], dimensions: int | None) -> NDArray[np.float32]:
    """The first numbers of each vector, which are a vector of their own once its length is 1 again."""
    if dimensions is None:
        return vectors_ND
    cut = vectors_ND[:, :dimensions]
    unit: NDArray[np.float32] = cut / np.linalg.norm(cut, axis=1, keepdims=True)
    return unit
