"""Two rankings beside each other: what moved, by how much, the lines between them, and one list on a phone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from qwen3_reranker.serve.pages.playground_examples import EXAMPLES
from testing.browser import OpenPage
from tests.serve.pages.ranked import Rerankers, by_library, rank, ranked

pytestmark = pytest.mark.slow
FIRST = EXAMPLES[0]


def test_two_models_are_compared_with_what_moved(open_page: OpenPage, address: str, rerankers: Rerankers) -> None:
    page = open_page(address)
    page.get_by_label("Compare with another").check()
    page.locator("#model-b").select_option("random")
    rank(page)
    documents = list(FIRST.documents)
    assert ranked(page, 0) == by_library(rerankers["nano"], FIRST.query, documents)
    assert ranked(page, 1) == by_library(rerankers["random"], FIRST.query, documents)
    before = [index for index, _ in ranked(page, 0)]
    shown = [hit.locator(".move").text_content() for hit in page.locator(".ranking").nth(1).locator(".hit").all()]
    expected = []
    for place, (index, _) in enumerate(ranked(page, 1)):
        by = before.index(index) - place
        sign, word = ("▲", "up") if by > 0 else ("▼", "down")
        expected.append(f"{sign} {abs(by)}{word} {abs(by)} from A" if by else "same place as in A")
    assert shown == expected
    moved = sum(text != "same place as in A" for text in expected)
    assert moved > 0
    expect(page.get_by_role("status")).to_contain_text(f"{moved} of {len(documents)} documents")


def test_two_instructions_are_compared(open_page: OpenPage, address: str, rerankers: Rerankers) -> None:
    page = open_page(address)
    page.get_by_label("Compare with another").check()
    page.locator("#model-b").select_option("nano")
    page.locator("#instruction-b").fill(FIRST.other_instruction)
    rank(page)
    documents = list(FIRST.documents)
    assert ranked(page, 0) == by_library(rerankers["nano"], FIRST.query, documents)
    assert ranked(page, 1) == by_library(rerankers["nano"], FIRST.query, documents, FIRST.other_instruction)


def compared(open_page: OpenPage, address: str, other: str, **options: object) -> Page:
    """The example ranked by nano, and by another model or in the given order."""
    page = open_page(address, **options)
    page.get_by_label("Compare with another").check()
    page.locator("#model-b").select_option(other)
    rank(page)
    return page


def test_differences_are_those_of_the_probabilities_shown(open_page: OpenPage, address: str) -> None:
    page = compared(open_page, address, "random")
    before = dict(ranked(page, 0))
    hits = page.locator(".ranking").nth(1).locator(".hit")
    for (index, probability), shown in zip(ranked(page, 1), hits.locator(".difference").all_inner_texts(), strict=True):
        number = float(re.match(r"\S+", shown)[0].replace("−", "-").replace("±", ""))  # type: ignore[index]
        assert number == pytest.approx(float(probability) - float(before[index]), abs=0.002)


def test_lines_lead_from_each_documents_place_to_its_other_place(open_page: OpenPage, address: str) -> None:
    page = compared(open_page, address, "random")
    page.get_by_label("Documents").fill("a short one\n" + "a long one that is folded " * 30 + "\nthe third")
    rank(page)
    page.get_by_role("button", name="Show all of it").first.click()
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    top = page.locator(".slopes").bounding_box()
    assert top
    for path in page.locator(".slopes path").all():
        index = path.get_attribute("data-index")
        numbers = [float(each) for each in re.findall(r"[\d.]+", path.get_attribute("d") or "")]
        for side, height in ((0, numbers[1]), (1, numbers[-1])):
            head = page.locator(".ranking").nth(side).locator(f"[data-index='{index}'] .hit-head").bounding_box()
            assert head
            assert top["y"] + height == pytest.approx(head["y"] + head["height"] / 2, abs=2)
    assert page.locator(".slopes path").count() == 3


def test_a_ranking_is_compared_with_the_order_that_was_given(open_page: OpenPage, address: str) -> None:
    page = compared(open_page, address, "")
    hits = page.locator(".ranking").nth(1).locator(".hit")
    assert [hit.get_attribute("data-index") for hit in hits.all()] == [str(i) for i in range(len(FIRST.documents))]
    assert hits.locator(".probability").count() == 0
    expect(page.locator(".side-name").nth(1)).to_contain_text("Your order")
    assert page.locator(".slopes .up, .slopes .down").count() > 0


def test_a_phone_shows_one_list_with_both_bars(open_page: OpenPage, address: str, rerankers: Rerankers) -> None:
    page = compared(open_page, address, "random", width=390)
    expect(page.locator(".ranking")).to_have_count(1)
    documents = list(FIRST.documents)
    first = dict(by_library(rerankers["nano"], FIRST.query, documents))
    second = by_library(rerankers["random"], FIRST.query, documents)
    hits = page.locator(".hit").all()
    assert [int(hit.get_attribute("data-index") or -1) for hit in hits] == [index for index, _ in second]
    for hit, (index, probability) in zip(hits, second, strict=True):
        shown = [text.split()[-1] for text in hit.locator(".probability").all_inner_texts()]
        assert shown == [first[index], probability]
    expect(page.locator(".slopes")).to_have_count(0)
    page.set_viewport_size({"width": 1280, "height": 800})
    expect(page.locator(".ranking")).to_have_count(2)
