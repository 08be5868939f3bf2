"""POST /v1/explain: the numbers of the library, charged as the texts that it takes."""

import httpx2
import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.serve.routes.explain import MAX_CHARACTERS
from testing.live_server import Live

QUERY = "take back my last commit"
DOCUMENT = "日本語 😀 begins this page. Run git reset --soft HEAD~1 to take it back. Rice is boiled with the lid on it."


def explain(live: Live, **fields: object) -> httpx2.Response:
    return httpx2.post(f"{live.url}/v1/explain", json=fields)


def test_a_served_explanation_is_that_of_the_library_and_is_charged_for_every_text(live: Live) -> None:
    with Reranker("nano") as nano:
        expected = nano.explain(QUERY, DOCUMENT)
    reply = explain(live, query=QUERY, document=DOCUMENT, instruction=" ")
    found = reply.json()
    assert reply.status_code == 200
    assert found["logit"] == expected.logit
    assert [each["text"] for each in found["sentences"]] == [each.text for each in expected.sentences]
    for name in ("alone", "logit_without", "contribution"):
        assert [each[name] for each in found["sentences"]] == [getattr(each, name) for each in expected.sentences]
    assert found["usage"]["prompt_tokens"] == expected.usage.prompt_tokens
    assert found["usage"]["computed_tokens"] < expected.usage.prompt_tokens


def test_sentences_alone_cost_a_fraction_and_say_the_same(live: Live) -> None:
    whole = explain(live, query=QUERY, document=DOCUMENT).json()
    quick = explain(live, query=QUERY, document=DOCUMENT, leave_out=False).json()
    assert [each["alone"] for each in quick["sentences"]] == [each["alone"] for each in whole["sentences"]]
    assert {each["contribution"] for each in quick["sentences"]} == {None}
    assert quick["usage"]["prompt_tokens"] < whole["usage"]["prompt_tokens"] * 0.7


def test_several_instructions_are_explained_side_by_side_and_charged_once(live: Live) -> None:
    asked = ["Find recipes", "", "Find a git command"]
    reply = explain(live, query=QUERY, document=DOCUMENT, instructions=asked).json()
    single = [explain(live, query=QUERY, document=DOCUMENT, instruction=each).json() for each in asked]
    for found, expected in zip(reply["explanations"], single, strict=True):
        assert found == {name: expected[name] for name in found}
    assert [each["instruction"] for each in reply["explanations"]] == ["Find recipes", None, "Find a git command"]
    assert reply["usage"]["prompt_tokens"] == sum(each["usage"]["prompt_tokens"] for each in single)
    assert "sentences" not in reply


def test_an_instruction_and_a_document_without_text_are_taken(live: Live) -> None:
    asked = explain(live, query=QUERY, document=DOCUMENT, instruction="Find recipes").json()
    assert asked["logit"] != explain(live, query=QUERY, document=DOCUMENT).json()["logit"]
    assert explain(live, query=QUERY, document=" ").json()["sentences"] == []


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"document": "a"}, "query", "missing_required_parameter"),
        ({"query": " ", "document": "a"}, "query", "blank_query"),
        ({"query": "a", "document": ["a"]}, "document", "invalid_type"),
        ({"query": "a", "document": "a" * (MAX_CHARACTERS + 1)}, "document", "text_too_long"),
        ({"query": "a", "document": "a", "instructions": []}, "instructions", "invalid_value"),
        ({"query": "a", "document": "a", "instructions": ["a"] * 9}, "instructions", "invalid_value"),
        ({"query": "a", "document": "a", "instructions": [1]}, "instructions", "invalid_type"),
    ],
)
def test_what_cannot_be_explained_is_refused_with_its_field(
    live: Live, fields: dict[str, object], param: str, code: str
) -> None:
    refused = explain(live, **fields)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == param
    assert refused.json()["error"]["code"] == code
