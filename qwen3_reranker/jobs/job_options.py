"""How a job runs: every option with its default, its meaning and its bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qwen3_reranker.option_fields import described, option

ENGINES = ("local", "ray")


@described
@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """How the parts of a folder are made."""

    group: ClassVar[str] = "Job, with -o FOLDER/"
    engine: str | None = option(
        None, "Where parts are computed: in this process, or by workers of Ray.", choices=ENGINES, shown="local"
    )
    part_rows: int = option(
        2048,
        "Rows of a part. A part is written whole, so a crash costs only parts that are being computed.",
        unit="N",
        least=1,
    )
    workers: int | None = option(
        None, "Workers on Ray, each with a model of its own.", unit="N", shown="as many as fit the cluster", least=1
    )
    cpus_per_worker: int = option(1, "Processors of a worker on Ray, and threads of its model.", unit="N", least=1)
    gpus_per_worker: float = option(0.0, "GPUs of a worker on Ray, for --backend torch.", unit="N", least=0)
    ray_address: str | None = option(
        None, "The Ray cluster.", unit="ADDRESS", shown="RAY_ADDRESS, or a cluster of this machine alone"
    )
    price_per_hour: float | None = option(
        None, "What all these machines cost an hour, for the cost of a million rows.", unit="PRICE", least=0
    )
