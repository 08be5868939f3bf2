"""Workloads have the lengths they promise, are the same every time, and share nothing that real texts would not."""

from collections.abc import Iterator

import numpy as np
import pytest

from qwen3_reranker import InputError, Reranker
from qwen3_reranker.bench import SIZES, build
from qwen3_reranker.drift import text_set

QUERIES = [question.query for question in text_set()]
TEXTS = [document for question in text_set() for document in question.documents]


@pytest.fixture(scope="module")
def reranker() -> Iterator[Reranker]:
    with Reranker("nano", plan_only=True) as opened:
        yield opened


@pytest.mark.parametrize("name", SIZES)
def test_a_workload_has_its_queries_and_documents_of_about_the_mean_length(reranker: Reranker, name: str) -> None:
    workload = build(name, reranker, QUERIES, TEXTS)
    queries, documents, mean = SIZES[name]
    assert len(workload.pairs) == queries * documents
    assert {query for query, _ in workload.pairs} == set(QUERIES[:queries])
    assert workload.mean_document_tokens == pytest.approx(mean, rel=0.1)
    assert workload == build(name, reranker, QUERIES, TEXTS)


def test_documents_that_do_not_fit_a_row_are_counted_as_cut_and_measured_as_they_are_kept() -> None:
    with Reranker("nano", plan_only=True, max_length=150) as short:
        workload = build("medium", short, QUERIES, TEXTS)
    assert 0 < workload.cut_documents <= 32
    assert workload.mean_document_tokens < 100


def test_tokens_count_every_row_in_full(reranker: Reranker) -> None:
    workload = build("short", reranker, QUERIES, TEXTS)
    alone = [reranker.tree(query, [document]).num_row_tokens for query, document in workload.pairs]
    assert workload.tokens == sum(alone)


def test_lengths_spread_as_those_of_real_documents_do(reranker: Reranker) -> None:
    lengths = [
        reranker.tree(query, [text]).num_row_tokens for query, text in build("long", reranker, QUERIES, TEXTS).pairs
    ]
    template = reranker.tree(QUERIES[0], [""]).num_row_tokens
    assert 0.25 < np.std(np.log(np.array(lengths) - template)) < 0.75


def test_documents_begin_apart_so_that_sharing_them_saves_next_to_nothing(reranker: Reranker) -> None:
    workload = build("medium", reranker, QUERIES, TEXTS)
    texts = [text for _, text in workload.pairs]
    together = reranker.tree(workload.pairs[0][0], texts).num_tokens
    head = reranker.tree(workload.pairs[0][0], [""]).num_tokens
    assert together > 0.97 * (workload.mean_document_tokens * len(texts) + head)


def test_what_cannot_be_built_is_said(reranker: Reranker) -> None:
    with pytest.raises(InputError, match="unknown workload 'huge'"):
        build("huge", reranker, QUERIES, TEXTS)
    with pytest.raises(InputError, match="asks 8 queries, got 1"):
        build("queries", reranker, QUERIES[:1], TEXTS)
    with pytest.raises(InputError, match="no texts"):
        build("short", reranker, QUERIES, [" "])
    with (
        Reranker("nano", plan_only=True, max_length=1000) as short,
        pytest.raises(InputError, match="rows hold 1,000"),
    ):
        build("pair", short, QUERIES, TEXTS)
