"""Calibration: logits to probabilities that hold for pairs like the labelled ones, and a threshold for "none of these".

Fitting: `judged_pairs`, `fit`, `page`, `markdown`. Use: `Calibration`.
"""

from qwen3_reranker.calibrate.calibration import Calibration, stored_file
from qwen3_reranker.calibrate.calibration_report import markdown, page
from qwen3_reranker.calibrate.fitting import Fit, fit
from qwen3_reranker.calibrate.judged_pairs import JudgedPairs, judged_pairs, labelled_pairs

__all__ = [
    "Calibration",
    "Fit",
    "JudgedPairs",
    "fit",
    "judged_pairs",
    "labelled_pairs",
    "markdown",
    "page",
    "stored_file",
]
