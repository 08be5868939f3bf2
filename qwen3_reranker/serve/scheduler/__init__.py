"""Requests of many callers -> batches of one network: admitted whole or not at all, in an order that is fair."""

from __future__ import annotations

from qwen3_reranker.serve.scheduler.job import Job
from qwen3_reranker.serve.scheduler.scheduler import Refused, Scheduler, Vitals

__all__ = ["Job", "Refused", "Scheduler", "Vitals"]
