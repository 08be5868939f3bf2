"""The routes that embed: texts -> vectors, where an embedder is served."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from qwen3_reranker.errors import RerankerError
from qwen3_reranker.records import Embeddings
from qwen3_reranker.serve.context import Context
from qwen3_reranker.serve.dialects.base import fill, type_of
from qwen3_reranker.serve.dialects.embedding_table import EMBEDDING_DIALECTS, Embedded, EmbeddingDialect
from qwen3_reranker.serve.json_http import JsonResponse, seconds_left, until_disconnect
from qwen3_reranker.serve.middleware import RequestState, state_of
from qwen3_reranker.serve.models import ServedEmbedder
from qwen3_reranker.serve.problems import invalid, late, of_error
from qwen3_reranker.serve.protocol import EmbeddingRequest
from qwen3_reranker.serve.routes.base import HttpEndpoint
from qwen3_reranker.serve.routes.rerank import dialect_errors


def embedding_endpoints(context: Context) -> Iterator[HttpEndpoint]:
    """One endpoint for each path of the dialects that embed."""
    for dialect in EMBEDDING_DIALECTS:
        for path in dialect.paths:
            yield HttpEndpoint(
                "POST",
                path,
                EmbeddingsHandler(context, dialect).answer,
                f"Embed texts ({dialect.name})",
                dialect.name,
                requests=(dialect.request,),
                replies=(type_of(dialect.reply),),
                errors=dialect_errors(dialect.error),
            )


class EmbeddingsHandler:
    """Answers the paths of a dialect."""

    def __init__(self, context: Context, dialect: EmbeddingDialect) -> None:
        self._context = context
        self._dialect = dialect

    async def answer(self, request: Request) -> Response:
        """Read the body, reserve the quota, embed, charge, and write the reply."""
        context, state = self._context, state_of(request)
        state.error_format = self._dialect.error
        with state.admitted(context.accounts, "embeddings"), context.bodies.capacity(request):
            body, _ = await context.bodies.read_object(request)
            state.deadline = state.started + seconds_left(request.headers, context.settings.timeout)
            # Before the body is read in detail: without an embedder no body is right.
            context.models.embedder(None)
            asked = self._dialect.request.read(body)
            model = context.models.embedder(asked.model)
            state.use_model(model.id)
            if asked.dimensions is not None and not 32 <= asked.dimensions <= model.embedder.dim:
                raise invalid("invalid_dimensions", f"must be 32 to {model.embedder.dim}", "dimensions")
            embeddings = await until_disconnect(request, _embed(asked, model, context, state))
            state.settle(len(asked.texts), embeddings.usage)
            vectors = _shortened(embeddings.vectors, asked.dimensions)
            source = Embedded(asked, vectors, model.id, embeddings.usage.prompt_tokens, state.request_id)
            reply = fill(self._dialect.reply, source)
        return JsonResponse(reply)


async def _embed(asked: EmbeddingRequest, model: ServedEmbedder, context: Context, state: RequestState) -> Embeddings:
    """The vectors, once the quota is reserved. Embedding stops after the deadline or when it is cancelled."""
    loop = asyncio.get_running_loop()
    wanted: dict[str, Any] = {"role": asked.role, "instruction": asked.instruction, "limits": asked.limits}
    embed_texts = partial(model.embedder.embed, asked.texts, **wanted)
    count_tokens = partial(model.embedder.count, asked.texts, **wanted)
    stopped = threading.Event()

    def check(_share: float) -> None:
        if stopped.is_set():
            raise InterruptedError("no client waits for these vectors")

    def embed() -> Embeddings:
        check(0.0)
        return embed_texts(on_progress=check)

    try:
        # Counting takes a thousandth of the time of embedding.
        tokens = await loop.run_in_executor(context.models.tokenizing, count_tokens)
        state.reserve(tokens, context.prices.cost(model.id, tokens) if context.prices else None)
        async with asyncio.timeout(state.deadline - time.monotonic()):
            return await loop.run_in_executor(model.worker, embed)
    except TimeoutError:
        raise late() from None
    except RerankerError as error:
        raise of_error(error) from error
    finally:
        stopped.set()


def _shortened(vectors_ND: NDArray[np.float32], dimensions: int | None) -> NDArray[np.float32]:
    """The first dimensions of each vector, at length 1 again."""
    if dimensions is None:
        return vectors_ND
    cut = vectors_ND[:, :dimensions]
    unit: NDArray[np.float32] = cut / np.linalg.norm(cut, axis=1, keepdims=True)
    return unit
