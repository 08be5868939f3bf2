"""Evaluation: is it better on my data, and can I prove it? Sets and systems in, measures and significance out."""

from qwen3_reranker.evaluate.cascades import BandChoice
from qwen3_reranker.evaluate.evaluation import RUN_ENDINGS, Candidate, evaluate
from qwen3_reranker.evaluate.first_stage import FirstStage, bm25, dense, fused, given, oracle, stored, with_positives
from qwen3_reranker.evaluate.index_lists import indexed
from qwen3_reranker.evaluate.labelled import LabelledSet, Qrels, Run
from qwen3_reranker.evaluate.measures import Measure
from qwen3_reranker.evaluate.mteb_search import MtebSearch
from qwen3_reranker.evaluate.page import page
from qwen3_reranker.evaluate.report import as_json, markdown
from qwen3_reranker.evaluate.scores import RunScores, score_run
from qwen3_reranker.evaluate.significance import best_of_p, holm, mean_interval, paired_p
from qwen3_reranker.evaluate.sources import read_sets
from qwen3_reranker.evaluate.suites import SUITE_NAMES, suite, suite_sets
from qwen3_reranker.evaluate.summary import Summary, System, SystemComparison, compared, narrowed
from qwen3_reranker.evaluate.trec import read_qrels, read_run, write_run
from qwen3_reranker.evaluate.tuning import Tuning, held_out, library, tune

__all__ = [
    "RUN_ENDINGS",
    "SUITE_NAMES",
    "BandChoice",
    "Candidate",
    "FirstStage",
    "LabelledSet",
    "Measure",
    "MtebSearch",
    "Qrels",
    "Run",
    "RunScores",
    "Summary",
    "System",
    "SystemComparison",
    "Tuning",
    "as_json",
    "best_of_p",
    "bm25",
    "compared",
    "dense",
    "evaluate",
    "fused",
    "given",
    "held_out",
    "holm",
    "indexed",
    "library",
    "markdown",
    "mean_interval",
    "narrowed",
    "oracle",
    "page",
    "paired_p",
    "read_qrels",
    "read_run",
    "read_sets",
    "score_run",
    "stored",
    "suite",
    "suite_sets",
    "tune",
    "with_positives",
    "write_run",
]
