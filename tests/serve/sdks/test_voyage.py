"""Voyage's own SDK, unmodified, against the running server."""

import asyncio

import pytest
import voyageai
from voyageai import error

from tests.serve.sdks.conftest import BEST, DOCUMENTS, QUERY, Service


@pytest.mark.parametrize("below", ["/v1", "/voyage/v1"])
def test_it_ranks(service: Service, below: str) -> None:
    client = voyageai.Client(service.key, base_url=service.url + below)
    ranked = client.rerank(QUERY, DOCUMENTS, model="nano")
    assert (ranked.results[0].index, ranked.results[0].document) == (BEST, DOCUMENTS[BEST])
    assert len(ranked.results) == len(DOCUMENTS)
    assert ranked.total_tokens > 0
    assert len(client.rerank(QUERY, DOCUMENTS, model="nano", top_k=2).results) == 2


def test_it_ranks_asynchronously(service: Service) -> None:
    client = voyageai.AsyncClient(service.key, base_url=f"{service.url}/v1")
    ranked = asyncio.run(client.rerank(QUERY, DOCUMENTS, model="nano"))
    assert ranked.results[0].index == BEST


def test_errors_are_those_of_the_sdk(service: Service) -> None:
    base = f"{service.url}/v1"
    good = voyageai.Client(service.key, base_url=base)
    with pytest.raises(error.InvalidRequestError, match="`query` must not be blank"):
        good.rerank(" ", DOCUMENTS, model="nano")
    with pytest.raises(error.AuthenticationError, match="API key"):
        voyageai.Client("wrong", base_url=base).rerank(QUERY, DOCUMENTS, model="nano")
    with pytest.raises(error.APIError, match="no model of that name"):
        good.rerank(QUERY, DOCUMENTS, model="another")
    with pytest.raises(error.RateLimitError):
        voyageai.Client(service.spent, base_url=base).rerank(QUERY, DOCUMENTS, model="nano")
    with service.draining(), pytest.raises(error.ServiceUnavailableError):
        good.rerank(QUERY, DOCUMENTS, model="nano")


@pytest.mark.parametrize("below", ["/v1", "/voyage/v1"])
def test_it_embeds_queries_and_documents(service: Service, below: str) -> None:
    client = voyageai.Client(service.key, base_url=service.url + below)
    document, query = (
        client.embed([QUERY], model="small-embedding", input_type=kind).embeddings[0] for kind in ("document", "query")
    )
    assert len(document) == len(query)
    assert document != query
