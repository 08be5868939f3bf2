"""Requests of many clients -> batches of one model, in a fair order."""

from __future__ import annotations

from qwen3_reranker.serve.scheduler.request import ScheduledRequest
from qwen3_reranker.serve.scheduler.scheduler import Overloaded, Scheduler, SchedulerStats

__all__ = ["Overloaded", "ScheduledRequest", "Scheduler", "SchedulerStats"]
