"""OpenAI's /v1/embeddings: texts in, vectors out, as numbers or in base64."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field
from pydantic import WithJsonSchema as Schema

from qwen3_reranker.serve.dialects.base import JsonArray, JsonObject, JsonValue
from qwen3_reranker.serve.dialects.bodies import EXAMPLE_DOCUMENTS
from qwen3_reranker.serve.dialects.fields import Dimensions, RequestBody, one_of, wrong
from qwen3_reranker.serve.problems import invalid
from qwen3_reranker.serve.protocol import EmbeddingRequest

MAX_TEXTS = 2048


def _texts(value: object) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        tokens = isinstance(texts, list) and all(isinstance(text, list | int) for text in texts)
        # The default of langchain's client.
        cure = "; token ids are not read: send text (langchain: check_embedding_ctx_length=False)" if tokens else ""
        raise wrong("invalid_type", f"must be a string or a list of strings{cure}")
    if not texts:
        raise wrong("no_texts", "must hold at least one text")
    return texts


class EmbeddingsBody(RequestBody):
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
    instruction: str | None = Field(None, description="What the texts are searched for; only for queries.")

    @classmethod
    def example(cls) -> dict[str, Any]:
        """Two texts."""
        return {"input": list(EXAMPLE_DOCUMENTS)}


@dataclass(frozen=True, slots=True)
class Embedded:
    """The source of a reply: vectors (num_texts, dimensions) as float32, and the model's id."""

    request: EmbeddingRequest
    vectors: NDArray[np.float32]
    model: str
    prompt_tokens: int

    def rows(self) -> Iterable[tuple[int, list[float] | str]]:
        """Index and vector of each text."""
        for index, vector in enumerate(np.ascontiguousarray(self.vectors, dtype="<f4")):
            yield index, base64.b64encode(vector.tobytes()).decode() if self.request.base64 else vector.tolist()


EMBEDDINGS_REPLY = JsonObject(
    "Embedded",
    "Vectors in the order of the texts.",
    object="list",
    data=JsonArray(
        JsonObject(
            "Vector",
            "One text's vector, of length 1.",
            object="embedding",
            index=JsonValue(int, lambda row: row[0]),
            embedding=JsonValue(list[float] | str, lambda row: row[1]),
        ),
        Embedded.rows,
    ),
    model=JsonValue(str, lambda embedded: embedded.model),
    usage=JsonObject(
        "TokenUsage",
        "Tokens that are charged.",
        prompt_tokens=JsonValue(int, lambda embedded: embedded.prompt_tokens),
        total_tokens=JsonValue(int, lambda embedded: embedded.prompt_tokens),
    ),
)


def read_embeddings(body: Mapping[str, Any], max_texts: int = MAX_TEXTS) -> EmbeddingRequest:
    """The request of a body. Raises Problem."""
    read = EmbeddingsBody.of(body)
    if len(read.input) > max_texts:
        raise invalid("too_many_texts", f"`input` must hold at most {max_texts} texts", "input")
    return EmbeddingRequest(
        texts=read.input,
        model=read.model or None,
        dimensions=read.dimensions,
        base64=read.encoding_format == "base64",
        instruction=read.instruction or None,
    )
