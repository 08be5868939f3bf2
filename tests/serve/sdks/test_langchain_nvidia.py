"""LangChain's NVIDIARerank, unmodified, against the running server."""

import pytest
from langchain_core.documents import Document
from langchain_nvidia_ai_endpoints import NVIDIARerank

from tests.serve.sdks.conftest import BEST, DOCUMENTS, QUERY, Service


def compressor(service: Service, model: str | None = "nano", key: str = "") -> NVIDIARerank:
    return NVIDIARerank(base_url=f"{service.url}/v1", model=model, api_key=key or service.key, top_n=2, truncate="END")


def test_it_ranks(service: Service) -> None:
    ranked = compressor(service).compress_documents([Document(page_content=text) for text in DOCUMENTS], QUERY)
    assert ranked[0].page_content == DOCUMENTS[BEST]
    assert len(ranked) == 2
    assert ranked[0].metadata["relevance_score"] > ranked[1].metadata["relevance_score"]


def test_it_finds_the_model_when_none_is_named(service: Service) -> None:
    with pytest.warns(UserWarning, match="nano"):
        assert compressor(service, model=None).model == "nano"


def test_a_wrong_key_is_refused(service: Service) -> None:
    with pytest.raises(Exception, match="401"):
        compressor(service, key="wrong").compress_documents([Document(page_content="a")], QUERY)
