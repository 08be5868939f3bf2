"""Metrics: counts and times for Prometheus; no label holds a key or a text."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from qwen3_reranker.records import Usage
from qwen3_reranker.serve.accounts.accounts import AccountsHealth
from qwen3_reranker.serve.protocol import StageSeconds

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_TOKENS = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)


class Metrics:
    """The metrics of one server, in their own registry."""

    CONTENT_TYPE = CONTENT_TYPE_LATEST

    def __init__(self, version: str) -> None:
        # A series for the time of each other series' birth says nothing that Prometheus does not know.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = self.registry = CollectorRegistry()
        if sys.platform == "linux":
            ProcessCollector(registry=registry)
        else:
            registry.register(_ProcessTimes())

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"rerank_{name}", meaning, labels, registry=registry)

        def histogram(name: str, meaning: str, buckets: Sequence[float], label: str = "model") -> Histogram:
            return Histogram(f"rerank_{name}", meaning, [label], registry=registry, buckets=buckets)

        self._requests = counter("requests", "Requests by route, model and status.", "route", "model", "status")
        self._duration = histogram("request_duration_seconds", "Whole requests.", _SECONDS, "route")
        self._queueing = histogram("queue_wait_seconds", "Until the first batch.", _SECONDS)
        self._tokenizing = histogram("tokenize_seconds", "Making tokens.", _SECONDS)
        self._turns = histogram("worker_wait_seconds", "Until a thread parses, tokenizes or writes.", _SECONDS, "work")
        self._inference = histogram("inference_seconds", "From the first batch to the last logit.", _SECONDS)
        self._documents = histogram("documents", "Documents of a request.", _COUNTS)
        self._truncated = counter("truncated_documents", "Documents that were cut.", "model")
        self._rechecked = counter("rechecked_documents", "Documents scored again after a screen.", "model")
        self._prompt_tokens = counter("prompt_tokens", "Tokens as separate rows would hold them.", "model")
        meaning = "Tokens after each request's shared beginnings are counted once."
        self._computed_tokens = counter("distinct_tokens", meaning, "model")
        self._batch_pairs = histogram("batch_pairs", "Pairs that a batch ends.", _COUNTS)
        self._batch_tokens = histogram("batch_tokens", "Tokens of a batch.", _TOKENS)
        self._batch_seconds = histogram("batch_seconds", "Batches.", _SECONDS)
        self._cancelled = counter("cancelled", "Requests whose client went away.", "model")
        self._rejected = counter("rejected", "Requests turned away.", "reason")
        self._refused = counter("connections_refused", "Connections that ended before a request.", "reason")
        self.connections = Gauge("rerank_connections", "Open connections.", registry=registry)
        self._queue_tokens = Gauge("rerank_queue_tokens", "Tokens that wait.", ["model"], registry=registry)
        self.waiting_bytes = Gauge("rerank_waiting_bytes", "Bytes that wait for these threads.", registry=registry)
        self.in_flight = Gauge("rerank_requests_in_flight", "Requests in the server.", registry=registry)
        build = Gauge("rerank_build_info", "The running version.", ["version"], registry=registry)
        build.labels(version).set(1)

    def on_request(self, route: str, model: str, status: int, seconds: float) -> None:
        """Count an answered request; `route` is a path's template, "" for an unknown path."""
        self._requests.labels(route, model, str(status)).inc()
        self._duration.labels(route).observe(seconds)

    def on_turn(self, work: str, seconds: float) -> None:
        """Count how long work on texts waited for a thread."""
        self._turns.labels(work).observe(seconds)

    def on_result(self, name: str, documents: int, usage: Usage, seconds: StageSeconds) -> None:
        """Count the computed documents or texts of a request to the model of that name."""
        self._queueing.labels(name).observe(seconds.queueing)
        self._tokenizing.labels(name).observe(seconds.tokenizing)
        self._inference.labels(name).observe(seconds.computing)
        self._documents.labels(name).observe(documents)
        self._truncated.labels(name).inc(usage.truncated_documents)
        self._prompt_tokens.labels(name).inc(usage.prompt_tokens)
        self._computed_tokens.labels(name).inc(usage.computed_tokens)

    def on_recheck(self, name: str, documents: int, usage: Usage) -> None:
        """Count the documents of a request that were scored again in the model's own precision."""
        self._rechecked.labels(name).inc(documents)
        self._computed_tokens.labels(name).inc(usage.computed_tokens)

    def on_batch(self, model: str) -> Callable[[int, int, float], None]:
        """The `on_batch` of a model's scheduler."""

        def observe(rows: int, tokens: int, seconds: float) -> None:
            self._batch_pairs.labels(model).observe(rows)
            self._batch_tokens.labels(model).observe(tokens)
            self._batch_seconds.labels(model).observe(seconds)

        return observe

    def batch_sums(self, model: str) -> tuple[float, float]:
        """Tokens and seconds of all batches of a model."""
        names = ("rerank_batch_tokens_sum", "rerank_batch_seconds_sum")
        tokens, seconds = (self.registry.get_sample_value(name, {"model": model}) or 0.0 for name in names)
        return tokens, seconds

    def on_cancelled(self, model: str) -> None:
        """Count a client that went before its reply."""
        self._cancelled.labels(model).inc()

    def on_rejected(self, reason: str) -> None:
        """Count a refused request; `reason` is a problem's code."""
        self._rejected.labels(reason).inc()

    def on_connection_refused(self, reason: str) -> None:
        """Count a connection that was refused or ended before a request."""
        self._refused.labels(reason).inc()

    def watch_accounts(self, health: Callable[[], AccountsHealth]) -> None:
        """Show the store of keys and usage from now on. A server without keys has no such metrics."""
        is_up = Gauge("rerank_accounts_up", "1 while the store of keys answers, else 0.", registry=self.registry)
        is_up.set_function(lambda: health().is_up)
        oldest = "rerank_oldest_unwritten_usage_seconds"
        age = Gauge(oldest, "Age of the oldest usage that is not written.", registry=self.registry)
        age.set_function(lambda: health().oldest_unwritten_seconds)

    def watch_queue(self, model: str, waiting_tokens: Callable[[], int]) -> None:
        """Show how many tokens of a model wait, from now on."""
        self._queue_tokens.labels(model).set_function(waiting_tokens)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class _ProcessTimes(Collector):
    """What prometheus_client measures of a process on Linux alone, as far as Python knows it everywhere."""

    def __init__(self) -> None:
        self._started = time.time()

    def collect(self) -> Iterable[Metric]:
        """Processor time and start."""
        yield CounterMetricFamily("process_cpu_seconds", "Processor time, in seconds.", value=time.process_time())
        yield GaugeMetricFamily("process_start_time_seconds", "Start, in Unix seconds.", value=self._started)
