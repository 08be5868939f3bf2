"""Doctor: point it at a rerank server or a checkpoint; it names what is wrong, with the numbers that show it."""

from __future__ import annotations

from qwen3_reranker.doctor.endpoint import Endpoint
from qwen3_reranker.doctor.examination import examine
from qwen3_reranker.doctor.faults import CATALOGUE, ENDPOINT_FAULTS, FILE_FAULTS, Fault, Finding, Report
from qwen3_reranker.doctor.files import examine_files
from qwen3_reranker.doctor.hypotheses import Judge

__all__ = [
    "CATALOGUE",
    "ENDPOINT_FAULTS",
    "FILE_FAULTS",
    "Endpoint",
    "Fault",
    "Finding",
    "Judge",
    "Report",
    "examine",
    "examine_files",
]
