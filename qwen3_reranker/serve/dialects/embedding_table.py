"""The table of dialects that embed: OpenAI's, TEI's and Cohere's. Texts in, vectors of length 1 out."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field
from pydantic import WithJsonSchema as Schema

from qwen3_reranker.records import Limits
from qwen3_reranker.serve.dialects.base import (
    CANONICAL_ERROR,
    ErrorFormat,
    JsonArray,
    JsonObject,
    JsonOptional,
    JsonValue,
    fill,
)
from qwen3_reranker.serve.dialects.bodies import EXAMPLE_DOCUMENTS, Truncate, renamed
from qwen3_reranker.serve.dialects.document_text import text_of
from qwen3_reranker.serve.dialects.fields import DOCUMENT_SCHEMA, Count, Dimensions, Flag, RequestBody, Side, wrong
from qwen3_reranker.serve.dialects.tei import TEI_ERROR
from qwen3_reranker.serve.problems import Problem, invalid
from qwen3_reranker.serve.protocol import EmbeddingRequest

MAX_TEXTS = 2048
_ENCODINGS = ("float", "base64")
#: What clients call the two roles of a text.
_ROLES = {
    **dict.fromkeys(("query", "search_query", "retrieval.query"), "query"),
    **dict.fromkeys(("document", "passage", "search_document", "retrieval.passage"), "document"),
}


def _texts(value: object) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    if not texts:
        raise wrong("no_texts", "must hold at least one text")
    try:
        return [text_of(text, None, "") for text in texts]
    except Problem:
        tokens = all(isinstance(text, list | int) for text in texts)
        # The default of langchain's client.
        cure = "; token ids are not read: send text (langchain: check_embedding_ctx_length=False)" if tokens else ""
        raise wrong("invalid_type", f"must be a string or a list of strings{cure}") from None


def _role(value: object) -> str:
    role = _ROLES.get(value) if isinstance(value, str) else None
    if role is None:
        raise wrong("invalid_value", "must be one of " + ", ".join(f'"{name}"' for name in _ROLES))
    return role


def _encodings(value: object) -> tuple[str, ...]:
    names = value if isinstance(value, list) else [value]
    if not names or any(name not in _ENCODINGS for name in names):
        raise wrong("invalid_value", 'must be "float" or "base64": this server has no other')
    return tuple(names)


def _normalize(value: object) -> object:
    if value in (False, "false", "False"):
        raise wrong("invalid_value", "must be true: vectors here have length 1")
    return value


_ENCODING_SCHEMA = {"type": "string", "enum": list(_ENCODINGS)}


class EmbeddingsBody(RequestBody):
    """Texts to embed, under every name that clients use."""

    spellings: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "texts": ("input", "inputs", "texts"),
        "role": ("input_type", "prompt_name"),
        "encodings": ("encoding_format", "embedding_types"),
        "dimensions": ("dimensions", "output_dimension"),
        "instruction": ("instruction", "instruct", "task", "prompt"),
        "truncate": ("truncate", "truncation"),
        "truncation_side": ("truncation_direction", "truncation_side"),
    }
    unsupported: ClassVar[frozenset[str]] = frozenset({"images", "priority", "output_dtype"})
    understood: ClassVar[frozenset[str]] = frozenset({"user"})

    model: str | None = Field(None, description="The model's id or another of its names; without one, the default.")
    texts: Annotated[
        list[str],
        BeforeValidator(_texts),
        Schema({"anyOf": [*DOCUMENT_SCHEMA["anyOf"], {"type": "array", "minItems": 1, "items": DOCUMENT_SCHEMA}]}),
    ] = Field(description=f"A text or up to {MAX_TEXTS:,} texts.")
    role: Annotated[str, BeforeValidator(_role), Schema({"type": "string", "enum": list(_ROLES)})] | None = Field(
        None, description="What the texts are; without it queries with an instruction, and documents without."
    )
    encodings: Annotated[
        tuple[str, ...],
        BeforeValidator(_encodings),
        Schema({"anyOf": [_ENCODING_SCHEMA, {"type": "array", "minItems": 1, "items": _ENCODING_SCHEMA}]}),
    ] = Field((), description="Vectors as numbers, or as little-endian float32 in base64.")
    dimensions: Dimensions | None = Field(None, description="Keep so many dimensions; null for all.")
    instruction: str | None = Field(None, description="What the texts are searched for; only for queries.")
    normalize: Annotated[Flag, BeforeValidator(_normalize), Schema({"const": True})] = Field(
        True, description="Vectors have length 1."
    )
    truncate: Truncate | None = Field(None, description="Cut what does not fit, or with false refuse the request.")
    truncation_side: Side | None = Field(None, description="Which end is cut; the right one by default.")
    max_tokens: Count | None = Field(None, description="Read so many tokens of a text; 0 for no limit.")

    @classmethod
    def example(cls) -> dict[str, Any]:
        """Two texts."""
        return {cls._names("texts")[0]: list(EXAMPLE_DOCUMENTS)}

    @classmethod
    def read(cls, body: Mapping[str, Any], max_texts: int = MAX_TEXTS) -> EmbeddingRequest:
        """The request of a body. Raises Problem."""
        read = cls.of(body)
        field = read.field("texts")
        if len(read.texts) > max_texts:
            raise invalid("too_many_texts", f"`{field}` must hold at most {max_texts} texts", field)
        instruction, role = read.instruction or None, read.role
        # Jina's `task` is no instruction.
        if named := _ROLES.get(instruction or ""):
            instruction, role = None, role or named
        cuts_start = read.truncation_side == "left" or (read.truncation_side is None and read.truncate == "start")
        return EmbeddingRequest(
            texts=read.texts,
            model=read.model or None,
            role=role or ("document" if instruction is None else "query"),
            dimensions=read.dimensions,
            encodings=read.encodings,
            instruction=instruction,
            limits=Limits(
                document_tokens=read.max_tokens or None,
                keep="end" if cuts_start else "start",
                truncate=read.truncate != "none",
            ),
        )


@dataclass(frozen=True, slots=True)
class Embedded:
    """The source of a reply: vectors (num_texts, dimensions) as float32, and the model's id."""

    request: EmbeddingRequest
    vectors: NDArray[np.float32]
    model: str
    prompt_tokens: int
    request_id: str


