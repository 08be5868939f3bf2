"""Tasks of mteb: our numbers are its own, prefixes are shared, suites are its tasks, and no network is one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate import LabelledSet, Measure, score_run
from qwen3_reranker.evaluate.first_stage import given
from qwen3_reranker.evaluate.mteb_data import labelled_sets, measure_of
from qwen3_reranker.evaluate.mteb_search import MtebSearch
from qwen3_reranker.evaluate.suites import SUITE_NAMES, suite, suites
from testing.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.slow

DOCUMENTS = {
    "d1": {"title": "Git", "text": "git reset --soft HEAD~1 undoes the last commit"},
    "d2": {"title": "", "text": "simmer the rice for twelve minutes"},
    "d3": {"title": "Git", "text": "git branch lists branches"},
    "d4": {"title": "", "text": "the commit log shows every commit"},
}
QUERIES = {"q1": "how do I undo my last commit", "q2": "cook rice", "q3": "list branches"}
QRELS = {"q1": {"d1": 2, "d4": 1}, "q2": {"d2": 1}, "q3": {"d3": 1, "d1": 0}}
TOP_RANKED = {"q1": ["d2", "d4", "d1"], "q2": ["d3", "d2", "d1", "d4"], "q3": ["d1", "d2", "d4"]}

INSTRUCTIONS = {
    "-og": "Retrieve the command that does it",
    "-changed": "Retrieve recipes: rice, minutes, simmer, commits",
}


def task_class(kind: str, main_score: str) -> Any:
    """A task of mteb's own classes, whose data are those above."""
    import datasets
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.mocks.mock_tasks.retrieval import general_args

    follow = main_score == "p-MRR"

    class Task(AbsTaskRetrieval):
        metadata = TaskMetadata(
            type=kind, name="OurTask", main_score=main_score, **{**general_args, "eval_splits": ["test"]}
        )
        changed_documents = {"q1": ["d4", "d2"], "q2": ["d3", "d1", "d4"], "q3": ["d2", "d4"]} if follow else None
        ignore_identical_ids = not follow

        def load_data(self, num_proc: int | None = None, **_: Any) -> None:
            versions = ("-og", "-changed") if follow else ("",)

            def versioned(values: dict[str, Any]) -> dict[str, Any]:
                return {query + version: value for query, value in values.items() for version in versions}

            rows = [
                {"id": query + version, "text": text, **({"instruction": INSTRUCTIONS[version]} if follow else {})}
                for query, text in QUERIES.items()
                for version in versions
            ]
            self.dataset = {
                "default": {
                    "test": {
                        "corpus": datasets.Dataset.from_list([{"id": d, **each} for d, each in DOCUMENTS.items()]),
                        "queries": datasets.Dataset.from_list(rows),
                        "relevant_docs": versioned(QRELS),
                        "top_ranked": versioned(TOP_RANKED),
                    }
                }
            }
            self.data_loaded = True

        def task_specific_scores(self, scores: Any, qrels: Any, results: Any, **_: Any) -> dict[str, float]:
            from mteb._evaluators.retrieval_metrics import evaluate_p_mrr_change

            return evaluate_p_mrr_change(qrels, results, self.changed_documents, self.k_values) if follow else {}

    return Task


@pytest.fixture
def quiet() -> Iterator[None]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of mteb and datasets, about themselves
        yield


