"""A search may fold copies, prefer different passages and fill a budget of tokens, and names what it did not choose."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qwen3_reranker.errors import InputError
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.search import Index, SelectionOptions

TEXTS = {
    "undo.md": "# Undo\n\nTo take back the last commit, run git reset --soft HEAD~1.\n",
    "copy/undo.md": "# Undo\n\nTo take back the last commit, run git reset --soft HEAD~1!\n",
    "revert.md": "# Revert\n\ngit revert makes a new commit that takes back another one.\n",
    "zh.txt": "要撤销最后一次 commit，运行 git reset。\n",
    "amend.md": "# Amend\n\ngit commit --amend changes the last commit.\n",
}
QUERY = "take back the last commit"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts") / "texts"
    for name, text in TEXTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def index(folder: Path) -> Iterator[Index]:
    with Index(folder.parent / "index", reranker="nano") as made:
        made.add(folder)
        yield made


def test_a_copy_is_folded_into_the_better_document_and_named_by_its_place(index: Index) -> None:
    plain = index.search(QUERY)
    found = index.search(QUERY, selection=SelectionOptions(fold=0.8))
    assert {place for hit in found for place in (hit.place, *hit.duplicates)} == {hit.place for hit in plain}
    assert [hit.duplicates for hit in found if "undo" in hit.path] in ([("undo.md:1",)], [("copy/undo.md:1",)])
    assert found.selection is not None
    assert (found.selection.folded, found.selection.left_out) == (1, ())
    scores = {hit.place: hit.logit for hit in plain}
    assert all(scores[hit.place] == hit.logit for hit in found)


def test_the_limit_counts_what_is_left_after_folding(index: Index) -> None:
    assert len(index.search(QUERY, 4, selection=SelectionOptions(fold=0.8))) == 4


def test_passages_fit_a_budget_and_every_document_is_accounted_for_once(index: Index, nano: Reranker) -> None:
    found = index.search(QUERY, selection=SelectionOptions(fit=40, fold=0.8))
    assert found.selection is not None
    tokens = sum(nano.count_tokens(hit.text) for hit in found)
    assert found.selection.tokens == tokens <= 40
    named = [place for hit in found for place in (hit.place, *hit.duplicates)]
    named += [*found.selection.left_out, *found.selection.too_long]
    # What was folded into a document that was not chosen is counted alone.
    assert len(named) + found.selection.folded - sum(len(hit.duplicates) for hit in found) == len(index.search(QUERY))


def test_diversity_starts_with_the_best_and_takes_a_copy_last(index: Index) -> None:
    best = index.search(QUERY)[0]
    found = index.search(QUERY, 4, selection=SelectionOptions(diversity=0.7))
    assert found[0].place == best.place
    assert sum("undo" in hit.path for hit in found) == 1


@pytest.mark.parametrize(("option", "needed"), [({"diversity": 0.3}, "probabilities"), ({"fit": 100}, "tokens")])
def test_what_needs_a_reranker_is_refused_without_one_and_folding_is_not(
    index: Index, option: dict[str, float], needed: str
) -> None:
    with pytest.raises(InputError, match=f"needs the {needed} of a reranker"):
        index.search(QUERY, rerank=False, selection=SelectionOptions.of(**option))
    assert len(index.search(QUERY, rerank=False, selection=SelectionOptions(fold=0.8))) == 4


def test_nothing_found_is_no_error(index: Index) -> None:
    found = index.search("zzzz", selection=SelectionOptions(fold=0.8, fit=100))
    assert len(found) == 0
