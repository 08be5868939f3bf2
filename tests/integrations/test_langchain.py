"""LangChain's own retrievers and rerankers with our classes."""

import asyncio
import pickle
from pathlib import Path

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.load import dumps, loads
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores.utils import maximal_marginal_relevance
from pydantic import ValidationError

from qwen3_reranker import Hit, InputError, Ranking, Receipt, Reranker, select
from qwen3_reranker.integrations.langchain import Qwen3CrossEncoder, Qwen3DocumentCompressor, Qwen3Embeddings
from testing.event_loops import run_while_loop_is_free
from tests.integrations.conftest import DOCUMENTS, INSTRUCTION, QUERY

GIVEN = [Document(text, metadata={"number": number}, id=str(number)) for number, text in enumerate(DOCUMENTS)]


class Everything(BaseRetriever):
    """A retriever that finds all documents."""

    def _get_relevant_documents(self, query: str, *, run_manager: object) -> list[Document]:
        return GIVEN


def test_the_best_documents_come_first_as_copies_with_their_scores(ranking: Ranking) -> None:
    kept = Qwen3DocumentCompressor(top_n=None).compress_documents(GIVEN, QUERY)
    expected = [{"number": hit.index, "relevance_score": hit.probability} for hit in ranking]
    assert [each.metadata for each in kept] == expected
    assert [(each.page_content, each.id) for each in kept] == [(hit.document, str(hit.index)) for hit in ranking]
    assert all("relevance_score" not in each.metadata for each in GIVEN)


def test_three_documents_are_kept_unless_top_n_says_another_number() -> None:
    assert len(Qwen3DocumentCompressor().compress_documents(GIVEN, QUERY)) == 3
    assert len(Qwen3DocumentCompressor(top_n=1).compress_documents(GIVEN, QUERY)) == 1
    assert Qwen3DocumentCompressor().compress_documents([], QUERY) == []


def test_a_set_for_a_prompt_is_what_the_library_selects(ranking: Ranking) -> None:
    given = [each for each in GIVEN if each.page_content]
    doubled = [*given, *(each.model_copy(update={"page_content": f"{each.page_content}!"}) for each in given)]
    kept = Qwen3DocumentCompressor(top_n=None, fold=0.8, fit=30).compress_documents(doubled, QUERY)
    texts = [each.page_content.rstrip("!.") for each in kept]
    assert len(set(texts)) == len(texts) > 0
    expected = select(ranking, diversity=0.5, fit=30)
    kept = Qwen3DocumentCompressor(top_n=None, diversity=0.5, fit=30).compress_documents(GIVEN, QUERY)
    assert [each.page_content for each in kept] == [hit.document for hit in expected]
    assert len(Qwen3DocumentCompressor(top_n=1, fold=0.8).compress_documents(doubled, QUERY)) == 1
    with pytest.raises(ValidationError, match="say how many with top_n"):
        Qwen3DocumentCompressor(top_n=None, diversity=0.5)


@pytest.mark.parametrize("diversity", [0, 0.3, 0.7, 1])
def test_diversity_is_langchains_marginal_relevance_where_probabilities_are_cosines(diversity: float) -> None:
    vectors = np.random.default_rng(0).random((12, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    query = np.array([1.0, 0, 0, 0])
    order = np.argsort(-vectors @ query)
    hits = [Hit(int(place), 0.0, float(vectors[place] @ query), str(place), Receipt(1, 1, 1, 1)) for place in order]
    chosen = select(hits, 6, diversity=diversity, embed=lambda texts: vectors[[int(text) for text in texts]])
    expected = maximal_marginal_relevance(query, list(vectors), 1 - diversity, 6)
    assert [hit.index for hit in chosen] == expected


def test_an_instruction_is_read(nano: Reranker) -> None:
    [best] = Qwen3DocumentCompressor(top_n=1, instruction=INSTRUCTION).compress_documents(GIVEN, QUERY)
    assert best.metadata["relevance_score"] == nano.rank(QUERY, DOCUMENTS, 1, INSTRUCTION)[0].probability


def test_a_blank_query_and_unusable_arguments_are_refused() -> None:
    with pytest.raises(InputError, match="query must not be blank"):
        Qwen3DocumentCompressor().compress_documents(GIVEN, " ")
    with pytest.raises(ValidationError, match="did you mean 'precision'"):
        Qwen3DocumentCompressor(options={"precison": "int8"})
    with pytest.raises(ValidationError, match="unknown precision 'int4'"):
        Qwen3CrossEncoder(options={"precision": "int4"})
    with pytest.raises(ValidationError, match="top_k"):
        Qwen3DocumentCompressor(top_k=3)
    with pytest.raises(ValidationError, match="top_n"):
        Qwen3DocumentCompressor(top_n=0)


def test_langchains_reranker_ranks_with_our_cross_encoder(ranking: Ranking, scores: list[float]) -> None:
    from langchain_classic.retrievers.document_compressors import CrossEncoderReranker

    assert Qwen3CrossEncoder().score([(QUERY, text) for text in DOCUMENTS]) == pytest.approx(scores, abs=1e-6)
    kept = CrossEncoderReranker(model=Qwen3CrossEncoder(), top_n=4).compress_documents(GIVEN, QUERY)
    assert [each.metadata["number"] for each in kept] == [hit.index for hit in ranking][:4]


def test_langchains_retriever_compresses_with_our_class_and_waits_for_it_in_a_thread(ranking: Ranking) -> None:
    from langchain_classic.retrievers import ContextualCompressionRetriever

    compressor = Qwen3DocumentCompressor()
    retriever = ContextualCompressionRetriever(base_compressor=compressor, base_retriever=Everything())
    expected = [hit.index for hit in ranking][:3]
    assert [each.metadata["number"] for each in retriever.invoke(QUERY)] == expected
    found = run_while_loop_is_free(compressor._named.open().runner, lambda: retriever.ainvoke(QUERY))
    assert [each.metadata["number"] for each in found] == expected


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
def test_components_are_written_and_read_by_langchain_and_by_pickle(embedding_model: Path) -> None:
    for component in (
        Qwen3DocumentCompressor(top_n=None, instruction=INSTRUCTION, options={"precision": "int8"}),
        Qwen3CrossEncoder(options={"max_length": 100}),
        Qwen3Embeddings(model=str(embedding_model), options={"dim": 32}),
    ):
        kind = type(component)
        text = dumps(component)
        assert "not_implemented" not in text
        assert loads(text, allowed_objects=[kind], valid_namespaces=["qwen3_reranker"]) == component
        assert pickle.loads(pickle.dumps(component)) == component
        assert component.model_copy(deep=True) == component


def test_vectors_are_those_of_the_library(embedding_model: Path, vectors: tuple[np.ndarray, np.ndarray]) -> None:
    embeddings = Qwen3Embeddings(model=str(embedding_model))
    query, documents = vectors
    np.testing.assert_allclose(embeddings.embed_query(QUERY), query, atol=1e-6)
    np.testing.assert_allclose(embeddings.embed_documents(DOCUMENTS), documents, atol=1e-6)
    assert embeddings.embed_documents([]) == []
    np.testing.assert_allclose(asyncio.run(embeddings.aembed_query(QUERY)), query, atol=1e-6)
