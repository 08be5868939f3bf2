"""A drift report -> its part of what `inspect` prints: facts for JSON, rows for the table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.registry import SPECS

_COLUMN = 7


def drift_facts(model: str, revision: str | None, options: EngineOptions) -> dict[str, Any]:
    """Measure a model's drift, with a progress bar, by these options' length, batches, threads, kernels and cache."""
    from qwen3_reranker.cli.progress import ProgressBar
    from qwen3_reranker.drift import MEAN_LIMIT, measure_drift

    with ProgressBar("measuring drift") as bar:
        report = measure_drift(
            model,
            SPECS[options.backend].reduced_precisions,
            revision=revision,
            **asdict(options),
            on_progress=bar,
        )
    measured = {}
    for drift in report.drifts:
        fields = {**asdict(drift), "within_limit": drift.within_limit}
        measured[fields.pop("precision")] = fields
    return {
        "queries": report.queries,
        "documents": report.documents,
        "float32": {"lowest": report.lowest, "highest": report.highest, "spread": report.spread},
        "precisions": measured,
        "mean_limit": MEAN_LIMIT,
        "advised": report.advised,
    }


def drift_rows(facts: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Name, value and remark of each row: a column for each precision, and below them the one to use."""
    exact, precisions = facts["float32"], facts["precisions"]
    width = max(_COLUMN, *map(len, precisions))

    def row(name: str, field: str, form: str, remark: str) -> tuple[str, str, str]:
        return name, _columns((f"{drift[field]:{form}}" for drift in precisions.values()), width), remark

    size = f"float32: spread {exact['spread']:.2f}, {exact['lowest']:+.2f} to {exact['highest']:+.2f}"
    return [
        ("", _columns(precisions, width), f"{facts['documents']:,} built-in texts for {facts['queries']:,} queries"),
        row("mean |delta logit|", "mean_delta", ".4f", size),
        row("max |delta logit|", "max_delta", ".4f", "the document that moves most"),
        row("Kendall tau", "kendall_tau", ".3f", "1 is the same order; mean of queries"),
        row("top 10 kept", "top_overlap", ".1%", "mean of queries"),
        row("top 1 changed", "top1_changed", "d", f"of {facts['queries']:,} queries"),
        ("advised", _columns([facts["advised"]], width), f"the fastest whose mean is at most {facts['mean_limit']}"),
    ]


def _columns(cells: Iterable[str], width: int) -> str:
    return "  ".join(cell.rjust(width) for cell in cells)
