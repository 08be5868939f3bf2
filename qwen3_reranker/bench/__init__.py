"""Bench: a model and this machine -> how fast it ranks, in which precision, and what the time goes to."""

from qwen3_reranker.bench.measure import Measured, Report, measure
from qwen3_reranker.bench.workloads import DEFAULT, SIZES, Workload, build

__all__ = ["DEFAULT", "SIZES", "Measured", "Report", "Workload", "build", "measure"]
