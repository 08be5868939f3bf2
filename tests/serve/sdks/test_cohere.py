"""Cohere's own SDK, unmodified, against the running server."""

import asyncio
import base64
from typing import Any

import cohere
import numpy as np
import pytest
from cohere.core.api_error import ApiError

from tests.serve.sdks.conftest import BEST, DOCUMENTS, QUERY, Service

AT_ONCE: Any = {"max_retries": 0}


@pytest.mark.parametrize("below", ["", "/v1", "/cohere"])
def test_version_2_ranks_whatever_the_base_url_ends_with(service: Service, below: str) -> None:
    client = cohere.ClientV2(service.key, base_url=service.url + below)
    ranked = client.rerank(model="nano", query=QUERY, documents=DOCUMENTS)
    assert ranked.results[0].index == BEST
    assert sorted(result.index for result in ranked.results) == [0, 1, 2, 3]
    assert all(0 <= result.relevance_score <= 1 for result in ranked.results)
    assert ranked.meta.billed_units.search_units == 1
    assert len(client.rerank(model="nano", query=QUERY, documents=DOCUMENTS, top_n=2).results) == 2


@pytest.mark.parametrize("below", ["", "/v1", "/cohere"])
def test_version_1_gives_documents_back(service: Service, below: str) -> None:
    client = cohere.Client(service.key, base_url=service.url + below)
    records = [{"text": text, "title": f"number {number}"} for number, text in enumerate(DOCUMENTS)]
    ranked = client.rerank(model="nano", query=QUERY, documents=records, return_documents=True, max_chunks_per_doc=3)
    assert ranked.results[0].index == BEST
    assert ranked.results[0].document.text == DOCUMENTS[BEST]
    assert ranked.results[0].document.title == "number 1"
    assert ranked.meta.warnings == ["`max_chunks_per_doc` is not supported: ignored"]
    without = client.rerank(model="nano", query=QUERY, documents=records, rank_fields=["title"])
    assert without.results[0].document is None


def test_both_versions_rank_asynchronously(service: Service) -> None:
    async def rank() -> None:
        async with cohere.AsyncClientV2(service.key, base_url=service.url) as client:
            ranked = await client.rerank(model="nano", query=QUERY, documents=DOCUMENTS)
            assert ranked.results[0].index == BEST
        async with cohere.AsyncClient(service.key, base_url=service.url) as older:
            ranked = await older.rerank(model="nano", query=QUERY, documents=DOCUMENTS)
            assert ranked.results[0].index == BEST

    asyncio.run(rank())


def test_models_are_told(service: Service) -> None:
    client = cohere.Client(service.key, base_url=service.url)
    (model,) = [model for model in client.models.list().models if "rerank" in model.endpoints]
    assert (model.name, client.models.get("nano").name) == ("nano", "nano")
    assert model.context_length > 0


def test_errors_are_those_of_the_sdk(service: Service) -> None:
    good = cohere.ClientV2(service.key, base_url=service.url)
    asked: dict[str, Any] = {"query": QUERY, "documents": DOCUMENTS, "request_options": AT_ONCE}
    refused: list[tuple[type[ApiError], cohere.ClientV2, dict[str, Any]]] = [
        (cohere.BadRequestError, good, {"model": "nano", "documents": []}),
        (cohere.UnauthorizedError, cohere.ClientV2("wrong", base_url=service.url), {"model": "nano"}),
        (cohere.NotFoundError, good, {"model": "another"}),
        (cohere.TooManyRequestsError, cohere.ClientV2(service.spent, base_url=service.url), {"model": "nano"}),
    ]
    for kind, client, changed in refused:
        with pytest.raises(kind) as raised:
            client.rerank(**{**asked, **changed})
        assert raised.value.body["message"]
        assert raised.value.body["id"].startswith("req_")
    with service.draining(), pytest.raises(cohere.ServiceUnavailableError):
        good.rerank(model="nano", **asked)


@pytest.mark.parametrize("below", ["", "/v1", "/cohere"])
def test_both_versions_embed(service: Service, below: str) -> None:
    named: dict[str, Any] = {"model": "small-embedding", "texts": DOCUMENTS, "input_type": "search_document"}
    second = cohere.ClientV2(service.key, base_url=service.url + below)
    typed = second.embed(**named, embedding_types=["float", "base64"])
    numbers = typed.embeddings.float_
    decoded = [np.frombuffer(base64.b64decode(text), "<f4") for text in typed.embeddings.base64]
    assert np.array_equal(decoded, np.array(numbers, np.float32))
    assert typed.meta.billed_units.input_tokens > 0
    first = cohere.Client(service.key, base_url=service.url + below)
    assert first.embed(**named).embeddings == numbers
    assert first.embed(**named, embedding_types=["float"], batching=False).embeddings.float_ == numbers
    query = second.embed(model="small-embedding", texts=[QUERY], input_type="search_query", embedding_types=["float"])
    document = second.embed(model="small-embedding", texts=[QUERY], input_type="search_document")
    assert query.embeddings.float_ != document.embeddings.float_
    with pytest.raises(cohere.BadRequestError, match="this server has no other"):
        second.embed(**named, embedding_types=["int8"])


@pytest.mark.parametrize("below", ["", "/v1", "/cohere"])
def test_it_tokenizes_and_back(service: Service, below: str) -> None:
    client = cohere.Client(service.key, base_url=service.url + below)
    found = client.tokenize(text=QUERY, model="nano", offline=False)
    assert "".join(found.token_strings) == QUERY
    assert client.detokenize(tokens=found.tokens, model="nano", offline=False).text == QUERY
