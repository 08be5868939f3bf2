"""Haystack's rankers for Cohere, Jina and vLLM, unmodified, against the running server."""

import asyncio
from typing import Any

import cohere
import pytest
from haystack import Document
from haystack.utils import Secret
from haystack_integrations.components.rankers.cohere import CohereRanker
from haystack_integrations.components.rankers.jina import JinaRanker
from haystack_integrations.components.rankers.vllm import VLLMRanker

from tests.serve.sdks.conftest import BEST, DOCUMENTS, QUERY, Service

GIVEN = [Document(content=text) for text in DOCUMENTS]


def rankers(service: Service, key: str) -> dict[str, Any]:
    secret = Secret.from_token(key)
    return {
        "cohere": CohereRanker("nano", top_k=2, api_key=secret, api_base_url=service.url),
        "jina": JinaRanker("nano", top_k=2, api_key=secret, base_url=f"{service.url}/v1/rerank"),
        "vllm": VLLMRanker(model="nano", top_k=2, api_key=secret, api_base_url=f"{service.url}/v1"),
    }


@pytest.mark.parametrize("name", ["cohere", "jina", "vllm"])
def test_a_ranker_ranks(service: Service, name: str) -> None:
    ranker = rankers(service, service.key)[name]
    ranked = ranker.run(query=QUERY, documents=GIVEN)
    assert ranked["documents"][0].content == DOCUMENTS[BEST]
    assert len(ranked["documents"]) == 2
    assert 0 <= ranked["documents"][0].score <= 1
    if name != "cohere":
        assert ranked["meta"]["model"] == "nano"
        assert ranked["meta"]["usage"]["total_tokens"] > 0


@pytest.mark.parametrize("name", ["cohere", "jina", "vllm"])
def test_a_ranker_ranks_asynchronously(service: Service, name: str) -> None:
    async def rank() -> dict[str, Any]:
        ranker = rankers(service, service.key)[name]
        return dict(await ranker.run_async(query=QUERY, documents=GIVEN))

    assert asyncio.run(rank())["documents"][0].content == DOCUMENTS[BEST]


@pytest.mark.parametrize("name", ["jina", "vllm"])
def test_a_ranker_tells_the_sentence_of_an_error(service: Service, name: str) -> None:
    ranker, wrong = rankers(service, service.key)[name], rankers(service, "wrong")[name]
    with pytest.raises(RuntimeError, match="API key"):
        wrong.run(query=QUERY, documents=GIVEN)
    with pytest.raises(RuntimeError, match="`query` must not be blank"):
        ranker.run(query=" ", documents=GIVEN)
    with service.draining(), pytest.raises(RuntimeError, match="shutting down"):
        ranker.run(query=QUERY, documents=GIVEN)


def test_the_ranker_for_cohere_raises_its_errors(service: Service) -> None:
    with pytest.raises(cohere.UnauthorizedError):
        rankers(service, "wrong")["cohere"].run(query=QUERY, documents=GIVEN)
