"""The bundled model in two ways and a random one, servers of them, and a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from qwen3_reranker import Reranker
from qwen3_reranker.search import Index
from qwen3_reranker.serve.accounts.store import Store
from testing.live_server import Live, live_server
from testing.patience import PATIENCE_SECONDS

expect.set_options(timeout=PATIENCE_SECONDS * 1000)
CHROMIUM = shutil.which("chromium")
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
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens an address in a window of its own; at the end nothing may have gone wrong or come from elsewhere.

    Requests that fail are logged by the browser itself; whether they may is each test's own matter.
    """
    wrong: list[str] = []
    asked: set[str] = set()
    origins: set[str] = set()
    contexts = []

    def opened(address: str, *, width: int = 1280, scheme: str = "light", **options: object) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce", **options
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_SECONDS * 1000)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if is_wrong(message.text, message.type) else None)
        page.on("request", lambda request: asked.add("/".join(request.url.split("/")[:3])))
        origins.add("/".join(address.split("/")[:3]))
        page.goto(address)
        return page

    def is_wrong(text: str, kind: str) -> bool:
        return kind in ("error", "warning") and not text.startswith("Failed to load resource:")

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []
    assert {each for each in asked if not each.startswith("data:")} <= origins
