"""LangChain's CohereRerank, unmodified, against the running server."""

import asyncio

import cohere
import pytest
from langchain_cohere import CohereRerank
from langchain_core.documents import Document

from tests.serve.sdks.conftest import BEST, DOCUMENTS, QUERY, Service


@pytest.fixture
def ranker(service: Service) -> CohereRerank:
    return CohereRerank(model="nano", cohere_api_key=service.key, base_url=service.url)


def test_it_compresses_documents(ranker: CohereRerank) -> None:
    given = [Document(text, metadata={"number": number}) for number, text in enumerate(DOCUMENTS)]
    kept = ranker.compress_documents(given, QUERY)
    assert len(kept) == 3
    assert (kept[0].page_content, kept[0].metadata["number"]) == (DOCUMENTS[BEST], BEST)
    assert 0 <= kept[0].metadata["relevance_score"] <= 1
    assert asyncio.run(ranker.acompress_documents(given, QUERY))[0].metadata["number"] == BEST


def test_it_ranks_records_of_all_kinds(ranker: CohereRerank) -> None:
    records = [{"title": "t", "text": text} for text in DOCUMENTS]
    assert ranker.rerank(records, QUERY, rank_fields=["text"], top_n=None)[0]["index"] == BEST
    assert len(ranker.rerank(DOCUMENTS, QUERY, top_n=None)) == len(DOCUMENTS)


def test_errors_are_those_of_cohere(service: Service, ranker: CohereRerank) -> None:
    with pytest.raises(cohere.BadRequestError):
        ranker.rerank(DOCUMENTS, " ")
    with pytest.raises(cohere.NotFoundError):
        ranker.rerank(DOCUMENTS, QUERY, model="another")
    with pytest.raises(cohere.UnauthorizedError):
        CohereRerank(model="nano", cohere_api_key="wrong", base_url=service.url).rerank(DOCUMENTS, QUERY)
