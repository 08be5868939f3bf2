"""The documentation site: complete, without a broken link, and alone: a page asks no other host for anything."""

from __future__ import annotations

import tomllib
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from playwright.sync_api import expect

from qwen3_reranker import Reranker
from testing.browser import launched_browser, opening_pages
from testing.local_server import Quiet, serving
from website.build import pages_in_order
from website.staged_pages import GENERATED, PAGES
from website.tree_picture import PICTURE, picture

pytestmark = pytest.mark.slow


class _Page(HTMLParser):
    """The anchors of a page, what it links to, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.anchors.update(value for name in ("id", "name") if (value := found.get(name)))
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        loads = tag == "link" and found.get("rel") in ("stylesheet", "icon", "preload", "modulepreload")
        target = found.get("src") or (found.get("href") if loads else None)
        if target:
            self.loaded.append(target)


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, _Page]:
    """Every page by its address below the site, such as "search/"."""
    return {
        str(path.relative_to(site)).removesuffix("index.html"): _Page(path.read_text(encoding="utf-8"))
        for path in site.rglob("*.html")
        if path.name != "404.html"
    }


def test_every_page_of_docs_is_in_the_navigation() -> None:
    config = tomllib.loads((Path(__file__).parents[2] / "website/zensical.toml").read_text(encoding="utf-8"))
    listed = list(pages_in_order(config["project"]["nav"]))
    assert sorted(listed) == sorted([*(path.name for path in PAGES.glob("*.md")), *GENERATED])


def test_the_picture_of_a_tree_is_that_of_a_real_plan() -> None:
    assert PICTURE.read_text(encoding="utf-8") == picture(Reranker("nano", plan_only=True))


def test_every_link_inside_the_site_leads_to_a_page_and_an_anchor(site: Path, pages: dict[str, _Page]) -> None:
    broken = []
    for address, page in pages.items():
        for link in page.links:
            target = urlsplit(urljoin(f"http://site/{address}", link))
            if target.netloc != "site":
                continue
            path = unquote(target.path).lstrip("/")
            is_page = path in pages
            if not is_page and not (site / path).is_file():
                broken.append(f"{address}: {link}")
            elif is_page and target.fragment and unquote(target.fragment) not in pages[path].anchors:
                broken.append(f"{address}: {link} has no such anchor")
    assert not broken


def test_a_page_names_no_other_host_to_load_something_from(pages: dict[str, _Page]) -> None:
    foreign = {target for page in pages.values() for target in page.loaded if urlsplit(target).netloc}
    assert not foreign


def test_the_pages_for_language_models_hold_every_page(site: Path) -> None:
    listed = (site / "llms.txt").read_text(encoding="utf-8")
    whole = (site / "llms-full.txt").read_text(encoding="utf-8")
    for page in site.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        assert f"/{page.name})" in listed
        assert text.strip() in whole


def test_a_browser_finds_a_page_by_its_words_and_asks_no_other_host(site: Path) -> None:
    class Files(Quiet, SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(site))

    with serving(Files) as address, launched_browser() as browser, opening_pages(browser) as open_page:
        page = open_page(address)
        # The script that listens to keys is loaded after the page.
        page.wait_for_load_state("networkidle")
        page.keyboard.press("Control+k")
        words = page.locator("input:focus")
        expect(words).to_be_visible()
        words.fill("front matter")
        expect(page.get_by_role("option").filter(has_text="Search your files").first).to_be_visible()
