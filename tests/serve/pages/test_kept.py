"""What the playground keeps in its address and writes into files, and how it shows very many documents."""

from __future__ import annotations

import csv
import io
import json

import httpx2
import pytest
from playwright.sync_api import Page, expect

from testing.browser import OpenPage
from tests.serve.pages.ranked import Rerankers, rank, ranked

pytestmark = pytest.mark.slow


def fields(page: Page) -> list[object]:
    """All that a visitor has put in."""
    ids = ("query", "documents", "model-a", "instruction-a", "model-b", "instruction-b", "top-n", "threshold")
    return [page.locator(f"#{id}").input_value() for id in ids] + [page.locator("#compare").is_checked()]


def filled_in(page: Page, documents: str) -> list[object]:
    page.get_by_label("Query").fill("réunion & <b> #1? 日本")
    page.get_by_label("Documents").fill(documents)
    page.locator("#instruction-a").fill("Retrieve 100 % of it")
    page.get_by_label("Compare with another").check()
    page.locator("#model-b").select_option("random")
    page.locator("#instruction-b").fill("Retrieve nothing")
    rank(page)
    page.locator("#top-n").fill("2")
    page.locator("#threshold").fill("0.5")
    page.wait_for_function("""async () => {
      const { stateOf } = await import(document.querySelector("script").src.replace("playground.js", "state.js"));
      return (await stateOf(location.hash))?.t === "0.5";
    }""")
    return fields(page)


@pytest.mark.parametrize("documents", ["one\ntwo\nthree", "\n".join(f"line {n} of many" for n in range(900))])
def test_an_address_holds_the_input_and_sends_none_of_it(open_page: OpenPage, address: str, documents: str) -> None:
    page = open_page(address, permissions=["clipboard-read", "clipboard-write"])
    given = filled_in(page, documents)
    expect(page.locator("#link")).to_contain_text("#q=" if len(documents) < 100 else "#z=")
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == page.url
    assert len(link) < 10_000
    assert httpx2.URL(link).raw_path == b"/"
    page.reload()
    other = open_page(link)
    # The address is read while the page is already there.
    for restored in (page, other):
        expect(restored.get_by_label("Query")).to_have_value("réunion & <b> #1? 日本")
        assert fields(restored) == given


def test_an_untouched_page_has_a_plain_address_and_can_be_linked_to(open_page: OpenPage, address: str) -> None:
    page = open_page(address)
    expect(page.locator("#link")).to_contain_text("#q=take+back+my+last+commit")
    assert page.url == address + "/"


@pytest.mark.parametrize("damaged", ["#z=!!", "#z=AAAA", "#z=" + "A" * 2000])
def test_a_damaged_link_is_said_and_loses_nothing(open_page: OpenPage, address: str, damaged: str) -> None:
    page = open_page(address + "/" + damaged)
    expect(page.get_by_role("status")).to_contain_text("damaged")
    rank(page)


def test_a_link_to_a_model_that_is_gone_says_so(open_page: OpenPage, address: str) -> None:
    page = open_page(address + "/#q=a&d=b&m=%3Cb%3Egone")
    expect(page.get_by_role("status")).to_have_text("The link names the model <b>gone, which is not served here.")
    expect(page.get_by_label("Query")).to_have_value("a")


def test_the_link_to_the_content_is_no_input(open_page: OpenPage, address: str) -> None:
    page = open_page(address + "/#content")
    expect(page.get_by_label("Query")).to_have_value("take back my last commit")


def test_a_line_parts_what_lies_below_and_the_best_alone_are_shown(open_page: OpenPage, address: str) -> None:
    page = open_page(address)
    rank(page)
    page.locator("#threshold").fill("0.5")
    numbers = [float(probability) for _, probability in ranked(page)]
    below = sum(number < 0.5 for number in numbers)
    assert 0 < below < len(numbers)
    expect(page.locator(".threshold")).to_have_text(f"Below 0.5: {below} documents")
    expect(page.locator(".threshold ~ .hit")).to_have_count(below)
    page.locator("#top-n").fill("3")
    expect(page.locator(".hit")).to_have_count(3)
    expect(page.locator(".rest")).to_have_text(f"{len(numbers) - 3} more documents not shown")
    page.locator("#top-n").fill("0")
    expect(page.locator(".hit")).to_have_count(len(numbers))


def test_a_ranking_is_saved_as_it_is_shown(open_page: OpenPage, address: str, rerankers: Rerankers) -> None:
    documents = ['a "quoted", text', "=1+1", "日本\nzwei"]
    page = open_page(address)
    page.get_by_label("Query").fill("words")
    page.get_by_label("Documents").fill(json.dumps(documents))
    rank(page)
    expected = rerankers["nano"].rank("words", documents)

    def saved(kind: str) -> str:
        with page.expect_download() as waiting:
            page.get_by_role("button", name=f"Save {kind}").click()
        assert waiting.value.suggested_filename == f"ranking.{kind.lower()}"
        return waiting.value.path().read_bytes().decode()

    [ranking] = json.loads(saved("JSON"))
    assert (ranking["model"], ranking["query"]) == ("nano", "words")
    assert [each["text"] for each in ranking["results"]] == [documents[hit.index] for hit in expected]
    assert [each["logit"] for each in ranking["results"]] == pytest.approx([hit.logit for hit in expected], abs=1e-5)
    rows = list(csv.DictReader(io.StringIO(saved("CSV"), newline="")))
    assert [int(row["document"]) - 1 for row in rows] == [hit.index for hit in expected]
    # No spreadsheet may run a document.
    assert {row["text"] for row in rows} == {'a "quoted", text', "'=1+1", "日本\nzwei"}


# Of each list: how many documents it has, how many of them are laid out and painted, and whether the last one is.
RENDERED = """() => [...document.querySelectorAll(".hits")].map((list) => {
  const rendered = [...list.querySelectorAll(".hit")].map(({ firstElementChild }) =>
    firstElementChild.checkVisibility({ contentVisibilityAuto: true }));
  return [rendered.length, rendered.filter(Boolean).length, rendered.at(-1)];
})"""


@pytest.mark.parametrize("rankings", [1, 2])
def test_of_nine_hundred_documents_only_those_near_the_window_are_rendered(
    open_page: OpenPage, address: str, rankings: int
) -> None:
    page = open_page(address)
    page.get_by_label("Documents").fill("\n".join(f"the commit {n} was taken back" for n in range(900)))
    if rankings == 2:
        page.get_by_label("Compare with another").check()
        page.locator("#model-b").select_option("")
    rank(page)
    expect(page.locator(".hit")).to_have_count(900 * rankings)
    page.locator(".hit").first.scroll_into_view_if_needed()
    for last in (False, True):
        if last:
            page.locator(".hit").last.scroll_into_view_if_needed()
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        for count, rendered, is_last in page.evaluate(RENDERED):
            assert (count, is_last) == (900, last)
            assert 0 < rendered < 100
