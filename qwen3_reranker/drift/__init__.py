"""Drift: a model and precisions -> how far logits move from float32's."""

from qwen3_reranker.drift.comparison import MEAN_LIMIT, Drift, compare
from qwen3_reranker.drift.drift_report import DriftReport, measure_drift
from qwen3_reranker.drift.texts import Question, text_set

__all__ = ["MEAN_LIMIT", "Drift", "DriftReport", "Question", "compare", "measure_drift", "text_set"]
