"""LlamaIndex's query engines with our postprocessor, and its indexes with our embedding."""

import asyncio
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from qwen3_reranker import InputError, Ranking, Reranker
from qwen3_reranker.integrations.llama_index import Qwen3Embedding, Qwen3Rerank
from testing.event_loops import run_while_loop_is_free
from tests.integrations.conftest import DOCUMENTS, INSTRUCTION, QUERY

pytestmark = pytest.mark.slow

GIVEN = [
    NodeWithScore(node=TextNode(text=text, id_=str(number), metadata={}), score=number / 10)
    for number, text in enumerate(DOCUMENTS)
]


def test_the_best_nodes_come_first_with_their_scores_and_the_given_ones_keep_theirs(ranking: Ranking) -> None:
    ranked = Qwen3Rerank(top_n=4).postprocess_nodes(GIVEN, query_str=QUERY)
    assert [int(each.node_id) for each in ranked] == [hit.index for hit in ranking][:4]
    assert [each.score for each in ranked] == [hit.probability for hit in ranking][:4]
    assert [each.score for each in GIVEN] == [number / 10 for number in range(len(GIVEN))]
    assert len(Qwen3Rerank().postprocess_nodes(GIVEN, query_str=QUERY)) == 2
    assert Qwen3Rerank().postprocess_nodes([], query_str=QUERY) == []


def test_the_score_of_the_search_is_kept_in_metadata_on_request() -> None:
    ranked = Qwen3Rerank(top_n=5, keep_retrieval_score=True).postprocess_nodes(GIVEN, query_str=QUERY)
    assert [each.metadata["retrieval_score"] for each in ranked] == [int(each.node_id) / 10 for each in ranked]
    assert all(each.metadata == {} for each in GIVEN)


def test_metadata_is_read_with_the_text_unless_it_is_excluded(nano: Reranker) -> None:
    node = TextNode(text="a text", metadata={"title": "Rice", "path": "x"}, excluded_embed_metadata_keys=["path"])
    [ranked] = Qwen3Rerank(instruction=INSTRUCTION).postprocess_nodes([NodeWithScore(node=node)], query_str=QUERY)
    assert ranked.score == nano.rank(QUERY, ["title: Rice\n\na text"], instruction=INSTRUCTION)[0].probability
    assert ranked.metadata == node.metadata


def test_a_missing_or_blank_query_and_unusable_arguments_are_refused() -> None:
    with pytest.raises(InputError, match="a query is needed"):
        Qwen3Rerank().postprocess_nodes(GIVEN)
    with pytest.raises(InputError, match="must not be blank"):
        Qwen3Rerank().postprocess_nodes(GIVEN, query_str=" ")
    with pytest.raises(ValueError, match="did you mean 'precision'"):
        Qwen3Rerank(options={"precison": "int8"})
    with pytest.raises(ValueError, match="top_n"):
        Qwen3Rerank(top_n=0)


def test_the_loop_is_free_while_nodes_are_ranked(ranking: Ranking) -> None:
    reranker = Qwen3Rerank()
    bundle = QueryBundle(QUERY)
    ranked = run_while_loop_is_free(
        reranker._named.open().runner, lambda: reranker.apostprocess_nodes(GIVEN, query_bundle=bundle)
    )
    assert [int(each.node_id) for each in ranked] == [hit.index for hit in ranking][:2]


def test_handlers_hear_of_the_reranking() -> None:
    handler = LlamaDebugHandler(print_trace_on_end=False)
    Qwen3Rerank(callback_manager=CallbackManager([handler])).postprocess_nodes(GIVEN, query_str=QUERY)
    [[_, ended]] = handler.get_event_pairs(CBEventType.RERANKING)
    assert len(ended.payload["nodes"]) == 2


def test_dictionaries_json_and_pickles_hold_a_component(embedding_model: Path) -> None:
    rerank = Qwen3Rerank(top_n=7, instruction=INSTRUCTION, options={"precision": "int8"})
    embedding = Qwen3Embedding(model_name=str(embedding_model), options={"dim": 32})
    for component in (rerank, embedding):
        for copied in (
            type(component).from_dict(component.to_dict()),
            type(component).from_json(component.to_json()),
            pickle.loads(pickle.dumps(component)),
        ):
            assert copied.to_dict() == component.to_dict()
            assert copied._named == component._named
    assert rerank.to_dict()["class_name"] == "Qwen3Rerank"


def test_vectors_are_those_of_the_library(embedding_model: Path, vectors: tuple[np.ndarray, np.ndarray]) -> None:
    embedding = Qwen3Embedding(model_name=str(embedding_model))
    query, documents = vectors

    async def asynchronous() -> list[Any]:
        return [await embedding.aget_query_embedding(QUERY), *await embedding.aget_text_embedding_batch(DOCUMENTS)]

    for found in (
        [embedding.get_query_embedding(QUERY), *embedding.get_text_embedding_batch(DOCUMENTS)],
        asyncio.run(asynchronous()),
    ):
        np.testing.assert_allclose(found, [query, *documents], atol=1e-6)
    np.testing.assert_allclose(embedding.get_text_embedding(DOCUMENTS[0]), documents[0], atol=1e-6)


def test_an_index_embeds_with_ours_and_its_retriever_is_reranked_by_ours(embedding_model: Path) -> None:
    embedding = Qwen3Embedding(model_name=str(embedding_model))
    nodes = IngestionPipeline(transformations=[embedding]).run(nodes=[each.node for each in GIVEN])
    index = VectorStoreIndex(nodes, embed_model=embedding)
    found = index.as_retriever(similarity_top_k=5).retrieve(QUERY)
    assert len(found) == len([text for text in DOCUMENTS if text])
    [best] = Qwen3Rerank(top_n=1).postprocess_nodes(found, query_str=QUERY)
    assert best.node_id == "1"
