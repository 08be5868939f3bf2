"""Haystack's ranker for TEI, unmodified, against the running server."""

import asyncio

import pytest
from haystack import Document
from haystack.utils import Secret
from haystack_integrations.components.rankers.huggingface_api import HuggingFaceTEIRanker, TruncationDirection

from tests.serve.sdks.conftest import BEST, DOCUMENTS, QUERY, Service

GIVEN = [Document(content=text) for text in DOCUMENTS]


def ranker(url: str, key: str) -> HuggingFaceTEIRanker:
    return HuggingFaceTEIRanker(url=url, top_k=2, token=Secret.from_token(key), max_retries=1)


def test_it_ranks(service: Service) -> None:
    tei = ranker(service.url, service.key)
    ranked = tei.run(query=QUERY, documents=GIVEN, truncation_direction=TruncationDirection.LEFT)
    assert ranked["documents"][0].content == DOCUMENTS[BEST]
    assert len(ranked["documents"]) == 2
    again = asyncio.run(tei.run_async(query=QUERY, documents=GIVEN))
    assert again["documents"][0].content == DOCUMENTS[BEST]


def test_errors_tell_their_status_and_sentence(service: Service) -> None:
    refused = (
        (service.key, " ", "422.*`query` must not be blank"),
        ("wrong", QUERY, "401.*API key"),
        (service.spent, QUERY, "429.*Overloaded"),
    )
    for key, query, said in refused:
        with pytest.raises(RuntimeError, match=f"(?s){said}"):
            ranker(service.url, key).run(query=query, documents=GIVEN)
