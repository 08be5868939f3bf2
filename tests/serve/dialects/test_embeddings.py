"""What is read from and written to clients of OpenAI's embeddings."""

import base64
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from qwen3_reranker.serve.dialects.base import fill
from qwen3_reranker.serve.dialects.openai_embeddings import EMBEDDINGS_REPLY, Embedded, read_embeddings
from qwen3_reranker.serve.problems import Problem
from qwen3_reranker.serve.protocol import EmbeddingRequest

VECTORS = np.array([[0.6, 0.8], [1, 0]], dtype=np.float32)


def test_texts_and_options_are_read() -> None:
    assert read_embeddings({"input": "a"}) == EmbeddingRequest(["a"])
    body = {"input": ["a", "b"], "model": "m", "encoding_format": "base64", "dimensions": 2, "task": "i", "user": "u"}
    assert read_embeddings(body) == EmbeddingRequest(["a", "b"], "m", 2, base64=True, instruction="i")


@pytest.mark.parametrize(
    ("options", "code", "parameter"),
    [
        ({"input": None}, "missing_required_parameter", "input"),
        ({"input": []}, "no_texts", "input"),
        ({"input": [1, 2]}, "invalid_type", "input"),
        ({"input": ["a"] * 3}, "too_many_texts", "input"),
        ({"encoding_format": "hex"}, "invalid_value", "encoding_format"),
        ({"dimensions": 0}, "invalid_value", "dimensions"),
    ],
)
def test_a_refusal_names_the_place_and_the_reason(options: dict[str, Any], code: str, parameter: str) -> None:
    with pytest.raises(Problem) as raised:
        read_embeddings({"input": "a", **options}, max_texts=2)
    assert (raised.value.status, raised.value.code, raised.value.parameter) == (400, code, parameter)


def test_vectors_are_numbers_or_little_endian_bytes() -> None:
    numbers = fill(EMBEDDINGS_REPLY, Embedded(EmbeddingRequest(["a", "b"]), VECTORS, "m", 7))
    TypeAdapter(EMBEDDINGS_REPLY.type).validate_python(numbers, strict=True)
    assert numbers["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    assert [np.float32(entry["embedding"]).tolist() for entry in numbers["data"]] == VECTORS.tolist()
    coded = fill(EMBEDDINGS_REPLY, Embedded(EmbeddingRequest(["a", "b"], base64=True), VECTORS, "m", 7))
    assert [entry["index"] for entry in coded["data"]] == [0, 1]
    read = [np.frombuffer(base64.b64decode(entry["embedding"]), "<f4").tolist() for entry in coded["data"]]
    assert read == VECTORS.tolist()
