"""How pages look and sound in a real browser: contrast, room, names, and what is left without scripts."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.serve.pages.conftest import OpenPage
from tests.serve.pages.server import KEY

pytestmark = pytest.mark.slow
PATHS = ("/", "/models", "/models/nano", "/models/Qwen/Qwen3-Reranker-0.6B", "/models/random", "/keys", "/nothing")


def prepared(open_page: OpenPage, address: str, path: str, **options: object) -> Page:
    """The page with everything on it that can be shown: results, questions, usage, errors."""
    page = open_page(address + path, **options)
    if path == "/":
        if page.locator("#key").count():
            page.locator("#key").fill(KEY)
        page.get_by_label("Compare with another").check()
        page.locator("#model-b").select_option("random")
        page.locator("#rank").click()
        expect(page.locator(".two .hit").first).to_be_visible()
    if path == "/keys" and page.locator("#key").count():
        page.locator("#key").fill(KEY)
        page.get_by_role("button", name="Show usage").click()
        expect(page.locator("#plot svg")).to_be_visible()
    for summary in page.locator("summary").all():
        summary.click()
    return page


# The contrast ratio of WCAG 2 for every piece of text that is seen, against the nearest opaque ground beneath it.
CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([red, green, blue]) => [red, green, blue]
    .map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let node = element; node; node = node.parentElement) {
      const colour = rgba(getComputedStyle(node).backgroundColor);
      if (colour[3] === 255) return colour;
      const under = getComputedStyle(node, "::before");
      if (under.content !== "none" && rgba(under.backgroundColor)[3] === 255) return rgba(under.backgroundColor);
    }
    return [255, 255, 255];
  };
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    const style = getComputedStyle(element);
    const colour = rgba(element instanceof SVGElement ? style.fill : style.color);
    found.push([ratio(colour, ground(element)), `${element.tagName}.${element.getAttribute("class")}: ${node.data.trim()}`]);
  }
  for (const control of document.querySelectorAll("input:not(.hidden, [type=radio]), textarea, select")) {
    if (!control.checkVisibility()) continue;
    const style = getComputedStyle(control);
    const own = rgba(style.backgroundColor);
    if (control.type !== "checkbox") found.push([ratio(rgba(style.color), own), control.id]);
    // Borders of controls need 3, not 4.5.
    found.push([ratio(rgba(style.borderTopColor), ground(control.parentElement)) * 1.5, `border of ${control.id}`]);
    if (control.placeholder) found.push([ratio(rgba(getComputedStyle(control, "::placeholder").color), own), "placeholder"]);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PATHS)
def test_all_text_can_be_read(open_page: OpenPage, keyed_address: str, path: str, scheme: str) -> None:
    page = prepared(open_page, keyed_address, path, scheme=scheme)
    if path == "/":
        page.locator(".hit").first.hover()
    found = page.evaluate(CONTRAST)
    assert len(found) > 10
    assert [(round(ratio, 2), what) for ratio, what in found if ratio < 4.5] == []


def test_dark_is_dark_and_light_is_light(open_page: OpenPage, address: str) -> None:
    def ground(scheme: str) -> int:
        page = open_page(address, scheme=scheme)
        return int(page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]"))

    assert ground("light") > 200
    assert ground("dark") < 50


@pytest.mark.parametrize("width", [320, 360, 768, 1000, 1280, 1920])
@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_wider_than_the_window_and_nothing_overlaps(
    open_page: OpenPage, keyed_address: str, path: str, width: int
) -> None:
    page = prepared(open_page, keyed_address, path, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # What stands beside or below one another does not reach into its neighbour.
    overlapping = page.evaluate("""() => {
      const boxes = (nodes) => [...nodes].filter((node) => node.checkVisibility()).map((node) => node.getBoundingClientRect());
      const wrong = [];
      for (const parent of document.querySelectorAll("main, .sheet, .sheet-main, .bench, .rankings, .account, .ask, .listing")) {
        const rows = boxes([...parent.children].filter((node) => !node.matches(".actions")));
        for (const [i, one] of rows.entries()) for (const other of rows.slice(i + 1)) {
          const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
          const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
          if (across > 1 && down > 1) wrong.push(parent.className || parent.tagName);
        }
        const room = parent.getBoundingClientRect();
        for (const box of rows) if (box.right > room.right + 1) wrong.push(`${parent.className} overflows`);
      }
      return wrong;
    }""")
    assert overlapping == []


@pytest.mark.parametrize("path", PATHS)
def test_whatever_can_be_pressed_is_large_enough_for_a_finger(
    open_page: OpenPage, keyed_address: str, path: str
) -> None:
    page = prepared(open_page, keyed_address, path, width=360)
    small = page.evaluate("""() => [...document.querySelectorAll("button, select, input:not(.hidden, [type=radio]), nav a, summary")]
        .filter((node) => node.checkVisibility()).map((node) => [node, node.getBoundingClientRect()])
        .filter(([node, box]) => (box.width < 24 || box.height < 24) && !node.matches(".link, .trail a") && !node.closest("label"))
        .map(([node]) => node.outerHTML.slice(0, 80))""")
    assert small == []


def test_the_button_that_ranks_is_in_view_at_once(open_page: OpenPage, address: str) -> None:
    for width in (360, 1280):
        expect(open_page(address, width=width).locator("#rank")).to_be_in_viewport(ratio=1)


def test_the_playground_reads_well_aloud(open_page: OpenPage, address: str) -> None:
    page = prepared(open_page, address, "/")
    expect(page.locator("form")).to_match_aria_snapshot("""
      - group "Examples":
        - text: Examples
        - button "Git help" [pressed]
        - button "Travel"
        - button "Many languages"
      - text: Query
      - textbox "Query"
      - text: Documents
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
      - switch "Compare with another model or instruction" [checked]
      - text: Compare with another model or instruction
      - button "Rank"
      - text: Ctrl Enter
    """)
    expect(page.locator(".ranking").nth(1).locator("li").first).to_match_aria_snapshot("""
      - listitem:
        - text: /probability 0\\.\\d+ (up|down) \\d+ from A|probability 0\\.\\d+ same place as in A/
        - paragraph
        - paragraph: /document \\d · logit/
    """)


def test_models_lead_to_their_pages_and_back_to_the_playground(open_page: OpenPage, address: str) -> None:
    page = open_page(address + "/models")
    page.get_by_role("link", name="Qwen3-Reranker-4B").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Qwen3-Reranker-4B")
    expect(page.get_by_role("row", name="Licence Apache-2.0")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("^MTEB-R"))).to_contain_text("69.76")
    answer = page.get_by_text("Its weights are 8.0 GB in bfloat16")
    expect(answer).to_be_hidden()
    page.get_by_text("How much memory does it need?").click()
    expect(answer).to_be_visible()
    page.get_by_role("navigation", name="Trail").get_by_role("link").click()
    page.get_by_role("link", name="nano", exact=True).click()
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
    page.get_by_role("button", name="Copy").last.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("getSelection().toString()").startswith("from qwen3_reranker import Reranker")


def test_models_are_read_without_scripts(open_page: OpenPage, address: str) -> None:
    page = open_page(address + "/models/nano", java_script_enabled=False)
    page.get_by_text("Why yes or no?").click()
    expect(page.get_by_text("Two words of the vocabulary are enough")).to_be_visible()
