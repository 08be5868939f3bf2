"""LlamaIndex's rerankers for Cohere and TEI, unmodified, against the running server."""

import cohere
import pytest
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.cohere_rerank import CohereRerank
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

from tests.serve.sdks.conftest import BEST, DOCUMENTS, QUERY, Service

NODES = [NodeWithScore(node=TextNode(text=text, id_=str(number))) for number, text in enumerate(DOCUMENTS)]


def test_cohere_ranks_nodes(service: Service) -> None:
    ranked = CohereRerank(top_n=2, model="nano", api_key=service.key, base_url=service.url).postprocess_nodes(
        NODES, query_str=QUERY
    )
    assert ranked[0].node.node_id == str(BEST)
    assert len(ranked) == 2
    assert ranked[0].score is not None


@pytest.mark.parametrize("below", ["", "/tei"])
def test_tei_ranks_nodes(service: Service, below: str) -> None:
    ranker = TextEmbeddingInference(top_n=2, base_url=service.url + below, auth_token=f"Bearer {service.key}")
    ranked = ranker.postprocess_nodes(NODES, query_str=QUERY)
    assert ranked[0].node.node_id == str(BEST)
    assert len(ranked) == 2


def test_errors_reach_the_caller(service: Service) -> None:
    wrong = CohereRerank(model="nano", api_key="wrong", base_url=service.url, max_retries=1)
    with pytest.raises(cohere.UnauthorizedError):
        wrong.postprocess_nodes(NODES, query_str=QUERY)
    # It takes any reply for a list of scores, and fails on their count or on the first of them.
    with pytest.raises((AssertionError, TypeError)):
        TextEmbeddingInference(base_url=service.url, auth_token="Bearer wrong").postprocess_nodes(
            NODES, query_str=QUERY
        )
