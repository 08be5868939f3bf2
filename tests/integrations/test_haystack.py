"""Haystack's pipelines with our ranker and embedders, as YAML too."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
from haystack.core.errors import DeserializationError
from haystack.document_stores.in_memory import InMemoryDocumentStore

from qwen3_reranker import InputError, Ranking, Reranker
from qwen3_reranker.integrations.haystack import Qwen3Ranker
from qwen3_reranker.integrations.haystack_embedders import Qwen3DocumentEmbedder, Qwen3TextEmbedder
from testing.event_loops import run_while_loop_is_free
from tests.integrations.conftest import DOCUMENTS, INSTRUCTION, QUERY

pytestmark = pytest.mark.slow

GIVEN = [Document(content=text, meta={"number": number}, id=str(number)) for number, text in enumerate(DOCUMENTS)]
OURS = ["qwen3_reranker.integrations.*"]


def numbers(documents: list[Document]) -> list[Any]:
    return [each.meta["number"] for each in documents]


def test_the_best_documents_come_first_as_copies_with_their_scores(ranking: Ranking) -> None:
    ranked = Qwen3Ranker().run(query=QUERY, documents=GIVEN)["documents"]
    assert numbers(ranked) == [hit.index for hit in ranking]
    assert [each.score for each in ranked] == [hit.probability for hit in ranking]
    assert [replace(each, score=None) for each in ranked] == [GIVEN[hit.index] for hit in ranking]
    assert all(each.score is None for each in GIVEN)


def test_how_many_are_returned_is_said_once_or_in_each_call() -> None:
    assert len(Qwen3Ranker(top_k=2).run(query=QUERY, documents=GIVEN)["documents"]) == 2
    assert len(Qwen3Ranker(top_k=2).run(query=QUERY, documents=GIVEN, top_k=4)["documents"]) == 4
    assert Qwen3Ranker().run(query=QUERY, documents=[]) == {"documents": []}
    for refused in (lambda: Qwen3Ranker(top_k=0), lambda: Qwen3Ranker().run(query=QUERY, documents=GIVEN, top_k=0)):
        with pytest.raises(InputError, match="top_k must be a whole number of at least 1"):
            refused()


def test_scores_may_be_logits_and_have_a_threshold(ranking: Ranking) -> None:
    ranked = Qwen3Ranker(scale_score=False, score_threshold=0.0).run(query=QUERY, documents=GIVEN)["documents"]
    assert [each.score for each in ranked] == [hit.logit for hit in ranking if hit.logit >= 0]
    assert 0 < len(ranked) < len(GIVEN)


def test_of_equal_ids_one_document_is_ranked_and_missing_content_is_empty(scores: list[float]) -> None:
    given = [GIVEN[0], replace(GIVEN[0], score=1.0), Document(content=None, meta={"number": "none"})]
    ranked = Qwen3Ranker().run(query=QUERY, documents=given)["documents"]
    assert sorted(numbers(ranked), key=str) == [0, "none"]
    assert next(each.score for each in ranked if each.content is None) == pytest.approx(scores[2], abs=1e-6)


def test_fields_of_the_meta_are_read_before_the_content(nano: Reranker) -> None:
    document = Document(content="a text", meta={"title": "Rice", "year": 2024, "none": None})
    ranker = Qwen3Ranker(meta_fields_to_embed=["title", "none", "year", "other"], instruction=INSTRUCTION)
    [ranked] = ranker.run(query=QUERY, documents=[document])["documents"]
    assert ranked.score == nano.rank(QUERY, ["Rice\n2024\na text"], instruction=INSTRUCTION)[0].probability


def test_the_loop_is_free_while_documents_are_ranked(ranking: Ranking) -> None:
    ranker = Qwen3Ranker()
    asyncio.run(ranker.warm_up_async())
    runner = ranker.named.open().runner
    found = run_while_loop_is_free(runner, lambda: ranker.run_async(query=QUERY, documents=GIVEN))
    assert numbers(found["documents"]) == [hit.index for hit in ranking]
    asyncio.run(ranker.close_async())
    assert len(ranker.run(query=QUERY, documents=GIVEN)["documents"]) == len(GIVEN)


def test_a_pipeline_of_a_retriever_and_our_ranker_survives_yaml_and_runs_both_ways(ranking: Ranking) -> None:
    store = InMemoryDocumentStore()
    store.write_documents(GIVEN)
    pipeline = Pipeline()
    pipeline.add_component("retriever", InMemoryBM25Retriever(document_store=store, top_k=5))
    ranker = Qwen3Ranker(top_k=1, instruction=INSTRUCTION, options={"max_length": 200})
    pipeline.add_component("ranker", ranker)
    pipeline.connect("retriever.documents", "ranker.documents")
    text = pipeline.dumps()
    read = Pipeline.loads(text, allowed_modules=OURS)
    assert read.get_component("ranker").to_dict() == ranker.to_dict()
    assert read.dumps() == text
    data = {"retriever": {"query": "last commit"}, "ranker": {"query": QUERY, "top_k": 2}}
    expected = pipeline.run(data)["ranker"]["documents"]
    assert len(expected) == 2
    assert read.run(data)["ranker"]["documents"] == expected
    assert asyncio.run(read.run_async(data))["ranker"]["documents"] == expected
    with pytest.raises(DeserializationError, match="trusted-module allowlist"):
        Pipeline.loads(text)


def test_an_unknown_option_is_refused_when_the_component_is_made() -> None:
    with pytest.raises(InputError, match="did you mean 'precision'"):
        Qwen3Ranker(options={"precison": "int8"})


def test_vectors_are_those_of_the_library(embedding_model: Path, vectors: tuple[np.ndarray, np.ndarray]) -> None:
    texts, documents = Qwen3TextEmbedder(model=str(embedding_model)), Qwen3DocumentEmbedder(model=str(embedding_model))
    query, expected = vectors
    for embedding in (texts.run(QUERY), asyncio.run(texts.run_async(QUERY))):
        np.testing.assert_allclose(embedding["embedding"], query, atol=1e-6)
    for embedded in (documents.run(GIVEN), asyncio.run(documents.run_async(GIVEN))):
        np.testing.assert_allclose([each.embedding for each in embedded["documents"]], expected, atol=1e-6)
        assert numbers(embedded["documents"]) == list(range(len(GIVEN)))
    assert all(each.embedding is None for each in GIVEN)
    assert documents.run([]) == {"documents": []}


def test_a_pipeline_of_our_embedder_and_a_retriever_survives_yaml(embedding_model: Path) -> None:
    store = InMemoryDocumentStore(embedding_similarity_function="cosine")
    embedder = Qwen3DocumentEmbedder(model=str(embedding_model), meta_fields_to_embed=["number"])
    store.write_documents(embedder.run(GIVEN)["documents"])
    pipeline = Pipeline()
    pipeline.add_component("embedder", Qwen3TextEmbedder(model=str(embedding_model), options={"max_length": 300}))
    pipeline.add_component("retriever", InMemoryEmbeddingRetriever(document_store=store, top_k=5))
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    found = pipeline.run({"embedder": {"text": QUERY}})["retriever"]["documents"]
    assert sorted(numbers(found)) == list(range(len(GIVEN)))
    read = Pipeline.loads(pipeline.dumps(), allowed_modules=OURS)
    assert read.get_component("embedder").to_dict() == pipeline.get_component("embedder").to_dict()
    copied = Qwen3DocumentEmbedder.from_dict(embedder.to_dict())
    assert copied.to_dict() == embedder.to_dict()
