"""Doctor: a rerank server or a checkpoint -> its faults, with the numbers that show them."""

from __future__ import annotations

from qwen3_reranker.doctor.endpoint import Endpoint
from qwen3_reranker.doctor.endpoint_checks import check_endpoint
from qwen3_reranker.doctor.faults import CATALOGUE, FILE_FAULTS, DoctorReport, Finding
from qwen3_reranker.doctor.file_checks import check_files
from qwen3_reranker.doctor.reference_model import ReferenceModel
from qwen3_reranker.endpoints.endpoint_faults import ENDPOINT_FAULTS, Fault

__all__ = [
    "CATALOGUE",
    "ENDPOINT_FAULTS",
    "FILE_FAULTS",
    "DoctorReport",
    "Endpoint",
    "Fault",
    "Finding",
    "ReferenceModel",
    "check_endpoint",
    "check_files",
]
