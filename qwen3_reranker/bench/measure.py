"""Rounds in which the precisions take turns -> medians, fair on a busy machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qwen3_reranker.backends.base import OnProgress
from qwen3_reranker.bench.worker import Round, Worker
from qwen3_reranker.bench.workloads import BenchWorkload
from qwen3_reranker.errors import InputError

# Reads every weight once, which a round should not pay for.
_WARM_UP = (("a query", "a document"),)


@dataclass(frozen=True, slots=True)
class Measured:
    """One workload in one precision; rates come from the median of the rounds' wall times.

    pairs: of the workload. tokens_per_second counts their rows in full, computed_per_second what went through the
    network. ratio: documents a second, in those of the first precision. mean_delta: |logit - float32's logit|, mean of
    the pairs; None where float32 was not measured. shares: of the threads' time in matrix products, attention and the
    rest, which sum to 1.
    """

    workload: str
    precision: str
    pairs: int
    rounds: int
    seconds: float
    documents_per_second: float
    tokens_per_second: float
    computed_per_second: float
    ratio: float
    mean_delta: float | None
    shares: tuple[float, float, float]


@dataclass(slots=True)
class BenchReport:
    """What was measured so far, in order, and each precision's peak resident memory."""

    measured: list[Measured] = field(default_factory=list)
    peak_bytes: dict[str, int] = field(default_factory=dict)

    @property
    def documents_per_second(self) -> dict[str, float]:
        """Of each precision, over all workloads."""
        return {
            name: sum(each.pairs for each in some) / sum(each.seconds for each in some)
            for name, some in self._by_precision().items()
        }

    @property
    def mean_deltas(self) -> dict[str, float]:
        """|logit - float32's logit| of every other precision, mean of all pairs. Empty where there is no float32."""
        if "float32" not in self.peak_bytes:
            return {}
        return {
            name: sum((each.mean_delta or 0) * each.pairs for each in some) / sum(each.pairs for each in some)
            for name, some in self._by_precision().items()
            if name != "float32"
        }

    def _by_precision(self) -> dict[str, list[Measured]]:
        return {name: [each for each in self.measured if each.precision == name] for name in self.peak_bytes}


def measure(
    model: str,
    workloads: Sequence[BenchWorkload],
    precisions: Sequence[str],
    rounds: int,
    options: Mapping[str, Any],
    *,
    report: BenchReport,
    on_progress: OnProgress | None = None,
) -> None:
    """Run every workload `rounds` times in every precision, and fill the report, workload by workload.

    options: those of Reranker. precision is replaced, and prefix_cache_tokens is 0: every round computes everything but
    the constant prefix of 8 bits. on_progress: called with the share of tokens done. If it is interrupted, the report
    holds the workloads that were finished. Raises InputError for an empty choice, otherwise what Worker.run raises.
    """
    if not workloads or not precisions or rounds < 1:
        raise InputError("expected at least one workload, one precision and one round")
    total = rounds * len(precisions) * sum(workload.tokens for workload in workloads)
    done = 0
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for precision in precisions:
            # One after the other: two that load at once would ask for more memory than two that run.
            worker = Worker(model, {**options, "precision": precision})
            workers[precision] = stack.enter_context(closing(worker))
            worker.run(_WARM_UP, lambda _: None)
        for workload in workloads:
            taken: dict[str, list[Round]] = {precision: [] for precision in precisions}
            for _ in range(rounds):
                for precision, worker in workers.items():

                    def advance(share: float, before: int = done, tokens: int = workload.tokens) -> None:
                        if on_progress:
                            on_progress((before + share * tokens) / total)

                    taken[precision].append(worker.run(workload.pairs, advance))
                    done += workload.tokens
            report.peak_bytes |= {precision: some[-1].peak_bytes for precision, some in taken.items()}
            report.measured.extend(_measured(workload, name, taken) for name in precisions)


def _median_seconds(some: Sequence[Round]) -> float:
    return float(np.median([each.seconds for each in some]))


def _measured(workload: BenchWorkload, precision: str, taken: Mapping[str, Sequence[Round]]) -> Measured:
    some = taken[precision]
    seconds, first_seconds = _median_seconds(some), _median_seconds(next(iter(taken.values())))
    exact = taken.get("float32")
    spent = np.sum([each.spent for each in some], axis=0)
    return Measured(
        workload=workload.name,
        precision=precision,
        pairs=len(workload.pairs),
        rounds=len(some),
        seconds=seconds,
        documents_per_second=len(workload.pairs) / seconds,
        tokens_per_second=workload.tokens / seconds,
        computed_per_second=some[0].computed_tokens / seconds,
        ratio=first_seconds / seconds,
        mean_delta=float(np.abs(some[0].logits_N - exact[0].logits_N).mean()) if exact else None,
        shares=tuple((spent / spent.sum()).tolist()),
    )
