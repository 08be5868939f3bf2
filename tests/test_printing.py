"""Models, rankings, hits and embeddings print briefly; what notebooks show is text and never markup."""

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from qwen3_reranker import Embeddings, Hit, Ranking, Receipt, Reranker, TextReceipt, Usage

USAGE = Usage(9, 9, 0, 0)


def ranking(*documents: str) -> Ranking:
    receipt = Receipt(3, 3, 2, 2)
    hits = [Hit(index, 1.5 - index, 0.5, document, receipt) for index, document in enumerate(documents)]
    return Ranking(tuple(hits), USAGE)


def test_a_reranker_prints_its_model_and_what_was_asked_of_it(small_checkpoint: Path) -> None:
    with Reranker("nano", precision="int8", max_length=500) as reranker:
        assert repr(reranker) == "<Reranker('nano', backend='cpu', precision='int8', max_length=500)>"
    assert repr(reranker) == "<closed Reranker('nano', backend='cpu', precision='int8', max_length=500)>"
    with Reranker(small_checkpoint, plan_only=True) as planner:
        expected = f"<Reranker({str(small_checkpoint)!r}, backend='cpu', precision='float32', plan_only=True)>"
        assert repr(planner) == expected


def test_a_ranking_of_many_long_documents_prints_the_best_few_shortened() -> None:
    lines = repr(ranking(*["word " * 1000] * 500)).splitlines()
    assert len(lines) == 7
    assert lines[0] == "<Ranking of 500 hits, best first"
    assert lines[1].startswith("  Hit(index=0, logit=1.5000, probability=0.5000, document='word word")
    assert lines[1].endswith("…')")
    assert lines[-1] == "  and 495 more>"
    assert max(map(len, lines)) <= 130


def test_a_short_ranking_prints_all_of_it_and_an_empty_one_is_no_error() -> None:
    expected = "<Ranking of 1 hits, best first\n  Hit(index=0, logit=1.5000, probability=0.5000, document='a')>"
    assert repr(ranking("a")) == expected
    assert repr(ranking()) == "<Ranking of 0 hits, best first>"


def test_a_hit_that_was_cut_prints_its_receipt() -> None:
    assert "kept_tokens=3" in repr(Hit(0, 1.0, 0.5, "a", Receipt(9, 3, 2, 2)))


def test_embeddings_print_how_many_they_are_and_not_their_receipts() -> None:
    embeddings = Embeddings(np.zeros((500, 64), np.float32), (TextReceipt(3, 3),) * 500, USAGE)
    assert repr(embeddings).startswith("<Embeddings: 500 vectors of 64 numbers, Usage(")


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "</td></table><iframe>",
        "&lt;b&gt; <b id='x'>",
    ],
)
def test_a_notebook_shows_a_document_as_text_whatever_it_holds(hostile: str) -> None:
    page = _Tags()
    page.feed(ranking(hostile, *["other"] * 30)._repr_html_())
    assert set(page.tags) == {"table", "thead", "tbody", "tr", "th", "td", "p"}
    assert hostile in page.text
    assert "and 11 more" in page.text


def test_a_notebook_shows_long_documents_shortened() -> None:
    assert len(ranking("word " * 100_000)._repr_html_()) < 1000
