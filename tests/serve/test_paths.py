"""What clients say by a path: the model, and that Weaviate's module finds a server which is ready."""

import httpx2
import pytest

from testing.live_server import Live, live_server

QUERY = "how do I undo a commit"
DOCUMENTS = ["a cat", "git revert undoes a commit"]


@pytest.fixture(scope="module")
def live():
    with live_server(models=[{"source": "nano", "aliases": ["Qwen/nano", "nv/nano-1_2"]}]) as running:
        yield running


@pytest.mark.parametrize("model", ["nano", "Qwen/nano", "Qwen%2Fnano", "nano/"])
def test_the_model_may_stand_in_the_path(live: Live, model: str) -> None:
    body = {"queries": [QUERY], "documents": DOCUMENTS}
    scores = httpx2.post(f"{live.url}/v1/inference/{model}", json=body).json()["scores"]
    assert scores[1] > scores[0]


def test_the_model_in_the_path_counts_and_not_the_one_in_the_body(live: Live) -> None:
    # LiteLLM writes another one into the body: with dots for underscores.
    body = {"model": "nv/nano-1.2", "query": {"text": QUERY}, "passages": [{"text": text} for text in DOCUMENTS]}
    ranked = httpx2.post(f"{live.url}/v1/retrieval/nv/nano-1_2/reranking", json=body)
    assert ranked.json()["rankings"][0]["index"] == 1
    missing = httpx2.post(f"{live.url}/v1/retrieval/nobody/reranking", json={**body, "model": "nano"})
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


def test_googles_path_ranks_records(live: Live) -> None:
    records = [{"id": f"r{number}", "content": text} for number, text in enumerate(DOCUMENTS)]
    path = "/v1/projects/mine/locations/global/rankingConfigs/default_ranking_config:rank"
    ranked = httpx2.post(f"{live.url}{path}", json={"query": QUERY, "records": records}).json()["records"]
    assert [record["id"] for record in ranked] == ["r1", "r0"]
    assert ranked[0]["content"] == DOCUMENTS[1]


def test_weaviates_module_finds_the_server_ready_and_its_scores_in_order(live: Live) -> None:
    assert httpx2.get(f"{live.url}/.well-known/ready").status_code == 200
    assert isinstance(httpx2.get(f"{live.url}/meta").json(), dict)
    scored = httpx2.post(f"{live.url}/rerank", json={"query": QUERY, "documents": DOCUMENTS, "property": ""}).json()
    assert [score["document"] for score in scored["scores"]] == DOCUMENTS
    assert scored["scores"][1]["score"] > scored["scores"][0]["score"]
    refused = httpx2.post(f"{live.url}/rerank", json={"query": " ", "documents": DOCUMENTS, "property": ""})
    assert (refused.status_code, refused.json()) == (400, {"error": "`query` must not be blank"})


def test_a_name_that_a_client_cannot_change_is_refused_with_what_allows_it(live: Live) -> None:
    body = {"model": "jina-reranker-v2-base-multilingual", "query": QUERY, "documents": DOCUMENTS}
    message = httpx2.post(f"{live.url}/v1/rerank", json=body).json()["error"]["message"]
    assert "--accept-any-model" in message
