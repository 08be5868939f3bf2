"""OpenAI's /v1/embeddings: texts in, vectors out, as numbers or in base64."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field
from pydantic import WithJsonSchema as Schema
from typing_extensions import TypedDict

from qwen3_reranker.serve.ask import EmbeddingAsk
from qwen3_reranker.serve.dialects.base import Reply
from qwen3_reranker.serve.dialects.fields import Body, Dimensions, one_of, wrong
from qwen3_reranker.serve.dialects.rerank import EXAMPLE_DOCUMENTS, Error, TokenUsage, error_of
from qwen3_reranker.serve.problems import Problem, invalid

MAX_TEXTS = 2048


def _texts(value: object) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        tokens = isinstance(texts, list) and all(isinstance(text, list | int) for text in texts)
        # What langchain's client sends unless it is told otherwise.
        cure = "; token ids are not read: send text (langchain: check_embedding_ctx_length=False)" if tokens else ""
        raise wrong("invalid_type", f"must be a string or a list of strings{cure}")
    if not texts:
        raise wrong("no_texts", "must hold at least one text")
    return texts


class EmbeddingsBody(Body):
    """Texts to embed."""

    spellings: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "instruction": ("instruction", "instruct", "task", "prompt"),
    }
    understood: ClassVar[frozenset[str]] = frozenset({"user"})

    model: str | None = Field(None, description="The model's id or another of its names; without one, the default.")
    input: Annotated[
        list[str],
        BeforeValidator(_texts),
        Schema({"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": {"type": "string"}}]}),
    ] = Field(description=f"A text or up to {MAX_TEXTS:,} texts.")
    encoding_format: Annotated[
        str, BeforeValidator(one_of("float", "base64")), Schema({"type": "string", "enum": ["float", "base64"]})
    ] = Field("float", description="Vectors as numbers, or as little-endian float32 in base64.")
    dimensions: Dimensions | None = Field(None, description="Keep so many dimensions; null for all.")
    instruction: str | None = Field(None, description="What the texts are searched for, for queries alone.")

    @classmethod
    def example(cls) -> dict[str, Any]:
        """Two texts."""
        return {"input": list(EXAMPLE_DOCUMENTS)}


class Vector(TypedDict):
    """One text's vector, of length 1."""

    object: str
    index: int
    embedding: list[float] | str


class Embedded(TypedDict):
    """Vectors in the order of the texts."""

    object: str
    data: list[Vector]
    model: str
    usage: TokenUsage


class OpenAIEmbeddings:
    """/v1/embeddings."""

    name = "openai-embeddings"
    request = EmbeddingsBody
    response: Any = Embedded
    error: Any = Error

    def __init__(self, max_texts: int = MAX_TEXTS) -> None:
        self._max_texts = max_texts

    def read(self, body: Mapping[str, Any]) -> EmbeddingAsk:
        """What a body asks for. Raises Problem."""
        asked = EmbeddingsBody.of(body)
        if len(asked.input) > self._max_texts:
            raise invalid("too_many_texts", f"`input` must hold at most {self._max_texts} texts", "input")
        return EmbeddingAsk(
            texts=asked.input,
            model=asked.model or None,
            dimensions=asked.dimensions,
            base64=asked.encoding_format == "base64",
            instruction=asked.instruction or None,
        )

    def write(self, ask: EmbeddingAsk, vectors: NDArray[np.float32], model: str, prompt_tokens: int) -> Reply:
        """The reply for vectors (texts, dimensions); model: the id under which it is served."""
        little = np.ascontiguousarray(vectors, dtype="<f4")
        data: list[Vector] = [
            {
                "object": "embedding",
                "index": index,
                "embedding": base64.b64encode(vector.tobytes()).decode() if ask.base64 else vector.tolist(),
            }
            for index, vector in enumerate(little)
        ]
        body: Embedded = {
            "object": "list",
            "data": data,
            "model": model,
            "usage": {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens},
        }
        return Reply(body, {})

    def write_problem(self, problem: Problem, request_id: str) -> tuple[int, Any]:
        """The error for every client."""
        return problem.status, error_of(problem, request_id)
