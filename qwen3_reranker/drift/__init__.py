"""Drift: a model and precisions -> how far logits move, and advice."""

from qwen3_reranker.drift.advice import MEAN_LIMIT, fastest_within_limit
from qwen3_reranker.drift.comparison import Drift, compare
from qwen3_reranker.drift.drift_report import DriftReport, measure_drift
from qwen3_reranker.drift.texts import Question, text_set

__all__ = [
    "MEAN_LIMIT",
    "Drift",
    "DriftReport",
    "Question",
    "compare",
    "fastest_within_limit",
    "measure_drift",
    "text_set",
]
