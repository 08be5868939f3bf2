"""The playground in a real browser: it ranks as the library does, compares, is refused, cancels, and gives code."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import expect

from qwen3_reranker import Reranker, plan
from qwen3_reranker.records import Row
from qwen3_reranker.serve.pages.playground_examples import EXAMPLES, PlaygroundExample
from testing.browser import OpenPage
from testing.live_server import Live, live_server
from testing.patience import PATIENCE_SECONDS, until
from tests.serve.pages.conftest import Keyed
from tests.serve.pages.ranked import Rerankers, by_library, rank, ranked
from tests.serve.pages.run_code import run_code

pytestmark = pytest.mark.slow
FIRST = EXAMPLES[0]


def test_it_ranks_the_example_as_the_library_does(open_page: OpenPage, address: str, rerankers: Rerankers) -> None:
    page = open_page(address)
    rank(page)
    documents = list(FIRST.documents)
    assert ranked(page) == by_library(rerankers["nano"], FIRST.query, documents)
    usage = rerankers["nano"].rank(FIRST.query, documents).usage
    # Every distinct beginning once, however short: what is charged less what differs.
    tree = plan.build(rerankers["nano"].rows([FIRST.query] * len(documents), documents), 1)
    saved = usage.prompt_tokens - tree.num_tokens
    figures = page.locator(".figures").inner_text()
    assert f"{usage.prompt_tokens:,}" in figures
    assert f"{saved:,} ({round(100 * saved / usage.prompt_tokens)} %)" in figures
    best = rerankers["nano"].rank(FIRST.query, documents)[0]
    facts = page.locator(".hit-facts").first.inner_text()
    assert facts == f"document {best.index + 1} · logit +{best.logit:.2f} · {best.receipt.document_tokens} tokens"
    assert page.get_by_role("status").inner_text().endswith(f"The best is document {best.index + 1}.")


def test_bars_are_as_long_as_probabilities(open_page: OpenPage, address: str) -> None:
    page = open_page(address)
    rank(page)
    for hit in page.locator(".hit").all():
        whole, part = hit.locator(".bar").bounding_box(), hit.locator(".bar span").bounding_box()
        assert whole
        assert part
        shown = float(hit.locator(".probability").inner_text().split()[-1])
        assert part["width"] / whole["width"] == pytest.approx(shown, abs=0.02)


def test_why_colours_the_sentences_as_the_library_explains_them_and_stays_when_the_view_changes(
    open_page: OpenPage, address: str, rerankers: Rerankers
) -> None:
    page = open_page(address)
    document = "😀 This page is about git. Run git reset to take back a commit. Rice is boiled with the lid on it."
    page.locator("#documents").fill(document)
    rank(page)
    page.get_by_role("button", name="Why?").click()
    marks = page.locator(".hit mark")
    expected = rerankers["nano"].explain(FIRST.query, document).sentences
    expect(marks).to_have_count(len(expected))
    shown = marks.evaluate_all(
        "marks => marks.map((mark) => [mark.textContent, mark.style.getPropertyValue('--heat')])"
    )
    assert [text for text, _ in shown] == [document[each.start : each.end] for each in expected]
    best = max(range(len(expected)), key=lambda number: expected[number].alone)
    assert [number for number, (_, heat) in enumerate(shown) if heat == "45%"] == [best]
    page.locator("#top-n").fill("1")
    expect(marks).to_have_count(len(expected))


def test_other_instructions_stand_beside_the_one_that_it_was_ranked_by(
    open_page: OpenPage, address: str, rerankers: Rerankers
) -> None:
    page = open_page(address)
    document = "This page is about git. Run git reset to take back a commit. Rice is boiled with the lid on it."
    page.locator("#documents").fill(document)
    rank(page)
    page.get_by_role("button", name="Why?").click()
    page.get_by_role("button", name="What if something else were asked?").click()
    asked = ["Find recipes", "Find a git command"]
    page.get_by_label("Other instructions").fill("\n\n".join(asked))
    page.get_by_role("button", name="Explain under each").click()
    rows = page.locator(".asked li")
    expect(rows).to_have_count(3)
    nano = rerankers["nano"]
    for row, instruction in zip(rows.all(), [None, *asked], strict=True):
        expected = nano.explain(FIRST.query, document, instruction)
        name, sentence = row.locator("p").all_inner_texts()
        assert name == (instruction or "The model's own instruction")
        assert sentence == expected.evidence.text  # type: ignore[union-attr]
        assert row.locator(".number").inner_text() == f"{expected.logit:+.2f}".replace("-", "−")
    page.locator("#top-n").fill("1")
    expect(rows).to_have_count(3)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.name)
def test_every_example_is_ranked_with_its_instruction(
    open_page: OpenPage, address: str, rerankers: Rerankers, example: PlaygroundExample
) -> None:
    page = open_page(address)
    page.get_by_role("button", name=example.name).click()
    rank(page)
    expected = by_library(rerankers["nano"], example.query, list(example.documents), example.instruction or None)
    assert ranked(page) == expected


def test_another_model_and_instruction_are_what_is_asked(
    open_page: OpenPage, address: str, rerankers: Rerankers
) -> None:
    page = open_page(address)
    page.get_by_label("Model", exact=True).first.select_option("random")
    page.get_by_label("Instruction").first.fill("Retrieve recipes")
    rank(page)
    expected = by_library(rerankers["random"], FIRST.query, list(FIRST.documents), "Retrieve recipes")
    assert ranked(page) == expected


def test_what_was_cut_is_said(open_page: OpenPage, address: str, rerankers: Rerankers) -> None:
    page = open_page(address + "/?model=nano-short")
    long = "Simmer the rice for twelve minutes. " * 40
    page.get_by_label("Documents").fill(f"git tag\n{long}")
    rank(page)
    [receipt] = [
        hit.receipt for hit in rerankers["nano-short"].rank(FIRST.query, ["git tag", long.strip()]) if hit.index
    ]
    assert receipt.truncated
    said = page.locator("[data-index='1'] .hit-facts").inner_text()
    assert said.endswith(f"cut: {receipt.kept_tokens} of {receipt.document_tokens} tokens read")
    assert "cut" not in page.locator("[data-index='0'] .hit-facts").inner_text()


def test_a_long_document_is_folded_and_unfolds(open_page: OpenPage, address: str) -> None:
    page = open_page(address)
    page.get_by_label("Documents").fill("Simmer the rice for twelve minutes. " * 40)
    rank(page)
    button = page.get_by_role("button", name="Show all of it")
    text = page.locator(".hit-text")
    folded = text.bounding_box()
    button.click()
    unfolded = text.bounding_box()
    assert folded
    assert unfolded
    assert unfolded["height"] > 2 * folded["height"]
    expect(page.get_by_role("button", name="Show less")).to_have_attribute("aria-expanded", "true")


def test_one_side_may_fail_alone(open_page: OpenPage, address: str) -> None:
    page = open_page(address)
    page.get_by_label("Compare with another").check()
    page.locator("#model-b option").first.evaluate("option => (option.value = 'no such model')")
    page.locator("#model-b").select_option("no such model")
    page.get_by_role("button", name="Rank", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("404 Not found")
    expect(page.locator(".ranking .hit")).to_have_count(len(FIRST.documents))


def test_markup_in_documents_stays_text(open_page: OpenPage, address: str) -> None:
    page = open_page(address)
    evil = ["<script>document.title = 'taken'</script>", '"><img src=x onerror="document.title = \'taken\'">']
    page.get_by_label("Documents").fill("\n".join(evil))
    page.get_by_label("Query").fill("<b>bold</b>")
    rank(page)
    assert sorted(hit.inner_text() for hit in page.locator(".hit-text").all()) == sorted(evil)
    assert page.locator("main img, main script").count() == 0
    assert page.title().startswith("Playground")


def test_a_busy_server_is_shown_with_when_to_come_again(open_page: OpenPage, live: Live) -> None:
    page = open_page(live.url)
    live.application.context.drain.is_draining = True
    try:
        page.get_by_role("button", name="Rank", exact=True).click()
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("503 Busy")
        expect(alert).to_contain_text(re.compile(r"shutting down.* Try again in \d s\."))
        expect(alert).to_contain_text(re.compile(r"draining · req_\w+"))
    finally:
        live.application.context.drain.is_draining = False
    rank(page)


def test_a_server_that_is_gone_is_told_apart(open_page: OpenPage) -> None:
    with live_server() as running:
        page = open_page(running.url)
    page.get_by_role("button", name="Rank", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("The server could not be reached")


def test_a_key_is_asked_for_refused_and_then_works(open_page: OpenPage, keyed: Keyed) -> None:
    page = open_page(keyed.url, width=360)
    key = page.get_by_label("API key")
    button = page.get_by_role("button", name="Rank", exact=True)
    button.click()
    assert key.evaluate("field => field.validity.valueMissing")
    assert page.locator(".hit").count() == 0
    key.fill("wrong")
    button.click()
    expect(page.get_by_role("alert")).to_contain_text("401 The key is not accepted")
    expect(key).to_be_focused()
    expect(key).to_have_attribute("aria-invalid", "true")
    # Nothing lies over it: the row that stays at the window's end keeps its distance.
    box = key.bounding_box()
    assert box
    assert page.evaluate("([x, y]) => document.elementFromPoint(x, y).id", [box["x"] + 9, box["y"] + 9]) == "key"
    key.fill("schlüssel")
    button.click()
    expect(page.get_by_role("alert")).to_contain_text("no accented letters")
    key.fill(keyed.key)
    rank(page)
    assert key.get_attribute("aria-invalid") is None
    stored = page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])")
    assert keyed.key not in stored
    assert keyed.key not in page.locator("#snippets").inner_html()
    page.reload()
    assert page.get_by_label("API key").input_value() == ""


class Door:
    """Stands before the model, and holds rows up while it is shut."""

    def __init__(self, reranker: Reranker) -> None:
        self._judge = reranker.judge
        self._open = threading.Event()

    def judge(self, rows: Sequence[Row]) -> Generator[None, None, NDArray[np.float32]]:
        assert self._open.wait(PATIENCE_SECONDS)
        return self._judge(rows)

    def open(self) -> None:
        self._open.set()


@pytest.mark.parametrize("how", ["button", "escape"])
def test_cancel_ends_the_request_on_the_server_too(open_page: OpenPage, how: str) -> None:
    with live_server() as running:
        page = open_page(running.url)
        [model] = running.application.context.models.rerankers
        door = Door(model.reranker)
        model.scheduler.scorer = door
        page.get_by_role("button", name="Rank", exact=True).click()
        cancel = page.get_by_role("button", name="Cancel")
        expect(cancel).to_be_visible()
        until(lambda: running.application.context.drain.in_flight == 1)
        if how == "button":
            cancel.click()
        else:
            page.keyboard.press("Escape")
        expect(page.get_by_role("status")).to_have_text("Cancelled.")
        expect(cancel).to_be_hidden()
        assert page.locator(".hit").count() == 0
        until(lambda: running.application.context.drain.in_flight == 0)
        door.open()
        rank(page)


def test_everything_works_from_the_keyboard(open_page: OpenPage, address: str) -> None:
    page = open_page(address)
    press = page.keyboard.press

    def tab_to(id: str) -> None:
        for _ in range(40):
            press("Tab")
            if page.evaluate("document.activeElement.id") == id:
                return
        raise AssertionError(f"{id} cannot be reached")

    press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    press("Enter")
    tab_to("query")
    press("Control+Enter")
    expect(page.locator(".hit")).to_have_count(len(FIRST.documents))
    tab_to("files")
    tab_to("compare")
    press("Space")
    expect(page.locator("#side-b")).to_be_visible()
    tab_to("rank")
    press("Enter")
    expect(page.locator(".ranking")).to_have_count(2)
    tab_to("tab-snippet-curl")
    press("ArrowRight")
    expect(page.locator("#snippet-http")).to_be_visible()
    expect(page.locator("#snippet-curl")).to_be_hidden()
    press("End")
    expect(page.get_by_role("tab", name="Python, no server")).to_be_focused()
    press("ArrowRight")
    expect(page.get_by_role("tab", name="curl")).to_have_attribute("aria-selected", "true")


@pytest.mark.parametrize(
    ("text", "documents"),
    [
        ("one\ntwo\r\nthree", ["one", "two", "three"]),
        ("  a b  \n\n", ["a b"]),
        ("first line\nsecond line\n\nanother\n  \n\nlast", ["first line\nsecond line", "another", "last"]),
        ('["a, b", "c\\nd"]', ["a, b", "c\nd"]),
        ('[{"text": "a"}, "b"]', [{"text": "a"}, "b"]),
        ("[note] not JSON\n[1, 2]", ["[note] not JSON", "[1, 2]"]),
        ("[1, 2]", ["[1, 2]"]),
        ('{"text": "a"}\n{"text": "b"}\n', [{"text": "a"}, {"text": "b"}]),
        ('"quoted" words\n"more"', ['"quoted" words', '"more"']),
        ("", []),
        (" \n \n", []),
    ],
)
def test_text_is_taken_apart_into_documents(
    open_page: OpenPage, address: str, text: str, documents: list[object]
) -> None:
    page = open_page(address + "/models")
    script = "async ([from, text]) => (await import(from)).documentsOf(text).documents"
    folder = page.locator("link[rel=stylesheet]").get_attribute("href")
    assert folder
    found = page.evaluate(script, [folder.replace("style.css", "documents.js"), text])
    assert found == documents


def test_files_become_documents(open_page: OpenPage, address: str, tmp_path: Path) -> None:
    texts = {"a.txt": "Simmer the rice.\n\nFor long.", "b.md": '"quotes" and <tags>', "c.jsonl": '{"text": "x"}\n"y"'}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    page = open_page(address)
    page.locator("#files").set_input_files(tmp_path / "c.jsonl")
    expect(page.locator("#documents-count")).to_have_text("2 documents, JSON, one a line")
    page.locator("#files").set_input_files([tmp_path / name for name in texts])
    expect(page.locator("#documents-count")).to_have_text("3 documents, a JSON list")
    assert json.loads(page.get_by_label("Documents").input_value()) == list(texts.values())
    rank(page)
    assert page.locator(".hit").count() == 3


NASTY = ['it\'s "quoted" \\ $HOME `id` %s {x} #', "two\nlines\ttab \u2028 end", "日本語 😀", "</script><b>"]


@pytest.mark.parametrize("with_key", [False, True], ids=["open", "keyed"])
def test_copied_code_runs_and_ranks_alike(
    open_page: OpenPage, address: str, keyed: Keyed, rerankers: Rerankers, tmp_path: Path, with_key: bool
) -> None:
    page = open_page(keyed.url if with_key else address, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_label("Query").fill('what\'s "it" $(id)?')
    page.get_by_label("Documents").fill(json.dumps(NASTY))
    page.get_by_label("Instruction").first.fill("Retrieve what's \\ quoted")
    plain = rerankers["nano"].rank('what\'s "it" $(id)?', NASTY)
    instructed = rerankers["nano"].rank('what\'s "it" $(id)?', NASTY, instruction="Retrieve what's \\ quoted")
    for tab in page.get_by_role("tab").all_inner_texts():
        page.get_by_role("tab", name=tab, exact=True).click()
        page.get_by_role("tabpanel").get_by_role("button", name="Copy").click()
        expect(page.get_by_role("tabpanel").get_by_role("button")).to_have_text("Copied")
        code = page.evaluate("navigator.clipboard.readText()")
        printed = run_code(tab, code, tmp_path, {"QWEN3_RERANKER_KEY": keyed.key}, page)
        if tab == "curl":
            pairs = [(each["index"], each["relevance_score"]) for each in json.loads(printed)["results"]]
        else:
            pairs = [(int(line.split()[0]), float(line.split()[1])) for line in printed.splitlines()]
        expected = plain if "has no field for an instruction" in code else instructed
        assert [index for index, _ in pairs] == [hit.index for hit in expected], tab
        assert [score for _, score in pairs] == pytest.approx([hit.probability for hit in expected], abs=1e-6), tab


def test_code_writes_records_as_each_language_does(open_page: OpenPage, address: str, tmp_path: Path) -> None:
    page = open_page(address)
    records = [{"text": 'null, "true"', "seen": None}, {"text": "b", "good": True}]
    page.get_by_label("Documents").fill(json.dumps(records))
    for tab in ("curl", "Python, HTTP", "JavaScript", "Cohere"):
        page.get_by_role("tab", name=tab, exact=True).click()
        code = page.get_by_role("tabpanel").locator("pre").text_content() or ""
        assert len(run_code(tab, code, tmp_path, {}, page)) > 10