@dataclass(frozen=True, slots=True)
class EmbeddingDialect:
    """A wire format that clients embed texts with; fields as those of Dialect."""

    name: str
    request: type[EmbeddingsBody]
    reply: JsonArray | JsonObject
    paths: tuple[str, ...]
    error: ErrorFormat = CANONICAL_ERROR


def _coded(vector: NDArray[np.float32]) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _indexed(embedded: Embedded) -> Iterator[tuple[int, list[float] | str]]:
    for index, vector in enumerate(embedded.vectors):
        yield index, _coded(vector) if "base64" in embedded.request.encodings else vector.tolist()


_NUMBERS = JsonArray(JsonValue(list[float], lambda vector: vector.tolist()), lambda embedded: embedded.vectors)
_PROMPT_TOKENS = JsonValue(int, lambda embedded: embedded.prompt_tokens)
_OPENAI = JsonObject(
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
        _indexed,
    ),
    model=JsonValue(str, lambda embedded: embedded.model),
    usage=JsonObject(
        "TokenUsage", "Tokens that are charged.", prompt_tokens=_PROMPT_TOKENS, total_tokens=_PROMPT_TOKENS
    ),
)
_BY_TYPE = JsonObject(
    "EmbeddingsByType",
    "Vectors in the order of the texts, in each encoding that was requested.",
    float=JsonOptional(lambda embedded: set(embedded.request.encodings) != {"base64"}, _NUMBERS),
    base64=JsonOptional(
        lambda embedded: "base64" in embedded.request.encodings,
        JsonArray(JsonValue(str, _coded), lambda embedded: embedded.vectors),
    ),
)


def _cohere(name: str, version: str, response_type: JsonValue | str, embeddings: JsonValue | JsonObject) -> JsonObject:
    return JsonObject(
        name,
        "Cohere's reply; texts: as they were sent.",
        id=JsonValue(str, lambda embedded: embedded.request_id),
        response_type=response_type,
        embeddings=embeddings,
        texts=JsonValue(list[str], lambda embedded: embedded.request.texts),
        meta=JsonObject(
            "EmbeddingMeta",
            "Cohere's facts of a request.",
            api_version=JsonObject("Version", "The version of Cohere's API.", version=version, is_experimental=False),
            billed_units=JsonObject("BilledTokens", "Cohere's units.", input_tokens=_PROMPT_TOKENS),
        ),
    )


_COHERE_BODY = renamed(
    EmbeddingsBody,
    "CohereEmbedBody",
    "The same fields, Cohere's names first.",
    texts="texts inputs input",
    encodings="embedding_types encoding_format",
    dimensions="output_dimension dimensions",
)

EMBEDDING_DIALECTS = (
    EmbeddingDialect(
        "openai-embeddings",
        EmbeddingsBody,
        _OPENAI,
        paths=(
            "/v1/embeddings",
            "/embeddings",
            "/infinity/embeddings",
            "/jina/v1/embeddings",
            "/voyage/v1/embeddings",
        ),
    ),
    EmbeddingDialect(
        "tei-embed",
        renamed(
            EmbeddingsBody,
            "TEIEmbedBody",
            "The same fields, TEI's names first.",
            texts="inputs input texts",
            role="prompt_name input_type",
        ),
        _NUMBERS,
        paths=("/embed", "/tei/embed"),
        error=TEI_ERROR,
    ),
    EmbeddingDialect(
        "cohere-embed-v2",
        _COHERE_BODY,
        _cohere("CohereEmbedded", "2", "embeddings_by_type", _BY_TYPE),
        paths=("/v2/embed", "/v1/v2/embed", "/cohere/v2/embed"),
    ),
    EmbeddingDialect(
        "cohere-embed-v1",
        _COHERE_BODY,
        _cohere(
            "CohereV1Embedded",
            "1",
            JsonValue(
                str,
                lambda embedded: "embeddings_by_type" if embedded.request.encodings else "embeddings_floats",
            ),
            JsonValue(
                list[list[float]] | _BY_TYPE.type,
                lambda embedded: fill(_BY_TYPE if embedded.request.encodings else _NUMBERS, embedded),
            ),
        ),
        paths=("/v1/embed", "/v1/v1/embed", "/cohere/v1/embed"),
    ),
)
