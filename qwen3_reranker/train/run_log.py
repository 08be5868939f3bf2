"""Steps and evaluations of a run -> log.csv, evaluations.csv and optional TensorBoard logs."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from qwen3_reranker.errors import UnavailableError

STEPS, EVALUATIONS = "log.csv", "evaluations.csv"


class RunLog:
    """CSV tables in a folder, one row per step or evaluation.

    step: the last step of the saved state; later rows belong to lost work and are removed.
    """

    def __init__(self, folder: Path, step: int, tensorboard: bool) -> None:
        self._folder = folder
        for name in (STEPS, EVALUATIONS):
            _cut(folder / name, step)
        self._writer: Any = None
        if tensorboard:
            if find_spec("tensorboard") is None:
                raise UnavailableError('--tensorboard needs tensorboard: pip install "qwen3_reranker[train]"')
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """One row of log.csv."""
        self._row(STEPS, step, values, "train")

    def evaluation(self, step: int, values: Mapping[str, float]) -> None:
        """One row of evaluations.csv."""
        self._row(EVALUATIONS, step, values, "evaluation")

    def close(self) -> None:
        """Flush and close TensorBoard's writer."""
        if self._writer is not None:
            self._writer.close()

    def _row(self, name: str, step: int, values: Mapping[str, float], group: str) -> None:
        path = self._folder / name
        is_new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(["step", *values])
            writer.writerow([step, *(f"{value:.6g}" for value in values.values())])
        if self._writer is not None:
            for key, value in values.items():
                self._writer.add_scalar(f"{group}/{key}", value, step)


def _cut(path: Path, step: int) -> None:
    if not path.exists():
        return
    head, *rows = path.read_text(encoding="utf-8").splitlines()
    kept = [row for row in rows if int(row.partition(",")[0]) <= step]
    if kept:
        path.write_text("\n".join([head, *kept]) + "\n", encoding="utf-8")
    else:
        path.unlink()
