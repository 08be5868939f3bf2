"""Debian's chromium, and pages in it that may not fail or ask another host for anything."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from testing.patience import PATIENCE_SECONDS

expect.set_options(timeout=PATIENCE_SECONDS * 1000)
OpenPage = Callable[..., Page]


@contextmanager
def launched_browser() -> Iterator[Browser]:
    """A browser inside the block; skips the test without one. Its driver leaves an event loop running in the thread."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        launched.close()


@contextmanager
def opening_pages(browser: Browser) -> Iterator[OpenPage]:
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
