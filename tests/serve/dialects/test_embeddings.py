"""What is read from and written to clients that embed: OpenAI's, TEI's and Cohere's."""

import base64
import json
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from qwen3_reranker.records import Limits
from qwen3_reranker.serve.dialects.base import fill, type_of
from qwen3_reranker.serve.dialects.embedding_table import EMBEDDING_DIALECTS, Embedded, EmbeddingsBody
from qwen3_reranker.serve.problems import Problem
from qwen3_reranker.serve.protocol import EmbeddingRequest

VECTORS = np.array([[0.6, 0.8], [1, 0]], dtype=np.float32)
NUMBERS = VECTORS.tolist()
CODED = [base64.b64encode(vector.astype("<f4").tobytes()).decode() for vector in VECTORS]
DIALECTS = {dialect.name: dialect for dialect in EMBEDDING_DIALECTS}
read = EmbeddingsBody.read


def test_texts_and_options_are_read() -> None:
    assert read({"input": "a"}) == EmbeddingRequest(["a"])
    body = {"input": ["a", "b"], "model": "m", "encoding_format": "base64", "dimensions": 2, "task": "i", "user": "u"}
    assert read(body) == EmbeddingRequest(["a", "b"], "m", "query", 2, ("base64",), "i")


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
@pytest.mark.parametrize("name", ["input", "inputs", "texts"])
def test_texts_go_by_every_name(dialect: Any, name: str) -> None:
    texts = ["a", {"text": "b"}, {"content": [{"type": "text", "text": "c"}]}]
    assert dialect.request.read({name: texts}).texts == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("options", "role"),
    [
        ({}, "document"),
        ({"instruction": "find it"}, "query"),
        ({"input_type": "search_query"}, "query"),
        ({"input_type": "search_document"}, "document"),
        ({"input_type": "passage"}, "document"),
        ({"prompt_name": "query"}, "query"),
        ({"task": "retrieval.query"}, "query"),
        ({"task": "retrieval.passage"}, "document"),
    ],
)
def test_a_role_goes_by_the_words_of_every_client(options: dict[str, Any], role: str) -> None:
    asked = read({"input": "a", **options})
    assert asked.role == role
    assert asked.instruction == options.get("instruction")


def test_what_does_not_fit_is_cut_as_asked() -> None:
    assert read({"input": "a", "truncate": "START", "max_tokens": 7}).limits == Limits(7, keep="end")
    assert read({"input": "a", "truncate": True, "truncation_direction": "Left"}).limits == Limits(keep="end")
    assert read({"input": "a", "truncate": False}).limits == Limits(truncate=False)


@pytest.mark.parametrize(
    ("options", "code", "parameter"),
    [
        ({"input": None}, "missing_required_parameter", "input"),
        ({"input": []}, "no_texts", "input"),
        ({"input": [1, 2]}, "invalid_type", "input"),
        ({"input": ["a"] * 3}, "too_many_texts", "input"),
        ({"encoding_format": "hex"}, "invalid_value", "encoding_format"),
        ({"embedding_types": ["float", "int8"]}, "invalid_value", "embedding_types"),
        ({"input_type": "clustering"}, "invalid_value", "input_type"),
        ({"normalize": False}, "invalid_value", "normalize"),
        ({"dimensions": 0}, "invalid_value", "dimensions"),
    ],
)
def test_a_refusal_names_the_place_and_the_reason(options: dict[str, Any], code: str, parameter: str) -> None:
    with pytest.raises(Problem) as raised:
        read({"input": "a", **options}, max_texts=2)
    assert (raised.value.status, raised.value.code, raised.value.parameter) == (400, code, parameter)


def test_an_encoding_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(Problem, match='"float" or "base64"'):
        read({"texts": ["a"], "embedding_types": ["ubinary"]})


def openai(vectors: list[Any]) -> dict[str, Any]:
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 7, "total_tokens": 7}}


def cohere(version: str, response_type: str, embeddings: Any) -> dict[str, Any]:
    meta = {"api_version": {"version": version, "is_experimental": False}, "billed_units": {"input_tokens": 7}}
    found = {"response_type": response_type, "embeddings": embeddings}
    return {"id": "req_1", **found, "texts": ["a", "b"], "meta": meta}


REPLIES: dict[str, tuple[str, tuple[str, ...], Any]] = {
    "openai, numbers": ("openai-embeddings", (), openai(NUMBERS)),
    "openai, base64": ("openai-embeddings", ("base64",), openai(CODED)),
    "tei": ("tei-embed", (), NUMBERS),
    "cohere v2": ("cohere-embed-v2", ("float",), cohere("2", "embeddings_by_type", {"float": NUMBERS})),
    "cohere v2, no type": ("cohere-embed-v2", (), cohere("2", "embeddings_by_type", {"float": NUMBERS})),
    "cohere v2, both types": (
        "cohere-embed-v2",
        ("base64", "float"),
        cohere("2", "embeddings_by_type", {"float": NUMBERS, "base64": CODED}),
    ),
    "cohere v1": ("cohere-embed-v1", (), cohere("1", "embeddings_floats", NUMBERS)),
    "cohere v1 by type": ("cohere-embed-v1", ("base64",), cohere("1", "embeddings_by_type", {"base64": CODED})),
}


@pytest.mark.parametrize(("name", "encodings", "expected"), REPLIES.values(), ids=REPLIES)
def test_the_reply_is(name: str, encodings: tuple[str, ...], expected: Any) -> None:
    reply = DIALECTS[name].reply
    written = fill(reply, Embedded(EmbeddingRequest(["a", "b"], encodings=encodings), VECTORS, "m", 7, "req_1"))
    TypeAdapter(type_of(reply)).validate_python(written, strict=True)
    assert json.loads(json.dumps(written)) == expected


def test_every_dialect_is_among_the_replies() -> None:
    assert {name for name, _, _ in REPLIES.values()} == set(DIALECTS)
