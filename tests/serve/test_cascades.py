"""A served model with a second one: the best of many are the second's, and every reply says what both models did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from qwen3_reranker import InputError, Reranker
from qwen3_reranker.serve.accounts.key_records import KeyLimits
from qwen3_reranker.serve.accounts.store import Store
from qwen3_reranker.serve.settings_sources import settings_of
from testing.live_server import Live, live_server
from testing.patience import until
from testing.texts import documents
from testing.watch import Watch

QUERY = "Are all people born free?"
TEXTS = list(dict.fromkeys(documents(5, 80, 40)))[:60]
# One is so long that what is reserved is more than what the best of them cost.
UNEQUAL = [*TEXTS, "word " * 3000]
NO_LIMITS = KeyLimits()


@pytest.fixture(scope="module")
def live(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A random model whose best are judged by the bundled one, both with a price."""
    models = [
        {"source": str(small_checkpoint), "id": "small", "then": "large", "band": 20, "price": "1"},
        {"source": "nano", "id": "large", "price": "10"},
    ]
    keys = tmp_path_factory.mktemp("keys") / "keys.db"
    with live_server(models=models, keys=str(keys), usage_flush=0.05) as live:
        yield live


@pytest.fixture(scope="module")
def key(live: Live) -> str:
    return new_key(live)


def new_key(live: Live, credit: int = 10**12, limits: KeyLimits = NO_LIMITS) -> str:
    store = Store(str(live.application.context.settings.keys), create=False)
    try:
        return store.create_key("a", credit=credit, limits=limits)[0]
    finally:
        store.close()


def spent(live: Live, key: str) -> float:
    """In dollars, once anything is."""

    def usage() -> float:
        return float(httpx2.get(f"{live.url}/v1/key", headers={"x-api-key": key}).json()["data"]["usage"])

    until(lambda: usage() > 0)
    return usage()


def post(live: Live, key: str, path: str = "/v1/rerank", seconds: float = 600, **fields: Any) -> httpx2.Response:
    body = {"query": QUERY, "documents": TEXTS, "return_details": True, **fields}
    return httpx2.post(f"{live.url}{path}", json=body, headers={"x-api-key": key, "x-request-timeout": str(seconds)})


def logits(reply: httpx2.Response) -> list[tuple[int, Any]]:
    return [(each["index"], pytest.approx(each["details"]["logit"], abs=1e-4)) for each in reply.json()["results"]]


def test_the_best_are_those_of_the_library_s_cascade_and_the_header_counts_both(
    live: Live, key: str, small_reranker: Reranker, nano: Reranker
) -> None:
    reply = post(live, key, model="small", top_n=5)
    assert reply.headers["x-cascade"] == "first=60, then=20"
    found = small_reranker.rank(QUERY, TEXTS, 5, then=nano, band=20)
    assert logits(reply) == [(hit.index, hit.logit) for hit in found]
    assert reply.json()["model"] == "small"
    assert reply.json()["usage"]["prompt_tokens"] == found.usage.prompt_tokens
    assert found.cascade is not None
    first, then = found.cascade.first_usage.prompt_tokens, found.cascade.then_usage.prompt_tokens
    assert float(reply.json()["usage"]["cost"]) == pytest.approx((first + 10 * then) / 1e6)


@pytest.mark.parametrize("fields", [{}, {"top_n": 21}, {"top_n": 5, "documents": TEXTS[:20]}])
def test_a_request_for_more_than_the_band_is_for_the_second_model_alone(
    live: Live, key: str, fields: dict[str, Any]
) -> None:
    reply, alone = (post(live, key, model=model, **fields) for model in ("small", "large"))
    assert reply.headers["x-cascade"] == f"first=0, then={len(fields.get('documents', TEXTS))}"
    assert "x-cascade" not in alone.headers
    assert logits(reply) == logits(alone)
    assert reply.json()["usage"] == alone.json()["usage"]


