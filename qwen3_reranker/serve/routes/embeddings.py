"""The routes that embed: texts -> vectors, where an embedder is served."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from qwen3_reranker.serve.admitted_request import open_request
from qwen3_reranker.serve.context import Context
from qwen3_reranker.serve.dialects.base import fill, type_of
from qwen3_reranker.serve.dialects.embedding_table import EMBEDDING_DIALECTS, Embedded, EmbeddingDialect
from qwen3_reranker.serve.middleware import state_of
from qwen3_reranker.serve.problems import invalid
from qwen3_reranker.serve.routes.base import HttpEndpoint
from qwen3_reranker.serve.routes.rerank import dialect_errors
from qwen3_reranker.serve.scoring import embed


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
        models, state = self._context.models, state_of(request)
        state.error_format = self._dialect.error
        async with open_request(request, self._context, "embeddings") as admitted:

            async def answered(body: dict[str, Any], _warnings: tuple[str, ...]) -> Response:
                # Before the body is read in detail: without an embedder no body is right.
                models.embedder(None)
                asked = await admitted.run("read", lambda: self._dialect.request.read(body))
                model = models.embedder(asked.model)
                state.use_model(model.id)
                if asked.dimensions is not None and not 32 <= asked.dimensions <= model.embedder.dim:
                    raise invalid("invalid_dimensions", f"must be 32 to {model.embedder.dim}", "dimensions")
                computed = await embed(asked, model, admitted)
                vectors = _shortened(computed.outputs_N, asked.dimensions)
                source = Embedded(asked, vectors, model.id, computed.usage.prompt_tokens, state.request_id)
                return await admitted.respond(lambda: fill(self._dialect.reply, source))

            return await admitted.answer(answered)


def _shortened(vectors_ND: NDArray[np.float32], dimensions: int | None) -> NDArray[np.float32]:
    """The first dimensions of each vector, at length 1 again."""
    if dimensions is None:
        return vectors_ND
    cut = vectors_ND[:, :dimensions]
    unit: NDArray[np.float32] = cut / np.linalg.norm(cut, axis=1, keepdims=True)
    return unit
