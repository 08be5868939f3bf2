"""ZeroEntropy's SDK, unmodified, against the running server."""

import asyncio

import pytest
import zeroentropy

from tests.serve.sdks.conftest import BEST, DOCUMENTS, QUERY, Service


def client(service: Service, key: str = "") -> zeroentropy.ZeroEntropy:
    return zeroentropy.ZeroEntropy(api_key=key or service.key, base_url=f"{service.url}/v1", max_retries=0)


def test_it_ranks(service: Service) -> None:
    ranked = client(service).models.rerank(model="nano", query=QUERY, documents=DOCUMENTS, top_n=2)
    assert ranked.results[0].index == BEST
    assert len(ranked.results) == 2
    assert ranked.total_tokens > 0
    assert ranked.total_bytes == len(QUERY) + sum(map(len, DOCUMENTS))
    assert ranked.e2e_latency >= ranked.inference_latency > 0
    assert ranked.actual_latency_mode == "fast"


def test_it_ranks_asynchronously(service: Service) -> None:
    async def rank() -> int:
        async with zeroentropy.AsyncZeroEntropy(api_key=service.key, base_url=f"{service.url}/v1") as ours:
            ranked = await ours.models.rerank(model="nano", query=QUERY, documents=DOCUMENTS)
        return ranked.results[0].index

    assert asyncio.run(rank()) == BEST


def test_errors_have_their_types(service: Service) -> None:
    with pytest.raises(zeroentropy.BadRequestError, match="blank"):
        client(service).models.rerank(model="nano", query=" ", documents=DOCUMENTS)
    with pytest.raises(zeroentropy.AuthenticationError):
        client(service, "wrong").models.rerank(model="nano", query=QUERY, documents=DOCUMENTS)
    with pytest.raises(zeroentropy.NotFoundError, match="--accept-any-model"):
        client(service).models.rerank(model="zerank-2", query=QUERY, documents=DOCUMENTS)
    with pytest.raises(zeroentropy.RateLimitError):
        client(service, service.spent).models.rerank(model="nano", query=QUERY, documents=DOCUMENTS)
