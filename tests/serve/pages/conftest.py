"""The bundled model in two ways and a random one, servers of them, and a real browser, made once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from qwen3_reranker import Reranker
from tests.serve.pages.server import Api, app_of, served, site_of

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="session")
def rerankers(small_checkpoint: Path) -> dict[str, Reranker]:
    """By the names under which they are served: one reads short rows only, one ranks at random."""
    return {
        "nano": Reranker("nano"),
        "nano-short": Reranker("nano", max_length=100),
        "random": Reranker(str(small_checkpoint)),
    }


@pytest.fixture(scope="session")
def address(rerankers: dict[str, Reranker]) -> Iterator[str]:
    """A server that wants no keys."""
    with served(app_of(site_of(rerankers), Api(rerankers, keys=False))) as at:
        yield at


@pytest.fixture
def keyed_address(rerankers: dict[str, Reranker]) -> Iterator[str]:
    """A server that wants keys, and has counted nothing yet."""
    with served(app_of(site_of(rerankers, keys=True), Api(rerankers, keys=True))) as at:
        yield at


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's chromium."""
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
        context.set_default_timeout(10_000)
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