def ours(reranker: Reranker, labelled: LabelledSet) -> float:
    run: dict[str, dict[str, float]] = {}
    for query, scores in given(labelled, None).run.items():
        texts = [labelled.documents[document] for document in scores]
        hits = reranker.rank(labelled.queries[query], texts, instruction=labelled.instruction_of(query))
        run[query] = {list(scores)[hit.index]: hit.logit for hit in hits}
    return score_run(labelled, run, [labelled.measure])[labelled.measure].mean


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(("kind", "main_score"), [("Reranking", "ndcg_at_10"), ("InstructionReranking", "p-MRR")])
def test_our_number_is_the_one_that_mteb_computes_from_our_search(
    small_reranker: Reranker, kind: str, main_score: str
) -> None:
    """The random network, which heeds every word of an instruction, so that p-MRR is not 0."""
    import mteb

    task = task_class(kind, main_score)()
    result = mteb.evaluate(MtebSearch(small_reranker), task, cache=None)
    theirs = result[0].get_score()
    task.load_data()
    [labelled] = labelled_sets(task, "test")
    assert ours(small_reranker, labelled) == pytest.approx(theirs, abs=1e-5)
    assert labelled.candidates is not None
    assert theirs not in (0.0, 1.0)


@pytest.mark.usefixtures("quiet")
def test_a_document_is_title_space_text_and_a_query_s_instruction_stands_apart() -> None:
    task = task_class("InstructionReranking", "p-MRR")()
    task.load_data()
    [labelled] = labelled_sets(task, "test")
    assert labelled.documents["d1"] == "Git git reset --soft HEAD~1 undoes the last commit"
    assert labelled.queries["q1-og"] == QUERIES["q1"]
    assert (labelled.instruction_of("q1-og"), labelled.instruction_of("q1-changed")) == tuple(INSTRUCTIONS.values())
    assert labelled.measure == Measure("p-MRR")
    assert labelled.drawn(1, 0).changed.keys() == {"q1"} or labelled.drawn(1, 0).changed.keys() == {"q2"}
    assert len(labelled.drawn(1, 0).qrels) == 2


def test_a_task_without_lists_needs_a_first_stage(nano: Reranker) -> None:
    search = MtebSearch(nano)
    search.index([{"id": "d", **DOCUMENTS["d1"]}])

    class Metadata:
        name, prompt = "SomeTask", None

    queries = [{"id": "q", "text": "undo"}]
    with pytest.raises(InputError, match="SomeTask brings no lists"):
        search.search(queries, task_metadata=Metadata())
    given_one = MtebSearch(nano, first_stage={"q": {"d": 1.0}})
    given_one.index([{"id": "d", **DOCUMENTS["d1"]}])
    assert list(given_one.search(queries, task_metadata=Metadata(), top_k=10)) == ["q"]


def test_suites_are_the_tasks_splits_and_measures_of_mteb_s_own_benchmarks() -> None:
    import mteb

    assert tuple(suites()) == SUITE_NAMES
    for name, benchmark in {
        "mteb-r": "MTEB(eng, v2)",
        "cmteb-r": "MTEB(cmn, v1)",
        "mmteb-r": "MTEB(Multilingual, v2)",
        "mteb-code": "MTEB(Code, v1)",
        "followir": "FollowIR",
        "nanobeir": "NanoBEIR",
    }.items():
        kind = "InstructionReranking" if name == "followir" else "Retrieval"
        theirs = {task.metadata.name for task in mteb.get_benchmark(benchmark).tasks if task.metadata.type == kind}
        assert {task.name for task in suite(name).tasks} == theirs
    for each in suites().values():
        for task in each.tasks:
            metadata = mteb.get_task(task.name).metadata
            assert task.split in metadata.eval_splits
            assert Measure.parse(task.measure) == measure_of(metadata.main_score)
    assert [len(suite(name).tasks) for name in SUITE_NAMES[:6]] == [10, 8, 18, 1, 12, 3]
    assert all(suite(name).prompts == ("card", "card-vllm") for name in SUITE_NAMES[:6])


def test_a_suite_that_cannot_be_reached_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "qwen3_reranker", "evaluate", "nano", "--on", "mldr-rerank"],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": "/nonexistent"},
        timeout=PATIENCE_SECONDS,
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("error: the data of mteb's task MultiLongDocReranking cannot be reached")
    assert "--on qrels.txt --first-stage run.trec" in done.stderr
    assert done.stderr.count("\n") == 1