def test_other_paths_get_the_scores_of_the_second_model(live: Live, key: str) -> None:
    pairs = {"text_1": QUERY, "text_2": TEXTS[:3]}
    scores = [
        [
            each["score"]
            for each in httpx2.post(
                f"{live.url}/v1/score", json={"model": model, **pairs}, headers={"x-api-key": key}
            ).json()["data"]
        ]
        for model in ("small", "large")
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_a_threshold_counts_what_the_second_model_judged(live: Live, key: str) -> None:
    reply = post(live, key, model="small", top_n=5, min_probability=1.0).json()
    assert reply["results"] == []
    assert reply["abstention"]["left_out"] == 20


def test_equal_documents_count_once_in_the_band_and_are_scored_alike(
    live: Live, key: str, small_reranker: Reranker, nano: Reranker
) -> None:
    copies = [small_reranker.rank(QUERY, TEXTS, 1)[0].document] * 30 + TEXTS
    reply = post(live, key, model="small", top_n=5, documents=copies)
    found = small_reranker.rank(QUERY, copies, 5, then=nano, band=20)
    assert found.cascade is not None
    assert reply.headers["x-cascade"] == f"first=90, then={found.cascade.then_judged}" == "first=90, then=50"
    assert logits(reply) == [(hit.index, hit.logit) for hit in found]
    few = post(live, key, model="small", top_n=5, documents=TEXTS[:20] * 2)
    assert few.headers["x-cascade"] == "first=0, then=40"


def test_what_a_key_cannot_pay_in_full_costs_nothing(live: Live, key: str) -> None:
    cost = float(post(live, key, model="small", top_n=5).json()["usage"]["cost"])
    # More than either model's part, and less than both.
    poor = new_key(live, credit=int(cost * 0.95e9))
    assert post(live, poor, model="small", top_n=5).status_code == 402
    paid = post(live, poor, model="large", documents=TEXTS[:1])
    assert spent(live, poor) == pytest.approx(paid.json()["usage"]["cost"])


def test_a_caller_who_does_not_wait_for_the_second_model_pays_for_the_first(
    live: Live, small_reranker: Reranker
) -> None:
    judge = live.application.context.models.reranker("large")
    before = judge.scheduler.scorer
    watch = judge.scheduler.scorer = Watch(judge.reranker)
    watch.door.clear()
    try:
        leaving = new_key(live, credit=10**12)
        reply = post(live, leaving, seconds=2, model="small", top_n=5)
    finally:
        watch.door.set()
        judge.scheduler.scorer = before
    assert reply.status_code == 504
    of_first = small_reranker.rank(QUERY, TEXTS).usage.prompt_tokens
    begun = sum(len(row.ids) for batch in watch.batches for row in batch)
    assert begun > 0
    assert spent(live, leaving) == pytest.approx((of_first + 10 * begun) / 1e6)


def test_the_limit_of_tokens_is_told_without_what_was_reserved_in_vain(live: Live) -> None:
    limit = 50_000
    reply = post(live, new_key(live, limits=KeyLimits(tokens=limit)), model="small", top_n=5, documents=UNEQUAL)
    assert int(reply.headers["x-ratelimit-remaining-tokens"]) >= limit - reply.json()["usage"]["prompt_tokens"]


def test_metrics_count_the_documents_of_each_model(live: Live, key: str) -> None:
    def count(model: str) -> float:
        registry = live.application.context.metrics.registry
        return registry.get_sample_value("rerank_documents_sum", {"model": model}) or 0.0

    before = count("small"), count("large")
    post(live, key, model="small", top_n=5)
    assert (count("small") - before[0], count("large") - before[1]) == (60, 20)


def test_the_model_says_whose_scores_it_gives(live: Live, key: str) -> None:
    small, large = httpx2.get(f"{live.url}/v1/models", headers={"x-api-key": key}).json()["data"]
    assert small["cascade"] == {"then": "large", "band": 20}
    assert "cascade" not in large


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ([{"then": "nano"}], "then must be the id of another reranker, without a `then` \\(none\\), got 'nano'"),
        ([{"then": "gone"}, {"source": "other"}], "\\(other\\), got 'gone'"),
        ([{"then": "b"}, {"source": "b", "then": "nano"}], "then must be the id of another reranker"),
        ([{"band": 20}], "name one"),
        ([{"then": "b", "band": 0}, {"source": "b"}], "band must be at least 1, got 0"),
        ([{"then": "b", "calibration": "stored"}, {"source": "b"}], "then is for a reranker without a calibration"),
        ([{"source": "a", "kind": "embedder", "then": "b"}, {"source": "b"}], "then is for a reranker"),
    ],
)
def test_what_gives_no_cascade_is_said(models: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(InputError, match=words):
        settings_of({"models": models})
