"""A search answers in its time whatever it has to leave out, and says what that was."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path

import pytest

from qwen3_reranker.embedder import Embedder
from qwen3_reranker.search import Index
from qwen3_reranker.search.filters import Filters
from qwen3_reranker.search.local_store import LocalStore
from testing.patience import PATIENCE_SECONDS, until

TEXTS = {"rice": "Rice takes twelve minutes.", "git": "Move the branch one commit back.", "tea": "Tea takes four."}


@pytest.fixture
def folder(tmp_path: Path, embedder: Embedder) -> Path:
    """An index with vectors."""
    with Index(tmp_path / "index", reranker=None, embedder=embedder) as index:
        index.add({"id": name, "text": text} for name, text in TEXTS.items())
    return tmp_path / "index"


def test_a_search_does_not_wait_for_an_embedder_longer_than_it_may_and_says_so(folder: Path, model: Path) -> None:
    may_open = threading.Event()

    def opened() -> Embedder:
        assert may_open.wait(PATIENCE_SECONDS)
        return Embedder(model, dim=32)

    with Index(folder, reranker=None, embedder=opened) as index:
        for _ in range(3):
            begun = time.monotonic()
            found = index.search("rice", budget=0.2)
            assert time.monotonic() - begun < 30
            assert found.left_out == ("vectors",)
            assert [hit.path for hit in found] == ["rice"]
            assert found[0].cosine is None
        may_open.set()
        until(lambda: not index.search("rice", budget=1).left_out)
        found = index.search("rice", budget=30)
        assert {hit.path for hit in found} == set(TEXTS)
        assert all(hit.cosine is not None for hit in found)


def test_a_reranker_is_asked_for_in_time_while_an_embedder_opens(folder: Path, model: Path) -> None:
    may_open, judged = threading.Event(), threading.Event()

    def opened() -> Embedder:
        assert may_open.wait(PATIENCE_SECONDS)
        return Embedder(model, dim=32)

    def search() -> None:
        assert index.search("rice", budget=0.5).left_out[0] == "vectors"
        judged.set()

    with Index(folder, embedder=opened) as index:
        threading.Thread(target=search, daemon=True).start()
        in_time = judged.wait(30)
        may_open.set()
    assert in_time


def test_the_instruction_is_given_to_the_embedder_too(folder: Path, embedder: Embedder) -> None:
    with Index(folder, reranker=None, embedder=embedder) as index:
        [vector] = embedder.documents([TEXTS["tea"]])
        for instruction in (None, "Find drinks"):
            [query] = embedder.queries(["hot drink"], instruction)
            [hit] = [hit for hit in index.search("hot drink", instruction=instruction) if hit.path == "tea"]
            assert hit.cosine == pytest.approx(float(vector @ query), abs=0.02)
    plain, instructed = (embedder.queries(["hot drink"], each)[0] for each in (None, "Find drinks"))
    assert abs(float(vector @ (plain - instructed))) > 0.03


def test_words_that_there_is_no_time_for_are_left_out_and_the_next_search_has_them(tmp_path: Path) -> None:
    with Index(tmp_path / "index", reranker=None) as index:
        index.add({"id": str(number), "text": f"all passages hold these words, {number} too"} for number in range(3000))
    store = LocalStore(tmp_path / "index")
    query = "all passages hold these words too"
    everything = store.by_words(query, 200, Filters())
    with pytest.raises(TimeoutError):
        store.by_words(query, 200, Filters(), time.monotonic() - 1)
    # With less time than a word takes, fewer passages are scored.
    assert 0 < len(store.by_words(query, 200, Filters(), time.monotonic() + 60)) <= len(everything)
    assert store.by_words("2222 passages", 1, Filters(), time.monotonic() + 60) == store.by_words(
        "2222 passages", 1, Filters()
    )
    assert store.by_words(query, 200, Filters(), math.inf) == everything
    store.close()
