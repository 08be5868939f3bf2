"""LiteLLM, unmodified, against the running server: as each provider whose address it lets one choose."""

import asyncio
from typing import Any

import litellm
import pytest

from tests.serve.sdks.conftest import BEST, DOCUMENTS, QUERY, Service

WAYS = {"cohere": "cohere/nano", "hosted_vllm": "hosted_vllm/nano"}
each_way = pytest.mark.parametrize("model", WAYS.values(), ids=WAYS)


def rank(service: Service, model: str, **changed: Any) -> Any:
    asked = {"query": QUERY, "documents": DOCUMENTS, "api_base": service.url, "api_key": service.key, "max_retries": 0}
    return litellm.rerank(model=model, **{**asked, **changed})


@each_way
def test_it_ranks_and_gives_documents_back(service: Service, model: str) -> None:
    ranked = rank(service, model, top_n=2, return_documents=True)
    assert ranked.results[0]["index"] == BEST
    assert len(ranked.results) == 2
    assert ranked.results[0]["document"]["text"] == DOCUMENTS[BEST]
    assert ranked.meta["billed_units"]["total_tokens"] > 0


@each_way
def test_it_ranks_without_documents(service: Service, model: str) -> None:
    ranked = rank(service, model, return_documents=False)
    assert sorted(result["index"] for result in ranked.results) == [0, 1, 2, 3]
    assert "document" not in ranked.results[0]


@pytest.mark.parametrize(
    ("model", "below"),
    [
        ("infinity/nano", "/infinity"),
        ("nvidia_nim/nano", ""),
        ("nvidia_nim/nano", "/v1"),
        ("nvidia_nim/ranking/nano", ""),
        ("azure_ai/nano", ""),
        ("azure_ai/nano", "/providers/cohere/v2"),
    ],
)
def test_other_providers_rank_and_give_documents_back(service: Service, model: str, below: str) -> None:
    ranked = rank(service, model, api_base=service.url + below, top_n=2)
    assert ranked.results[0]["index"] == BEST
    assert len(ranked.results) == 2
    assert ranked.results[0]["document"]["text"] == DOCUMENTS[BEST]
    assert ranked.meta["billed_units"]["total_tokens"] > 0


def test_deepinfra_scores_in_the_order_of_the_documents(service: Service) -> None:
    ranked = rank(service, "deepinfra/nano", api_base=f"{service.url}/v1")
    scores = [result["relevance_score"] for result in ranked.results]
    assert scores.index(max(scores)) == BEST
    assert ranked.meta["tokens"]["input_tokens"] > 0


def test_hosted_vllm_ranks_whatever_its_base_ends_with(service: Service) -> None:
    for below in ("/v1/rerank", "/vllm", "/vllm/v1"):
        ranked = rank(service, "hosted_vllm/nano", api_base=service.url + below)
        assert ranked.results[0]["index"] == BEST


@each_way
def test_it_ranks_asynchronously(service: Service, model: str) -> None:
    ranked = asyncio.run(
        litellm.arerank(model=model, query=QUERY, documents=DOCUMENTS, api_base=service.url, api_key=service.key)
    )
    assert ranked.results[0]["index"] == BEST


@each_way
def test_errors_keep_their_code(service: Service, model: str) -> None:
    other = model.replace("nano", "another")
    refused: list[tuple[str, str, dict[str, Any]]] = [
        ("blank_query", model, {"query": " "}),
        ("invalid_api_key", model, {"api_key": "wrong"}),
        ("model_not_found", other, {}),
        ("rate_limit_exceeded", model, {"api_key": service.spent}),
    ]
    # To LiteLLM every error of a rerank route is one of the connection; the body stands in its message.
    for code, name, changed in refused:
        with pytest.raises(litellm.APIConnectionError, match=code):
            rank(service, name, **changed)
    with service.draining(), pytest.raises(litellm.APIConnectionError, match="draining"):
        rank(service, model)
