"""The bundled model in two ways and a random one, servers of them, and a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from qwen3_reranker import Reranker
from qwen3_reranker.search import Index
from qwen3_reranker.serve.accounts.store import Store
from testing.browser import OpenPage, launched_browser, opening_pages
from testing.live_server import Live, live_server

CREDIT = 5_000_000_000


@pytest.fixture(scope="package")
def models(small_checkpoint: Path) -> list[dict[str, object]]:
    """What is served: one reads short rows only, one ranks at random."""
    return [
        {"source": "nano", "aliases": ["nano-latest"], "price": "0.02"},
        {"source": "nano", "id": "nano-short", "options": {"max_length": 100}},
        {"source": str(small_checkpoint), "id": "random", "aliases": ["random-latest"]},
    ]


@pytest.fixture(scope="package")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of an index of two files and a record."""
    files, place = tmp_path_factory.mktemp("files") / "notes", tmp_path_factory.mktemp("index")
    files.mkdir()
    (files / "git.md").write_text(
        "# Undo\n\nTo take back a commit, reset.\n\n# 标签\n\n标签指向提交。\n", encoding="utf-8"
    )
    (files / "commit.py").write_text("def commit(message):\n    return '<b>commit</b>'\n", encoding="utf-8")
    with Index(place, reranker=None) as opened:
        opened.add(files)
        opened.add([{"id": "r1", "text": "A commit of the last meeting"}], collection="records")
    return str(place)


@pytest.fixture(scope="package")
def live(models: list[dict[str, object]], index: str) -> Iterator[Live]:
    """A server that wants no keys."""
    with live_server(models=models, search_index=index) as running:
        yield running


@pytest.fixture(scope="package")
def rerankers(live: Live) -> dict[str, Reranker]:
    """Its models, by the names under which they are served."""
    return {each.id: each.reranker for each in live.application.context.models.rerankers}


@pytest.fixture(scope="package")
def address(live: Live) -> str:
    """Where it is."""
    return live.url


@dataclass(frozen=True)
class Keyed:
    """A server that wants keys, where it keeps them, and one of them, which has used nothing yet."""

    url: str
    place: str
    key: str


@pytest.fixture(scope="package")
def _keyed_place(
    models: list[dict[str, object]], index: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    place = str(tmp_path_factory.mktemp("keys") / "keys.db")
    with live_server(models=models, search_index=index, keys=place, usage_flush=0.05) as running:
        yield running.url, place


@pytest.fixture
def keyed(_keyed_place: tuple[str, str]) -> Keyed:
    """The server with a new key."""
    url, place = _keyed_place
    store = Store(place)
    try:
        return Keyed(url, place, store.create_key("search page", credit=CREDIT)[0])
    finally:
        store.close()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's chromium, for these tests alone: its driver leaves an event loop running in the thread of all tests."""
    with launched_browser() as launched:
        yield launched


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens an address in a window of its own; at the end nothing may have gone wrong or come from elsewhere."""
    with opening_pages(browser) as opened:
        yield opened
