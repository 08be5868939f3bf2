"""Bench: a model -> its speed on this machine, in each precision."""

from qwen3_reranker.bench.measure import BenchReport, Measured, measure
from qwen3_reranker.bench.workloads import DEFAULT, SIZES, BenchWorkload, build

__all__ = ["DEFAULT", "SIZES", "BenchReport", "BenchWorkload", "Measured", "build", "measure"]
