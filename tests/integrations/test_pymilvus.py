"""The functions of pymilvus-model, as Milvus's documentation calls them."""

from pathlib import Path

import numpy as np
import pytest
from pymilvus.model.base import BaseEmbeddingFunction, BaseRerankFunction

from qwen3_reranker import InputError, Ranking, Reranker
from qwen3_reranker.integrations.pymilvus import Qwen3EmbeddingFunction, Qwen3RerankFunction
from tests.integrations.conftest import DOCUMENTS, INSTRUCTION, QUERY

pytestmark = pytest.mark.slow


def test_results_are_the_best_documents_with_their_scores_and_places(ranking: Ranking) -> None:
    function = Qwen3RerankFunction()
    assert isinstance(function, BaseRerankFunction)
    results = function(query=QUERY, documents=DOCUMENTS, top_k=3)
    assert [each.to_dict() for each in results] == [
        {"text": hit.document, "score": hit.probability, "index": hit.index} for hit in ranking[:3]
    ]
    assert len(function(QUERY, [*DOCUMENTS, "one more"])) == 5
    assert len(function(QUERY, [*DOCUMENTS, "one more"], top_k=None)) == 6
    assert function(QUERY, []) == []


def test_an_instruction_and_options_are_read_and_wrong_ones_refused(nano: Reranker) -> None:
    [best, *_] = Qwen3RerankFunction(nano, instruction=INSTRUCTION)(QUERY, DOCUMENTS)
    assert best.score == nano.rank(QUERY, DOCUMENTS, instruction=INSTRUCTION)[0].probability
    with pytest.raises(InputError, match="unknown precision 'int4'"):
        Qwen3RerankFunction(precision="int4")
    with pytest.raises(InputError, match="must not be blank"):
        Qwen3RerankFunction(nano)(" ", DOCUMENTS)


def test_vectors_are_those_of_the_library(embedding_model: Path, vectors: tuple[np.ndarray, np.ndarray]) -> None:
    function = Qwen3EmbeddingFunction(embedding_model)
    assert isinstance(function, BaseEmbeddingFunction)
    query, documents = vectors
    assert function.dim == len(query)
    for found, expected in (
        (function.encode_queries([QUERY]), [query]),
        (function.encode_documents(DOCUMENTS), documents),
        (function(DOCUMENTS), documents),
    ):
        assert all(each.dtype == np.float32 and each.shape == (function.dim,) for each in found)
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert Qwen3EmbeddingFunction(embedding_model, dim=32).dim == 32
