"""A request may ask for the set of results that a prompt needs, and learns what became of the other documents."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from qwen3_reranker import Reranker, select
from qwen3_reranker.serve.selected_pairs import MOST_CHARACTERS
from testing.live_server import Live

QUERY = "take back my last commit"
DOCUMENTS = [
    "Rice is boiled with the lid on it.",
    "Run git reset --soft HEAD~1 to take back the last commit.",
    "Run git reset --soft HEAD~1, to take back the last commit!",
    "Use git revert to undo a commit that others have.",
    "最後のコミットを取り消すには git reset を使う。",
]


def rerank(live: Live, path: str = "/v1/rerank", **fields: Any) -> httpx2.Response:
    return httpx2.post(f"{live.url}{path}", json={"query": QUERY, "documents": DOCUMENTS, **fields})


@pytest.mark.parametrize(
    "options",
    [
        {"fold": 0.8},
        {"fit": 30},
        {"fold": 0.8, "fit": 30},
        {"diversity": 0.5, "top_n": 3},
        {"fold": 0.8, "diversity": 0.3, "fit": 40},
        {"fit": 12},
    ],
    ids=str,
)
def test_the_results_are_those_that_the_library_selects(live: Live, nano: Reranker, options: dict[str, Any]) -> None:
    reply = rerank(live, **options).json()
    given = {name: value for name, value in options.items() if name != "top_n"}
    expected = select(nano.rank(QUERY, DOCUMENTS), options.get("top_n"), **given)
    assert [each["index"] for each in reply["results"]] == [hit.index for hit in expected]
    folded = {index for hit in (*expected, *expected.left_out, *expected.too_long) for index in hit.duplicates}
    assert reply["selection"] == {
        "tokens": expected.tokens,
        "folded": sorted(folded),
        "too_long": [hit.index for hit in expected.too_long],
        "left_out": [hit.index for hit in expected.left_out],
    }
    duplicates = [each.get("duplicates") for each in reply["results"]]
    assert duplicates == [list(hit.duplicates) if "fold" in options else None for hit in expected]


def test_a_reply_without_a_selection_says_nothing_of_one(live: Live) -> None:
    reply = rerank(live).json()
    assert "selection" not in reply
    assert "duplicates" not in reply["results"][0]


def test_a_smaller_probability_is_left_out_before_the_selection(live: Live) -> None:
    reply = rerank(live, fit=1000, min_probability=0.5).json()
    assert all(each["relevance_score"] >= 0.5 for each in reply["results"])
    assert len(reply["results"]) + reply["abstention"]["left_out"] == len(DOCUMENTS)


def test_other_dialects_with_results_best_first_select_too(live: Live) -> None:
    reply = rerank(live, "/voyage/v1/rerank", fold=0.8).json()
    assert len(reply["data"]) == 4


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"fold": 0}, "fold"),
        ({"fold": "much"}, "fold"),
        ({"diversity": 1.5, "top_n": 2}, "diversity"),
        ({"diversity": 0.5}, "diversity"),
        ({"fit": 0}, "fit"),
        ({"fit": 2.5}, "fit"),
        ({"fold": 0.8, "documents": ["a" * MOST_CHARACTERS, "b"]}, "fold"),
    ],
    ids=lambda each: str(each)[:40],
)
def test_what_cannot_be_selected_is_refused_by_the_name_of_its_field(
    live: Live, fields: dict[str, Any], name: str
) -> None:
    reply = rerank(live, **fields)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, name)


@pytest.mark.parametrize("fit", [100, 100_000])
def test_a_document_that_is_not_read_to_its_end_is_too_long_to_fit(live: Live, fit: int) -> None:
    reply = rerank(live, documents=["short", "commit " * 20_000], fit=fit).json()
    assert [each["index"] for each in reply["results"]] == [0]
    assert reply["selection"]["too_long"] == [1]
