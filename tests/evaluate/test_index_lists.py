"""The lists of an index are the passages that a search would judge, and the report's order is the search's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qwen3_reranker import Embedder, Reranker
from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate import (
    Candidate,
    FirstStage,
    LabelledSet,
    as_json,
    compared,
    evaluate,
    indexed,
    markdown,
    score_run,
    with_positives,
    write_run,
)
from qwen3_reranker.search import Index
from testing.layouts import write_embedding_model

DEPTH = 12


@pytest.fixture
def long_tasks(tasks: LabelledSet) -> LabelledSet:
    """Each document in two passages that both hold its text."""
    filler = "a line about something else, of many words, which nobody asks for " * 14
    documents = {each: f"{text}\n\n{filler}\n\n{text}" for each, text in tasks.documents.items()}
    return replace(tasks, documents=documents).drawn(5, 3)


@pytest.fixture
def stage(long_tasks: LabelledSet, tmp_path: Path) -> FirstStage:
    return indexed(long_tasks, DEPTH, 0, tmp_path / "kept")


def test_lists_hold_passages_and_a_document_has_the_score_of_its_best(
    long_tasks: LabelledSet, stage: FirstStage, tmp_path: Path
) -> None:
    assert (stage.name, stage.depth, stage.parts) == ("index (BM25)", DEPTH, ())
    documents = stage.of_documents(stage.run)
    for query, passages in stage.run.items():
        assert all(stage.texts[each] in long_tasks.documents[stage.document_of[each]] for each in passages)
        for document, score in documents[query].items():
            assert score == max(score for each, score in passages.items() if stage.document_of[each] == document)
    assert sum(map(len, documents.values())) < sum(map(len, stage.run.values())), "a document has several passages"
    assert stage.seconds.keys() == long_tasks.qrels.keys()
    assert indexed(long_tasks, DEPTH, 0, tmp_path / "kept") == stage, "kept, with the times of the first run"


@pytest.mark.slow
def test_judged_and_fused_lists_are_those_of_a_search(
    long_tasks: LabelledSet, stage: FirstStage, nano: Reranker, tmp_path: Path
) -> None:
    found = evaluate([long_tasks], [stage], [Candidate("nano", "nano")], tmp_path / "out")
    systems = {system.kind: system for system in found.systems}
    ids = list(long_tasks.documents)
    [folder] = (tmp_path / "kept").iterdir()
    with Index(folder, reranker=nano) as index:
        for kind, how in (("first stage", {"rerank": False}), ("model", {"fuse": False}), ("fusion", {"fuse": True})):
            run = {}
            for query in long_tasks.qrels:
                hits = index.search(long_tasks.queries[query], DEPTH, candidates=DEPTH, **how)
                run[query] = {ids[int(hit.path[1:])]: -float(rank) for rank, hit in enumerate(hits)}
            expected = score_run(long_tasks, run, [long_tasks.measure])[long_tasks.measure]
            [scores] = systems[kind].scores
            assert scores[long_tasks.measure].values_Q == pytest.approx(expected.values_Q)


@pytest.mark.slow
def test_the_report_shows_the_searches_of_the_index_and_latency_beside_quality(
    long_tasks: LabelledSet, tmp_path: Path, small_checkpoint: Path
) -> None:
    with Embedder(write_embedding_model(tmp_path / "model", small_checkpoint), dim=32) as embedder:
        stage = indexed(long_tasks, DEPTH, 0, tmp_path / "kept", embedder)
    words, vectors = stage.parts
    assert (words.name, vectors.name, stage.name) == ("index (BM25)", "index (model)", "index (BM25 + model)")
    assert all(-1.01 <= score <= 1.01 for scores in vectors.run.values() for score in scores.values())
    found = compared(evaluate([long_tasks], [stage], [Candidate("nano", "nano")], tmp_path / "out"))
    assert [system.kind for system in found.systems] == [
        *("first stage", "part of the first stage", "part of the first stage", "model", "fusion", "oracle")
    ]
    assert [each.baseline for each in found.comparisons if each.system == stage.name] == [words.name, vectors.name]
    latencies = [each["latency"] for each in as_json(found)["systems"]]
    assert all(0 < each["p50"] <= each["p95"] for each in latencies[:4])
    assert latencies[4:] == [None, None]
    row = next(line for line in markdown(found).splitlines() if "nano |" in line)
    assert f"| {1000 * latencies[3]['p50']:,.1f} | {1000 * latencies[3]['p95']:,.1f} |" in row


def test_a_stored_run_is_compared_with_an_index_by_documents(
    long_tasks: LabelledSet, stage: FirstStage, tmp_path: Path
) -> None:
    listed = stage.of_documents(stage.run)
    worst = {query: {document: -score for document, score in scores.items()} for query, scores in listed.items()}
    write_run(tmp_path / "other.trec", worst, "other")
    candidate = Candidate("other", str(tmp_path / "other.trec"))
    found = evaluate([long_tasks], [stage], [candidate], tmp_path / "out")
    first, other, both, oracles = map(found.mean, found.systems)
    assert other == score_run(long_tasks, worst, [long_tasks.measure])[long_tasks.measure].mean
    assert other < both < first <= oracles
    assert list(found.systems[1].depth_curve.values())[-1] == pytest.approx(other)


def test_missing_relevant_documents_are_added_whole(long_tasks: LabelledSet, tmp_path: Path) -> None:
    short = indexed(long_tasks, 1, 0, tmp_path / "kept")
    asked = replace(long_tasks, qrels={query: {**labels, "d3": 1} for query, labels in long_tasks.qrels.items()})
    whole = with_positives(asked, short)
    documents = whole.of_documents(whole.run)
    assert all(labels.keys() <= documents[query].keys() for query, labels in asked.qrels.items())


def test_a_query_that_is_a_document_is_not_its_own_answer(long_tasks: LabelledSet, tmp_path: Path) -> None:
    itself = replace(long_tasks, queries={**long_tasks.queries, "d1": "undo the last commit"}, qrels={"d1": {"d0": 1}})
    found = indexed(replace(itself, excludes_itself=True), 40, 0, tmp_path / "kept")
    assert "d1" not in found.of_documents(found.run)["d1"]


def test_a_blank_query_finds_nothing(long_tasks: LabelledSet, tmp_path: Path) -> None:
    blank = replace(long_tasks, queries={**long_tasks.queries, "q0": " "})
    assert not indexed(blank, 5, 0, tmp_path / "kept").run["q0"]


def test_a_set_without_documents_and_damaged_lists_are_refused(long_tasks: LabelledSet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs documents"):
        indexed(replace(long_tasks, documents={}), 5, 0, tmp_path)
    indexed(long_tasks, 5, 0, tmp_path / "kept")
    [path] = (tmp_path / "kept").glob("*/lists-5.json")
    path.write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="damaged"):
        indexed(long_tasks, 5, 0, tmp_path / "kept")
