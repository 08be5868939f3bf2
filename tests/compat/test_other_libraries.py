"""FlagEmbedding's, rerankers', txtai's and BEIR's surfaces with our model inside: results in their shapes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.compat import (
    CrossEncoder,
    Document,
    FlagAutoReranker,
    FlagLLMReranker,
    FlagReranker,
    Rerank,
    Similarity,
)
from qwen3_reranker.compat import Reranker as RerankersReranker
from qwen3_reranker.errors import InputError
from testing.texts import documents

QUERY = "take back my last commit"
TEXTS = documents(3, 6, 30)
PAIRS = [(QUERY, text) for text in TEXTS]


@pytest.fixture(scope="module")
def logits(small_reranker: Reranker) -> np.ndarray:
    return small_reranker.logits(PAIRS)


@pytest.fixture(scope="module")
def probabilities(small_reranker: Reranker) -> np.ndarray:
    return small_reranker.probabilities(PAIRS)


def test_a_flag_reranker_gives_a_list_of_logits_and_normalized_of_probabilities(
    small_checkpoint: Path, small_reranker: Reranker, logits: np.ndarray, probabilities: np.ndarray
) -> None:
    ranker = FlagReranker(small_reranker)
    assert ranker.compute_score(PAIRS) == logits.tolist()
    assert ranker.compute_score([list(pair) for pair in PAIRS], normalize=True) == probabilities.tolist()
    assert ranker.compute_score(PAIRS[0]) == [logits[0]]
    assert ranker.compute_score([]) == []
    other = FlagLLMReranker(small_checkpoint, use_fp16=True, devices=["cpu"], normalize=True, prompt="Find it")
    assert other.compute_score(PAIRS, batch_size=2) == small_reranker.probabilities(PAIRS, "Find it").tolist()
    assert other.compute_score(PAIRS, normalize=False, prompt="") == small_reranker.logits(PAIRS, "").tolist()
    short = FlagAutoReranker.from_finetuned(small_checkpoint, model_class="decoder-only-base", max_length=100)
    assert short.compute_score(PAIRS) == ranker.compute_score(PAIRS, max_length=100) != logits.tolist()
    short.stop_self_pool()
    with pytest.raises(InputError, match="closed"):
        short.compute_score(PAIRS)


def test_a_flag_rerankers_instructions_of_other_models_are_refused(small_reranker: Reranker) -> None:
    with pytest.raises(InputError, match="prompt="):
        FlagReranker(small_reranker, query_instruction_for_rerank="A: ")
    with pytest.raises(InputError, match="adapter"):
        FlagReranker(small_reranker, peft_path="adapter")
    with pytest.raises(InputError, match=r"inputs\[0\]"):
        FlagReranker(small_reranker).compute_score([("a", "b", "c")])


def test_rerankers_results_hold_documents_scores_and_ranks(small_reranker: Reranker, probabilities: np.ndarray) -> None:
    ranker = RerankersReranker(small_reranker, lang="en", model_type="cross-encoder", verbose=0)
    ids = [f"d{index}" for index in range(len(TEXTS))]
    results = ranker.rank(QUERY, TEXTS, doc_ids=ids, metadata=[{"page": index} for index in range(len(TEXTS))])
    order = np.argsort(-probabilities, kind="stable").tolist()
    assert [(each.doc_id, each.text, each.page, each.rank) for each in results] == [
        (ids[index], TEXTS[index], index, place) for place, index in enumerate(order, start=1)
    ]
    assert [each.score for each in results] == probabilities[order].tolist()
    assert (results.query, results.has_scores, results.results_count(), len(results)) == (QUERY, True, 6, 6)
    assert results.top_k(2) == [results[0], results[1]]
    assert results.get_score_by_docid("d3") == probabilities[3]
    assert results.get_result_by_docid("none") is results.get_score_by_docid("none") is None
    assert not hasattr(results[0], "absent")
    assert ranker.score(QUERY, TEXTS[0]) == pytest.approx(probabilities[0])
    waited = asyncio.run(ranker.rank_async(QUERY, TEXTS))
    assert [each.doc_id for each in waited] == order
    assert ranker.rank(QUERY, []).results == []


def test_rerankers_documents_are_taken_and_not_changed(small_reranker: Reranker) -> None:
    ranker = RerankersReranker(small_reranker)
    foreign = SimpleNamespace(text=TEXTS[1], doc_id=None, metadata={"own": 1})
    results = ranker.rank(QUERY, [Document(TEXTS[0], doc_id="first"), foreign])
    assert {each.doc_id for each in results} == {"first", 1}
    assert foreign.doc_id is None
    assert ranker.rank(QUERY, TEXTS[0])[0].doc_id == 0
    with pytest.raises(InputError, match="one doc_id is needed for each of 6"):
        ranker.rank(QUERY, TEXTS, doc_ids=[1])
    with pytest.raises(InputError, match=r"docs\[0\]"):
        ranker.rank(QUERY, [3])


def test_txtais_similarity_gives_indices_and_scores(
    small_reranker: Reranker, logits: np.ndarray, probabilities: np.ndarray
) -> None:
    similarity = Similarity(small_reranker, gpu=False)
    order = np.argsort(-logits, kind="stable").tolist()
    assert similarity(QUERY, TEXTS) == [(index, probabilities[index]) for index in order]
    assert similarity([QUERY], TEXTS, multilabel=None) == [[(index, logits[index]) for index in order]]
    shares = dict(similarity(QUERY, TEXTS, False, workers=0))
    np.testing.assert_allclose([shares[index] for index in range(6)], np.exp(logits) / np.exp(logits).sum(), atol=1e-6)
    assert similarity(QUERY, []) == similarity(QUERY, [], multilabel=False) == []
    with pytest.raises(InputError, match="cross-encoder"):
        Similarity(small_reranker, crossencode=False)
    assert Similarity("nano", quantize=True).reranker.options.precision == "int8"


def test_beirs_rerank_scores_title_and_text_of_each_querys_best(
    small_reranker: Reranker, probabilities: np.ndarray
) -> None:
    corpus = {f"d{index}": {"title": "", "text": text} for index, text in enumerate(TEXTS)}
    corpus["d9"] = {"title": "Undo", "text": "git reset"}
    found = {"q": {f"d{index}": float(-index) for index in range(6)}, "none": {}, "r": {"d9": 1.0}}
    queries = {"q": QUERY, "none": "x", "r": QUERY}
    results = Rerank(small_reranker, batch_size=4).rerank(corpus, queries, found, top_k=3)
    assert results["q"] == {f"d{index}": pytest.approx(probabilities[index]) for index in range(3)}
    [titled] = small_reranker.probabilities([(QUERY, "Undo git reset")])
    assert (results["none"], results["r"]) == ({}, {"d9": pytest.approx(titled)})
    assert Rerank(CrossEncoder(small_reranker)).rerank(corpus, queries, found, top_k=3) == results
    corpus["d9"] = {"title": None, "text": "Undo git reset"}  # type: ignore[dict-item]
    assert Rerank(small_reranker).rerank(corpus, queries, {"r": {"d9": 1.0}}, top_k=3) == {"r": results["r"]}


MISUSES: dict[str, Callable[[Reranker], object]] = {
    "documents must be a list of strings, got NoneType": lambda model: CrossEncoder(model).rank(QUERY, None),  # type: ignore[arg-type]
    "prompts must be texts by name, got list": lambda model: CrossEncoder(model, prompts=["a"]),  # type: ignore[arg-type]
    "docs must be a string, a document or a list": lambda model: RerankersReranker(model).rank(QUERY, None),
    "one doc_id is needed for each of 6": lambda model: RerankersReranker(model).rank(QUERY, TEXTS, doc_ids=3),  # type: ignore[arg-type]
    "texts must be a list of strings, got NoneType": lambda model: Similarity(model)(QUERY, None),  # type: ignore[call-overload]
    "query must be a list of strings, got NoneType": lambda model: Similarity(model)(None, TEXTS),  # type: ignore[call-overload]
    "max_length must be a whole number": lambda model: FlagReranker(model).compute_score(PAIRS, max_length="9"),  # type: ignore[arg-type]
    "query_max_length must be a whole number of at least 1, got 0": lambda model: FlagReranker(
        model, query_max_length=0
    ).compute_score(PAIRS),
    "results hold the document 'd1', which the corpus lacks": lambda model: Rerank(model).rerank(
        {}, {"q": QUERY}, {"q": {"d1": 1.0}}, 3
    ),
    "results hold the query 'q', which is not": lambda model: Rerank(model).rerank({}, {}, {"q": {}}, 3),
}


@pytest.mark.parametrize("message", MISUSES)
def test_what_is_no_list_or_length_or_is_absent_is_a_typed_error(small_reranker: Reranker, message: str) -> None:
    with pytest.raises(InputError, match=message):
        MISUSES[message](small_reranker)


def test_a_generator_of_texts_is_scored_for_every_query(small_reranker: Reranker) -> None:
    similarity = Similarity(small_reranker)
    assert similarity([QUERY, "other"], iter(TEXTS)) == similarity([QUERY, "other"], TEXTS)  # type: ignore[call-overload]
