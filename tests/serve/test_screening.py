"""A served model with a screen: the best results are those without it, at the same price, and the reply says it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from qwen3_reranker import InputError
from qwen3_reranker.serve.settings_sources import settings_of
from testing.live_server import Live, live_server
from testing.texts import documents

QUERY = "Are all people born free?"
TEXTS = documents(5, 60, 40)


@pytest.fixture(scope="module")
def screening() -> Iterator[Live]:
    """The bundled model with a screen in 8 bits, and without one under another name."""
    models: list[dict[str, Any]] = [{"id": "screening", "screen": "int8"}, {"id": "plain"}]
    with live_server(models=models) as live:
        yield live


def post(live: Live, model: str, **fields: Any) -> httpx2.Response:
    body = {"query": QUERY, "documents": TEXTS, "model": model, "return_details": True, **fields}
    return httpx2.post(f"{live.url}/v1/rerank", json=body)


def test_the_best_are_the_exact_ones_and_cost_the_same(screening: Live) -> None:
    found, exact = (post(screening, model, top_n=5) for model in ("screening", "plain"))
    assert found.json()["results"] == exact.json()["results"]
    assert found.json()["usage"]["prompt_tokens"] == exact.json()["usage"]["prompt_tokens"]
    told = dict(part.split("=") for part in found.headers["x-screening"].split(", "))
    assert (told["precision"], told["screened"]) == ("int8", "60")
    assert 5 <= int(told["rechecked"]) < 40
    assert "x-screening" not in exact.headers


@pytest.mark.parametrize(
    "fields", [{}, {"top_n": 5, "min_probability": 0.1}, {"top_n": 5, "fold": 0.8, "diversity": 0.9}]
)
def test_a_request_that_needs_all_scores_is_not_screened(screening: Live, fields: dict[str, Any]) -> None:
    found, exact = (post(screening, model, **fields) for model in ("screening", "plain"))
    assert "x-screening" not in found.headers
    assert found.json()["results"] == exact.json()["results"]


def test_a_short_list_is_scored_exactly_and_says_so(screening: Live) -> None:
    found, exact = (post(screening, model, top_n=5, documents=TEXTS[:8]) for model in ("screening", "plain"))
    assert found.headers["x-screening"] == "precision=int8, screened=0, rechecked=8"
    assert found.json()["results"] == exact.json()["results"]


def test_metrics_count_documents_once_and_those_that_were_rechecked_beside_them(screening: Live) -> None:
    def count(name: str) -> float:
        registry = screening.application.context.metrics.registry
        return registry.get_sample_value(name, {"model": "screening"}) or 0.0

    names = ("rerank_documents_sum", "rerank_rechecked_documents_total")
    before = [count(name) for name in names]
    rechecked = int(post(screening, "screening", top_n=5).headers["x-screening"].rpartition("=")[2])
    # Equal documents are rechecked once.
    assert count(names[0]) - before[0] == 60
    assert 0 < count(names[1]) - before[1] <= rechecked


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"screen": "int8", "kind": "embedder"}, "screen is for a reranker without a second model"),
        ({"confidence": 0.9}, "confidence says how surely a screen finds the best"),
        ({"screen": "int8", "confidence": 1.0}, "confidence must be a number between 0 and 1"),
    ],
)
def test_what_cannot_be_screened_is_said(model: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        settings_of({"models": [model]})


def test_a_precision_that_cannot_screen_ends_the_start() -> None:
    with pytest.raises(InputError, match="screens a model in float32 by"), live_server(models=[{"screen": "float8"}]):
        pass
