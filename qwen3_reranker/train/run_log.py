"""What happens in a run -> log.csv, evaluations.csv and, if asked for, TensorBoard; a resumed run goes on in both."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from qwen3_reranker.errors import UnavailableError

STEPS, EVALUATIONS = "log.csv", "evaluations.csv"


class RunLog:
    """Tables of numbers in a folder, one row a step or an evaluation; rows behind `step` are of a lost continuation."""

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
        """Write what is still to be written."""
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


def read_evaluations(folder: Path) -> list[dict[str, float]]:
    """The rows of evaluations.csv."""
    path = folder / EVALUATIONS
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def _cut(path: Path, step: int) -> None:
    if not path.exists():
        return
    head, *rows = path.read_text(encoding="utf-8").splitlines()
    kept = [row for row in rows if int(row.partition(",")[0]) <= step]
    if kept:
        path.write_text("\n".join([head, *kept]) + "\n", encoding="utf-8")
    else:
        path.unlink()
