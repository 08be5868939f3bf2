"""One fine-tuning run: its folder, start model, data and options, which all its parts share."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from qwen3_reranker.errors import InputError
from qwen3_reranker.json_object import read_object
from qwen3_reranker.train.example_file import TrainExample, digest
from qwen3_reranker.train.loss_mix import TAUGHT, parse_mix
from qwen3_reranker.train.train_options import TrainOptions, refuse_other_settings
from qwen3_reranker.train.validation import check

MODEL, STATE, SETTINGS = "model", "state.pt", "run.json"


@dataclass(frozen=True, eq=False)
class TrainRun:
    """What a run trains, on what, and where it writes.

    folder: output folder; folder/model is the result. model: what Reranker takes; an adapter is trained further.
    data: examples to learn from. held_out: examples that choose the best weights; without them the last ones are kept.
    revision: of a model on the Hub. device: as for Reranker. keep_last: write the last weights even if no evaluation
    beat the start. tensorboard: write its logs too. command: the command line, for the model card.
    """

    folder: str | os.PathLike[str]
    model: str | os.PathLike[str]
    data: Sequence[TrainExample]
    options: TrainOptions = field(default_factory=TrainOptions)
    held_out: Sequence[TrainExample] = ()
    revision: str | None = None
    device: str | None = None
    keep_last: bool = False
    tensorboard: bool = False
    command: str = ""

    @property
    def path(self) -> Path:
        """The output folder."""
        return Path(self.folder)

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.options.total_steps(len(self.data))

    @cached_property
    def digests(self) -> dict[str, str]:
        """The sha256 of each set of examples, by its name."""
        held_out = {"held out": digest(self.held_out)} if self.held_out else {}
        return {"training": digest(self.data), **held_out}

    def refuse_bad_data(self) -> None:
        """Raise InputError for data that cannot teach, or that do not fit the loss."""
        mix = parse_mix(self.options.loss)
        check(self.data, self.held_out, tuple(mix)).refuse()
        if self.options.random_negatives and set(mix) & set(TAUGHT):
            raise InputError(
                f"random_negatives have no teacher's scores, which the loss {self.options.loss} needs; set them to 0"
            )

    def begin(self, resume: bool) -> None:
        """Create the folder, or check that it holds this run. Raises InputError for a folder in use."""
        path = self.path / SETTINGS
        if path.exists():
            if not resume:
                raise InputError(f"{self.path} holds a run already; continue with --resume, or write to another folder")
            wanted: dict[str, Any] = json.loads(json.dumps(self._settings()))
            saved = read_object(path)
            refuse_other_settings(
                {**saved, **saved.get("options", {}), "options": None},
                {**wanted, **wanted["options"], "options": None},
                str(self.path),
            )
        elif self.path.exists() and any(self.path.iterdir()):
            raise InputError(f"{self.path} holds files that belong to no run; write to an empty folder")
        else:
            self.path.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(self._settings(), indent=2) + "\n", encoding="utf-8")

    def _settings(self) -> dict[str, Any]:
        return {
            "model": os.fspath(self.model),
            "revision": self.revision,
            "data": self.digests,
            "options": self.options.to_json(),
        }
