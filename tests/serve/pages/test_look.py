"""How pages look and sound in a real browser: contrast, room, names, and what is left without scripts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from testing.browser import OpenPage
from tests.serve.pages.conftest import Keyed

pytestmark = pytest.mark.slow
LOOK = (Path(__file__).parent / "look.js").read_text(encoding="utf-8")
PATHS = (
    "/",
    "/search",
    "/models",
    "/models/nano",
    "/models/Qwen/Qwen3-Reranker-0.6B",
    "/models/random",
    "/keys",
    "/reference",
)


def prepared(open_page: OpenPage, keyed: Keyed, path: str, **options: object) -> Page:
    """The page with everything on it that can be shown: results, questions, usage, errors."""
    page = open_page(keyed.url + path, **options)
    if path == "/":
        page.locator("#key").fill(keyed.key)
        page.get_by_label("Compare with another").check()
        page.locator("#model-b").select_option("random")
        page.locator("#rank").click()
        expect(page.locator(".hit").first).to_be_visible()
        # In a narrow window both rankings are one list, which explains nothing.
        for why in page.get_by_role("button", name="Why?").all()[:1]:
            why.click()
            page.get_by_role("button", name="What if something else were asked?").click()
            page.get_by_label("Other instructions").fill("Find a recipe")
            page.get_by_role("button", name="Explain under each").click()
            expect(page.locator(".asked li")).to_have_count(2)
    if path == "/search":
        page.locator("#key").fill(keyed.key)
        page.get_by_label("Query").fill("take back a commit")
        page.get_by_role("button", name="Search").click()
        expect(page.locator(".hit").first).to_be_visible()
    if path == "/keys":
        page.locator("#key").fill(keyed.key)
        page.get_by_role("button", name="Show usage").click()
        expect(page.locator("#plot svg")).to_be_visible()
    for summary in page.locator("summary").all():
        summary.click()
    return page


@pytest.mark.parametrize("path", PATHS)
def test_all_text_can_be_read_in_both_schemes(open_page: OpenPage, keyed: Keyed, path: str) -> None:
    page = prepared(open_page, keyed, path)
    if path == "/":
        page.locator(".hit").first.hover()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = page.evaluate(f"{LOOK}.contrast()")
        assert len(found) > 10
        assert [(round(ratio, 2), what) for ratio, what in found if ratio < 4.5] == [], scheme


def test_dark_is_dark_and_light_is_light(open_page: OpenPage, address: str) -> None:
    def ground(scheme: str) -> int:
        page = open_page(address, scheme=scheme)
        return int(page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]"))

    assert ground("light") > 200
    assert ground("dark") < 50


@pytest.mark.parametrize("path", PATHS)
def test_at_any_width_nothing_leaves_the_window_and_nothing_overlaps(
    open_page: OpenPage, keyed: Keyed, path: str
) -> None:
    page = prepared(open_page, keyed, path)
    for width in (320, 360, 768, 1000, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 800})
        # What is drawn for the width there is, is drawn again by then.
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(f"{LOOK}.overlaps()") == [], width


@pytest.mark.parametrize("path", PATHS)
def test_whatever_can_be_pressed_is_large_enough_for_a_finger(open_page: OpenPage, keyed: Keyed, path: str) -> None:
    page = prepared(open_page, keyed, path, width=360)
    assert page.evaluate(f"{LOOK}.small()") == []


def test_what_explains_can_be_pressed_by_a_finger(open_page: OpenPage, address: str) -> None:
    page = open_page(address, width=360)
    page.locator("#rank").click()
    page.get_by_role("button", name="Why?").first.click()
    page.get_by_role("button", name="What if something else were asked?").click()
    assert page.evaluate(f"{LOOK}.small()") == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_button_that_ranks_is_in_view_at_once(open_page: OpenPage, address: str) -> None:
    for width in (360, 1280):
        expect(open_page(address, width=width).locator("#rank")).to_be_in_viewport(ratio=1)


def test_the_playground_reads_well_aloud(open_page: OpenPage, keyed: Keyed) -> None:
    page = prepared(open_page, keyed, "/")
    expect(page.locator("#ask")).to_match_aria_snapshot("""
      - group "Examples":
        - text: Examples
        - button "Git help" [pressed]
        - button "Travel"
        - button "Many languages"
      - text: API key
      - textbox "API key"
      - paragraph
      - text: Query
      - textbox "Query"
      - button "Rank"
      - button "Copy link"
      - text: Ctrl Enter Documents
      - textbox "Documents"
      - text: /8 documents, one a line/
      - button "Choose files"
      - text: Choose files
      - paragraph
      - group "A":
        - text: A Model
        - combobox "Model"
        - text: /Instruction optional/
        - textbox /Instruction/
      - group "B":
        - text: B Model
        - combobox "Model"
        - text: /Instruction optional/
        - textbox /Instruction/
      - switch "Compare with another model, instruction or order" [checked]
      - text: Compare with another model, instruction or order
    """)
    expect(page.locator(".ranking").nth(1).locator("li").first).to_match_aria_snapshot("""
      - listitem:
        - text: /probability 0\\.\\d+ [+−±]\\S+ from A, ((up|down) \\d+ from A|same place as in A)/
        - paragraph
        - paragraph: /document \\d · logit/
    """)


def test_models_lead_to_their_pages_and_back_to_the_playground(open_page: OpenPage, address: str) -> None:
    page = open_page(address + "/models")
    page.get_by_role("link", name="Qwen3-Reranker-4B").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Qwen3-Reranker-4B")
    expect(page.get_by_role("row", name="Licence Apache-2.0")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("^MTEB-R"))).to_contain_text("69.76")
    expect(page.get_by_role("row", name=re.compile("^On disk"))).to_contain_text("8.0 GB")
    answer = page.get_by_text("It says what counts as an answer")
    expect(answer).to_be_hidden()
    page.get_by_text("What is the instruction for?").click()
    expect(answer).to_be_visible()
    page.get_by_role("navigation", name="Trail").get_by_role("link").click()
    page.get_by_role("link", name="nano", exact=True).first.click()
    page.get_by_role("link", name="Try it in the playground").click()
    expect(page.locator("#model-a")).to_have_value("nano")


def test_a_models_command_is_copied(open_page: OpenPage, address: str) -> None:
    page = open_page(address + "/models/Qwen/Qwen3-Reranker-8B", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "qwen3-reranker serve --model Qwen/Qwen3-Reranker-8B"


def test_copying_works_where_the_browser_lends_no_clipboard(open_page: OpenPage, address: str) -> None:
    page = open_page(address + "/models/nano", permissions=["clipboard-read"])
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.get_by_role("tab", name="Python, no server").click()
    page.get_by_role("tabpanel").get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("getSelection().toString()").startswith("from qwen3_reranker import Reranker")


def test_models_are_read_without_scripts(open_page: OpenPage, address: str) -> None:
    page = open_page(address + "/models/nano", java_script_enabled=False)
    page.get_by_text("Why yes or no?").click()
    expect(page.get_by_text("Two words of the vocabulary are enough")).to_be_visible()
    expect(page.get_by_text("from langchain_cohere import CohereRerank")).to_be_visible()


def test_models_stand_side_by_side_in_the_order_of_any_column(open_page: OpenPage, address: str) -> None:
    page = open_page(address + "/models")

    def column(number: int) -> list[str]:
        return page.locator(f"#models tbody tr > :nth-child({number})").all_inner_texts()

    head = page.get_by_role("columnheader", name="Parameters")
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert column(2)[0].endswith("million")
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    assert column(2)[0] == "8.2 billion"
    page.get_by_role("button", name="Documents a second").click()
    measured = column(7)
    assert measured[0]
    assert not any(measured[measured.index("") :])
