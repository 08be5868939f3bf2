"""A model -> each precision's drift and speed, as facts for `inspect`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.registry import SPECS


def drift_facts(model: str, revision: str | None, options: EngineOptions) -> dict[str, Any]:
    """Measure a model's drift with these options, with a progress bar."""
    from qwen3_reranker.cli.progress import ProgressBar
    from qwen3_reranker.drift import MEAN_LIMIT, measure_drift

    with ProgressBar("measuring drift") as bar:
        report = measure_drift(
            model, SPECS[options.backend].reduced_precisions, revision=revision, **asdict(options), on_progress=bar
        )
    measured = {}
    for drift in report.drifts:
        speed = report.documents_per_second[drift.precision]
        fields = {**asdict(drift), "within_limit": drift.within_limit, "documents_per_second": speed}
        measured[fields.pop("precision")] = fields
    return {
        "queries": report.queries,
        "documents": report.documents,
        "float32": {
            "lowest": report.lowest,
            "highest": report.highest,
            "spread": report.spread,
            "documents_per_second": report.documents_per_second["float32"],
        },
        "precisions": measured,
        "mean_limit": MEAN_LIMIT,
        "advised": report.advised,
    }
