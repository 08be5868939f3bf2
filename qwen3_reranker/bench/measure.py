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

    tokens_per_second counts the rows of all pairs in full, computed_per_second what went through the network.
    ratio: documents a second, in those of the first precision. shares: of the threads' time in matrix products,
    attention and the rest, which sum to 1.
    """

    workload: str
    precision: str
    rounds: int
    seconds: float
    documents_per_second: float
    tokens_per_second: float
    computed_per_second: float
    ratio: float
    shares: tuple[float, float, float]


@dataclass(slots=True)
class BenchReport:
    """What was measured so far, in order, and each precision's peak of resident memory in bytes."""

    measured: list[Measured] = field(default_factory=list)
    peak_bytes: dict[str, int] = field(default_factory=dict)


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
            first = _median_seconds(taken[precisions[0]])
            report.measured.extend(_measured(workload, name, some, first) for name, some in taken.items())


def _median_seconds(some: Sequence[Round]) -> float:
    return float(np.median([each.seconds for each in some]))


def _measured(workload: BenchWorkload, precision: str, some: Sequence[Round], first_seconds: float) -> Measured:
    seconds = _median_seconds(some)
    spent = np.sum([each.spent for each in some], axis=0)
    return Measured(
        workload=workload.name,
        precision=precision,
        rounds=len(some),
        seconds=seconds,
        documents_per_second=len(workload.pairs) / seconds,
        tokens_per_second=workload.tokens / seconds,
        computed_per_second=some[0].computed_tokens / seconds,
        ratio=first_seconds / seconds,
        shares=tuple((spent / spent.sum()).tolist()),
    )
