"""Pinecone's SDK, unmodified, against the running server; it sends its key as `Api-Key`."""

import pinecone
import pytest
from pinecone import exceptions

from tests.serve.sdks.conftest import BEST, DOCUMENTS, QUERY, Service


def client(service: Service, key: str = "") -> pinecone.Pinecone:
    return pinecone.Pinecone(api_key=key or service.key, host=f"{service.url}/pinecone")


def test_it_ranks_and_gives_documents_back(service: Service) -> None:
    ranked = client(service).inference.rerank(
        model="nano", query=QUERY, documents=DOCUMENTS, top_n=2, parameters={"truncate": "END"}
    )
    assert ranked.data[0].index == BEST
    assert len(ranked.data) == 2
    assert ranked.data[0].document == {"text": DOCUMENTS[BEST]}
    assert ranked.usage.rerank_units == 1
    assert ranked.model == "nano"


def test_it_ranks_fields_of_records(service: Service) -> None:
    records = [{"id": str(number), "body": text} for number, text in enumerate(DOCUMENTS)]
    ranked = client(service).inference.rerank(
        model="nano", query=QUERY, documents=records, rank_fields=["body"], return_documents=False
    )
    assert ranked.data[0].index == BEST
    assert ranked.data[0].document is None


def test_errors_have_their_types(service: Service) -> None:
    with pytest.raises(exceptions.UnauthorizedException):
        client(service, "wrong").inference.rerank(model="nano", query=QUERY, documents=DOCUMENTS)
    with pytest.raises(exceptions.NotFoundException, match="no model of that name"):
        client(service).inference.rerank(model="bge-reranker-v2-m3", query=QUERY, documents=DOCUMENTS)
