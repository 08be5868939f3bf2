"""Bench: a model and this machine -> how fast it ranks, in which precision, and what the time goes to."""

from qwen3_reranker.bench.measure import BenchReport, Measured, measure
from qwen3_reranker.bench.workloads import DEFAULT, SIZES, BenchWorkload, build

__all__ = ["DEFAULT", "SIZES", "BenchReport", "BenchWorkload", "Measured", "build", "measure"]
