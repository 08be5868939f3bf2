"""Lists are what the first stage says, kept and named by their hash; oracle and fusion are what they are called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qwen3_reranker import Embedder
from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate import LabelledSet, Measure, bm25, dense, fused, oracle, score_run, stored, with_positives
from qwen3_reranker.evaluate.first_stage import FUSION_CONSTANT, best
from testing.layouts import write_embedding_model

NDCG = Measure("nDCG", 10)


def test_bm25_s_lists_are_kept_as_a_run_and_read_again(tasks: LabelledSet, tmp_path: Path) -> None:
    first = bm25(tasks, 5, 0, tmp_path / "kept")
    [path] = (tmp_path / "kept").iterdir()
    assert path.suffix == ".trec"
    again = stored(tasks, path, 5)
    assert (again.run, again.sha256) == (first.run, first.sha256)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-1]), encoding="utf-8")
    assert bm25(tasks, 5, 0, tmp_path / "kept").sha256 != first.sha256, "the file is what is read"


def test_fewer_queries_come_from_the_same_lists(tasks: LabelledSet, tmp_path: Path) -> None:
    all_of_them, few = bm25(tasks, 5, 0, tmp_path), bm25(tasks.drawn(4, 0), 5, 0, tmp_path)
    assert len(few.run) == 4
    assert few.sha256 == all_of_them.sha256
    assert few.run.items() <= all_of_them.run.items()
    assert set(tasks.drawn(4, 0).qrels) < set(tasks.drawn(7, 0).qrels), "more queries continue fewer"


def test_a_document_with_the_query_s_id_is_left_out_where_it_is_the_query_itself(
    tasks: LabelledSet, tmp_path: Path
) -> None:
    renamed = {("q9" if document == "d9" else document): text for document, text in tasks.documents.items()}
    alike = replace(tasks, documents=renamed)
    assert "q9" in bm25(alike, 5, 0, tmp_path / "a").run["q9"]
    lists = bm25(replace(alike, excludes_itself=True), 5, 0, tmp_path / "b").run
    assert "q9" not in lists["q9"]
    assert {len(each) for each in lists.values()} == {5}


def test_an_embedding_model_s_lists_are_its_cosines(tasks: LabelledSet, tmp_path: Path, small_checkpoint: Path) -> None:
    with Embedder(write_embedding_model(tmp_path / "model", small_checkpoint)) as embedder:
        stage = dense(tasks, embedder, 3, tmp_path / "kept")
        expected = embedder.queries([tasks.queries["q2"]]) @ embedder.documents(list(tasks.documents.values())).T
    best_three = sorted(expected[0].tolist(), reverse=True)[:3]
    assert list(stage.run["q2"].values()) == pytest.approx(best_three, abs=1e-6)
    assert (stage.depth, len(list((tmp_path / "kept").iterdir()))) == (3, 1)


def test_a_stored_run_is_cut_at_the_depth_as_trec_eval_sorts_it() -> None:
    assert list(best({"a": 1.0, "b": 2.0, "c": 2.0, "d": 0.0}, 3)) == ["c", "b", "a"]


def test_the_oracle_is_the_best_order_of_the_lists_and_all_of_it_with_all_positives(
    tasks: LabelledSet, tmp_path: Path
) -> None:
    stage = bm25(tasks, 1, 0, tmp_path)
    found = [query for query, scores in stage.run.items() if any(tasks.qrels[query].get(d) for d in scores)]
    assert 0 < len(found) < len(tasks.qrels)
    value = score_run(tasks, oracle(tasks, stage), [NDCG])[NDCG].mean
    assert value == pytest.approx(len(found) / len(tasks.qrels))
    assert score_run(tasks, oracle(tasks, with_positives(tasks, stage)), [NDCG])[NDCG].mean == 1.0


def test_fusion_adds_reciprocal_ranks_and_equal_scores_share_their_mean_rank() -> None:
    run = fused({"q": {"a": 3.0, "b": 2.0, "c": 1.0}}, {"q": {"a": 0.0, "b": 5.0, "c": 0.0}})
    k = FUSION_CONSTANT
    assert run["q"] == pytest.approx(
        {"a": 1 / (k + 1) + 1 / (k + 2.5), "b": 1 / (k + 2) + 1 / (k + 1), "c": 1 / (k + 3) + 1 / (k + 2.5)}
    )


def test_a_run_of_other_queries_or_unknown_documents_is_refused(tasks: LabelledSet, tmp_path: Path) -> None:
    path = tmp_path / "my.trec"
    path.write_text("other Q0 d0 1 2.0 me\n", encoding="utf-8")
    with pytest.raises(InputError, match="belongs to another set"):
        stored(tasks, path, 10)
    path.write_text("q0 Q0 nothing 1 2.0 me\n", encoding="utf-8")
    with pytest.raises(InputError, match="1 of its entries name documents"):
        stored(tasks, path, 10)
    with pytest.raises(InputError, match="BM25 needs documents"):
        bm25(replace(tasks, documents={}), 10, 0, tmp_path)
