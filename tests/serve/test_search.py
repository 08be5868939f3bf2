"""/v1/search: the files of an index, judged by the served model in the scheduler's turns, within a time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from qwen3_reranker.errors import InputError
from qwen3_reranker.search import Filters, Index, SelectionOptions
from qwen3_reranker.serve.accounts.store import Store
from testing.live_server import Live, live_server
from testing.patience import until
from testing.watch import Watch

QUERY = "take back my last commit"
MANY_WORDS = " ".join(f"word{number}" for number in range(1200))
FILES = {
    "git.md": "# Undo\n\nTo take back the last commit: `git reset --soft HEAD~1`.\n\n# Tags\n\nA tag names a commit.\n",
    "cooking.md": "---\nkind: recipe\ndate: 2024-05-01\n---\n# Rice\n\nTake twelve minutes for the rice.\n",
    "words.txt": MANY_WORDS,
    "app/commit.py": "def commit(message):\n    '''Write the last changes.'''\n    return message\n",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files") / "notes"
    for path, text in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def index(files: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    place = str(tmp_path_factory.mktemp("index"))
    with Index(place, reranker=None) as opened:
        opened.add(files)
        opened.add([{"id": "r1", "text": "A commit of the last meeting", "state": "final"}], collection="records")
    return place


@pytest.fixture(scope="module")
def live(index: str) -> Iterator[Live]:
    with live_server(search_index=index) as running:
        yield running


def search(live: Live, key: str = "", status: int = 200, **body: Any) -> Any:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    # In ASCII, so that a lone surrogate can be sent.
    content = json.dumps({"query": QUERY, **body})
    reply = httpx2.post(f"{live.url}/v1/search", content=content, headers=headers)
    assert reply.status_code == status, reply.text
    return reply.json()


def test_it_finds_what_the_library_finds_with_the_same_scores(live: Live, index: str) -> None:
    found = search(live, budget_seconds=30)
    with Index(index) as opened:
        expected = opened.search(QUERY)
    assert [(hit["path"], hit["first_line"], hit["stage"]) for hit in found["results"]] == [
        (hit.path, hit.first_line, hit.stage) for hit in expected
    ]
    assert found["results"][0]["path"] == "git.md"
    assert [hit["logit"] for hit in found["results"]] == pytest.approx([hit.logit for hit in expected], abs=1e-4)
    assert found["judged"] == found["candidates"] == expected.candidates
    assert 0 < found["seconds"]["retrieving"] < found["seconds"]["total"]


def test_a_set_for_a_prompt_is_what_the_library_selects(live: Live, index: str) -> None:
    found = search(live, budget_seconds=30, fold=0.8, fit=60)
    with Index(index) as opened:
        expected = opened.search(QUERY, selection=SelectionOptions(fold=0.8, fit=60))
    assert expected.selection is not None
    assert [hit["path"] for hit in found["results"]] == [hit.path for hit in expected]
    assert found["selection"]["tokens"] == expected.selection.tokens <= 60  # type: ignore[operator]
    assert found["selection"]["too_long"] == list(expected.selection.too_long)
    assert "selection" not in search(live, budget_seconds=30)
    assert search(live, status=400, rerank=False, fit=60)["error"]["param"] == "fit"


def test_no_place_of_the_machine_is_shown(live: Live, files: Path, index: str) -> None:
    reply = httpx2.post(f"{live.url}/v1/search", json={"query": QUERY, "budget_seconds": 30}).text
    assert "git.md" in reply
    assert str(files.parent) not in reply
    assert index not in reply


def test_without_reranking_the_first_stage_ranks(live: Live) -> None:
    found = search(live, rerank=False)
    assert {hit["stage"] for hit in found["results"]} == {"first stage"}
    assert {hit["probability"] for hit in found["results"]} == {None}
    assert found["judged"] == found["usage"]["prompt_tokens"] == 0


@pytest.mark.parametrize(
    ("filters", "paths"),
    [
        ({"path": "*.py"}, {"app/commit.py"}),
        ({"collections": ["records"]}, {"r1"}),
        ({"where": {"kind": "recipe"}}, {"cooking.md"}),
        ({"where": {"state": "final"}}, {"r1"}),
        ({"before": "2024-06-01"}, {"cooking.md"}),
        ({"after": "2024-06-01", "path": "*.md"}, {"git.md"}),
        ({"limit": 1, "path": "git*"}, {"git.md"}),
    ],
)
def test_filters_leave_only_what_they_allow(live: Live, filters: dict[str, Any], paths: set[str]) -> None:
    assert {hit["path"] for hit in search(live, rerank=False, **filters)["results"]} == paths


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"query": " "}, "invalid_value", "query"),
        ({"query": "x" * 10_001}, "text_too_long", "query"),
        ({"limit": 0}, "invalid_value", "limit"),
        ({"limit": True}, "invalid_value", "limit"),
        ({"limit": 101}, "invalid_value", "limit"),
        ({"budget_seconds": 0}, "invalid_value", "budget_seconds"),
        ({"budget_seconds": "1s"}, "invalid_value", "budget_seconds"),
        ({"rerank": 3}, "invalid_type", "rerank"),
        ({"collections": "notes"}, "invalid_value", "collections"),
        ({"collections": ["secret-name"]}, "unknown_collection", "collections"),
        ({"after": "yesterday"}, "invalid_value", "after"),
        ({"before": 20240101}, "invalid_value", "before"),
        ({"where": {"kind": 1}}, "invalid_value", "where"),
        ({"where": {"kind'); DROP TABLE files": "x"}}, "invalid_value", "where"),
        ({"top_k": 3}, "unknown_field", None),
        ({"Limit": None}, "unknown_field", None),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_name_and_not_repeated(
    live: Live, body: dict[str, Any], code: str, field: str | None
) -> None:
    error = search(live, status=400, **body)["error"]
    assert (error["code"], error["param"]) == (code, field)
    assert not [text for text in ("secret", "yesterday", "DROP", "top_k") if text in str(error)]


def test_any_text_and_pattern_is_searched_and_fails_nothing(live: Live) -> None:
    for query in ('"commit" OR NEAR( * ^', "commit\0", "\ud800 commit", "提交", "𠀀", "%", MANY_WORDS):
        for path in ("[", "*" * 100 + "z", "git\0*"):
            search(live, query=query, path=path, rerank=False)


def test_a_deadline_cuts_the_budget_and_the_first_stage_answers(live: Live, watch: Watch) -> None:
    [model] = live.application.context.models.rerankers
    watch.door.clear()
    began = time.monotonic()
    try:
        reply = httpx2.post(
            f"{live.url}/v1/search",
            json={"query": f"{QUERY} of mine", "budget_seconds": 1000},
            headers={"x-request-timeout": "2"},
        )
        assert reply.status_code == 200, reply.text
        assert time.monotonic() - began < 15
    finally:
        watch.door.set()
    assert reply.json()["judged"] == 0
    assert reply.json()["results"]
    until(lambda: model.scheduler.stats().batch_seconds == 0)
    # What was slow once is not taken to be slow for ever.
    until(lambda: search(live, query=f"{QUERY} of mine", budget_seconds=2)["judged"] > 0)


def test_a_caller_who_leaves_ends_the_search(live: Live, watch: Watch) -> None:
    [model] = live.application.context.models.rerankers
    watch.door.clear()
    try:
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.post(f"{live.url}/v1/search", json={"query": "the last commit but one"}, timeout=1.0)
        until(lambda: model.scheduler.stats().waiting_requests == 0)
    finally:
        watch.door.set()
    before = len(watch.batches)
    assert search(live)["judged"]
    assert before == 1


def test_files_that_changed_since_the_update_are_counted(files: Path, tmp_path: Path) -> None:
    with Index(tmp_path, reranker=None) as opened:
        opened.add(files)
    new = files / "new.md"
    new.write_text("another commit", encoding="utf-8")
    try:
        with live_server(search_index=str(tmp_path)) as running:
            assert search(running)["stale"] == {"changed": 1, "is_complete": True}
    finally:
        new.unlink()


def test_a_server_without_an_index_says_so() -> None:
    with live_server() as running:
        assert search(running, status=404)["error"]["code"] == "no_index"
        assert httpx2.get(f"{running.url}/search").status_code == 404
        assert 'href="/search"' not in httpx2.get(f"{running.url}/").text


def test_a_folder_without_an_index_is_refused_at_the_start_and_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no index"), live_server(search_index=str(tmp_path)):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def keyed(index: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, Store]]:
    place = str(tmp_path_factory.mktemp("keys") / "keys.db")
    models = [{"source": "nano", "price": "0.02"}]
    with live_server(search_index=index, models=models, keys=place, usage_flush=0.05) as running:
        store = Store(place)
        yield running, store
        store.close()


def test_a_key_pays_for_the_passages_that_were_judged_for_it_and_once(keyed: tuple[Live, Store], index: str) -> None:
    running, store = keyed
    key, record = store.create_key("payer", credit=10**9)
    found = search(running, key, budget_seconds=30)
    with Index(index, reranker=None) as opened:
        places = opened.search(QUERY, 100, filters=Filters())
    assert len(places) <= found["judged"]
    assert found["cached"] == 0
    tokens = found["usage"]["prompt_tokens"]
    assert tokens > 20 * found["judged"]
    assert found["usage"]["cost"] == pytest.approx(tokens * 0.02 / 1e6)
    again = search(running, key, budget_seconds=30)
    assert again["cached"] == again["judged"] == found["judged"]
    assert again["usage"]["prompt_tokens"] == 0
    assert np.allclose([hit["logit"] for hit in again["results"]], [hit["logit"] for hit in found["results"]])
    usage = httpx2.get(f"{running.url}/v1/usage", headers={"authorization": f"Bearer {key}"})
    until(lambda: str(tokens) in httpx2.get(usage.url, headers={"authorization": f"Bearer {key}"}).text)
    assert record.id


def test_no_key_sees_what_another_one_searched(keyed: tuple[Live, Store]) -> None:
    running, store = keyed
    for name in ("first", "second"):
        key, _ = store.create_key(name, credit=10**9)
        assert search(running, key, query="whose commit is the last", budget_seconds=30)["cached"] == 0


def test_a_key_without_credit_is_refused_and_may_search_without_the_model(keyed: tuple[Live, Store]) -> None:
    running, store = keyed
    key, _ = store.create_key("poor", credit=1)
    assert search(running, key, status=402)["error"]["code"] == "insufficient_quota"
    assert search(running, key, rerank=False)["results"]
    search(running, status=401)
