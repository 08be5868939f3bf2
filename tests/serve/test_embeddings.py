"""/v1/embeddings: the embedder's own vectors, counted and paid for, and a clear answer where there is no embedder."""

import base64
from pathlib import Path

import httpx2
import numpy as np
import pytest

from qwen3_reranker import Embedder
from qwen3_reranker.serve.accounts.store import Store
from testing.checkpoints import write_small_checkpoint
from testing.layouts import write_embedding_model
from testing.live_server import Live, live_server

pytestmark = pytest.mark.slow

TEXTS = ["git revert makes a commit that undoes an earlier one", "日本の首都は東京です", ""]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = write_small_checkpoint(tmp_path_factory.mktemp("base"), hidden_size=64)
    return write_embedding_model(tmp_path_factory.mktemp("embedding"), base)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("keys") / "keys.db")


@pytest.fixture(scope="module")
def live(folder: Path, place: str):
    models = [{"source": "nano"}, {"source": str(folder), "id": "embedder", "kind": "embedder", "price": "1"}]
    with live_server(models=models, keys=place) as running:
        yield running


def key(place: str, **fields: object) -> dict[str, str]:
    store = Store(place)
    try:
        return {"x-api-key": store.create_key("tests", **fields)[0]}  # type: ignore[arg-type]
    finally:
        store.close()


def embed(live: Live, headers: dict[str, str], **fields: object) -> httpx2.Response:
    return httpx2.post(f"{live.url}/v1/embeddings", json={"input": TEXTS, **fields}, headers=headers)


@pytest.mark.parametrize("instruction", [None, "Given a question, retrieve passages that answer it"])
@pytest.mark.parametrize("dimensions", [None, 32])
def test_vectors_are_the_embedders_own_as_numbers_and_in_base64(
    live: Live, place: str, folder: Path, instruction: str | None, dimensions: int | None
) -> None:
    headers = key(place)
    with Embedder(folder, dim=dimensions) as embedder:
        role = "document" if instruction is None else "query"
        expected = embedder.embed(TEXTS, role=role, instruction=instruction)
    fields = {"instruction": instruction, "dimensions": dimensions}
    plain = embed(live, headers, encoding_format="float", **fields).json()
    packed = embed(live, headers, encoding_format="base64", **fields).json()
    vectors = np.array([each["embedding"] for each in plain["data"]], np.float32)
    np.testing.assert_allclose(vectors, expected.vectors, atol=1e-6)
    bits = np.stack([np.frombuffer(base64.b64decode(each["embedding"]), "<f4") for each in packed["data"]])
    assert np.array_equal(bits, vectors)
    assert plain["usage"]["total_tokens"] == expected.usage.prompt_tokens


def test_teis_and_coheres_routes_give_the_same_vectors(live: Live, place: str, folder: Path) -> None:
    headers = key(place)
    with Embedder(folder) as embedder:
        documents, queries = embedder.documents(TEXTS), embedder.queries(TEXTS)

    def post(path: str, **fields: object) -> object:
        return httpx2.post(f"{live.url}{path}", json=fields, headers=headers).raise_for_status().json()

    wanted = {"texts": TEXTS, "model": "embedder", "embedding_types": ["float"]}
    for vectors, expected in (
        (post("/embed", inputs=TEXTS, normalize=True, truncate=True), documents),
        (post("/embed", inputs=TEXTS[0]), documents[:1]),
        (post("/tei/embed/", inputs=TEXTS, prompt_name="query"), queries),
        (post("/v2/embed", **wanted, input_type="search_document")["embeddings"]["float"], documents),
        (post("/v2/embed", **wanted, input_type="search_query")["embeddings"]["float"], queries),
        (post("/v1/embed", texts=TEXTS, input_type="search_query", truncate="END")["embeddings"], queries),
    ):
        np.testing.assert_allclose(np.array(vectors, np.float32), expected, atol=1e-6)


def test_a_text_is_cut_at_the_end_that_was_asked_for_or_refused_before_it_is_embedded(live: Live, place: str) -> None:
    headers, [served] = key(place), live.application.context.models.embedders
    long, backend = f"first {'word ' * served.embedder.tokens.max_length} last", served.embedder.runner.backend
    assert backend is not None

    def vector(text: str, **fields: object) -> list[float]:
        reply = httpx2.post(f"{live.url}/embed", json={"inputs": text, **fields}, headers=headers)
        return reply.raise_for_status().json()[0]  # type: ignore[no-any-return]

    ended, begun = vector(long, truncate="END"), vector(long, truncation_direction="Left")
    assert ended == vector(long)
    assert ended == vector(f"{long} and more")
    assert begun != ended
    before = backend.computed_tokens
    refused = httpx2.post(f"{live.url}/embed", json={"inputs": long, "truncate": False}, headers=headers)
    assert (refused.status_code, refused.json()["error_type"]) == (422, "Validation")
    assert backend.computed_tokens == before


def test_who_cannot_pay_or_may_not_embed_is_told_before_anything_is_computed(live: Live, place: str) -> None:
    [served] = live.application.context.models.embedders
    backend = served.embedder.runner.backend
    assert backend is not None
    before = backend.computed_tokens
    assert embed(live, key(place, credit=1)).status_code == 402
    assert embed(live, key(place, scopes=("rerank",))).status_code == 403
    assert embed(live, key(place, models=("nano",))).status_code == 403
    assert backend.computed_tokens == before


def test_what_cannot_be_embedded_is_400(live: Live, place: str) -> None:
    headers = key(place)
    for fields in (
        {"input": []},
        {"input": [1, 2]},
        {"dimensions": 31},
        {"dimensions": 65},
        {"encoding_format": "hex"},
    ):
        assert embed(live, headers, **fields).status_code == 400
    assert embed(live, headers, model="nano").status_code == 404


@pytest.mark.parametrize("tokens", [[1, 2], [[1, 2], [3]]])
def test_token_ids_are_refused_with_the_setting_that_makes_a_client_send_text(
    live: Live, place: str, tokens: list[object]
) -> None:
    reply = embed(live, key(place), input=tokens)
    assert reply.status_code == 400
    assert "check_embedding_ctx_length=False" in reply.json()["error"]["message"]


def test_a_server_without_an_embedder_says_so() -> None:
    with live_server() as alone:
        reply = embed(alone, {})
    assert reply.status_code == 400
    assert "/v1/rerank" in reply.json()["error"]["message"]
