"""OpenAI's own SDK, unmodified, against the running server."""

import asyncio
from typing import Any

import numpy as np
import openai
import pytest

from tests.serve.sdks.conftest import BEST, DOCUMENTS, QUERY, Service


@pytest.fixture
def client(service: Service) -> openai.OpenAI:
    return openai.OpenAI(api_key=service.key, base_url=f"{service.url}/v1", max_retries=0)


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert {model.id for model in client.models.list()} == {"nano", "small-embedding"}
    assert client.models.retrieve("nano").object == "model"


def test_predicates_are_decided(client: openai.OpenAI) -> None:
    decision = client.decisions.create(
        model="nano",
        input=DOCUMENTS[BEST],
        questions=[
            {"type": "predicate", "name": "rainbows", "instructions": QUERY},
            {"type": "predicate", "instructions": "When does the library open?"},
        ],
    )
    rainbows, library = decision.answers
    assert (rainbows.type, rainbows.name, library.name) == ("predicate", "rainbows", None)
    assert 0 <= library.probability < rainbows.probability <= 1
    assert decision.usage.total_tokens == decision.usage.input_tokens > 0


def test_predicates_are_decided_asynchronously_and_under_an_instruction(service: Service) -> None:
    async def decide() -> None:
        async with openai.AsyncOpenAI(api_key=service.key, base_url=f"{service.url}/v1") as client:
            decision = await client.decisions.create(
                model="nano",
                input=[
                    {"role": "developer", "content": "Does the document answer the question?"},
                    {"role": "user", "content": [{"type": "input_text", "text": DOCUMENTS[BEST]}]},
                ],
                questions=[{"type": "predicate", "instructions": QUERY}],
            )
            assert decision.answers[0].type == "predicate"

    asyncio.run(decide())


def test_texts_are_embedded(client: openai.OpenAI) -> None:
    embedded = client.embeddings.create(model="small-embedding", input=DOCUMENTS[:2])
    as_numbers = client.embeddings.create(model="small-embedding", input=DOCUMENTS[:2], encoding_format="float")
    vectors = np.array([entry.embedding for entry in embedded.data])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(vectors, [entry.embedding for entry in as_numbers.data])


@pytest.mark.parametrize("path", ["/rerank", "/reranks", "/reranking"])
def test_documents_are_ranked_by_posting(client: openai.OpenAI, path: str) -> None:
    body = {"model": "nano", "query": QUERY, "documents": DOCUMENTS, "top_n": 2}
    ranked: Any = client.post(path, body=body, cast_to=object)
    assert ranked["results"][0]["index"] == BEST
    assert len(ranked["results"]) == 2


def test_errors_are_those_of_the_sdk(service: Service, client: openai.OpenAI) -> None:
    question: Any = {"type": "predicate", "instructions": QUERY}
    with pytest.raises(openai.BadRequestError) as raised:
        client.decisions.create(
            model="nano", input="a", questions=[{"type": "score", "instructions": "", "levels": []}]
        )
    assert (raised.value.code, raised.value.param) == ("unsupported_question_type", "questions.0.type")
    assert raised.value.type == "invalid_request_error"
    assert raised.value.request_id is not None
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").models.list()
    with pytest.raises(openai.NotFoundError) as missing:
        client.decisions.create(model="another", input="a", questions=[question])
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.RateLimitError):
        client.with_options(api_key=service.spent).decisions.create(model="nano", input="a", questions=[question])
    with service.draining(), pytest.raises(openai.InternalServerError) as busy:
        client.decisions.create(model="nano", input="a", questions=[question])
    assert busy.value.status_code == 503
