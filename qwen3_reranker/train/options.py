"""What a fine-tuning run is asked for: one frozen record, saved beside its state and compared when it is resumed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from qwen3_reranker.errors import InputError

METHODS = ("lora", "full")
PRECISIONS = ("float32", "bfloat16")
SCHEDULES = ("cosine", "linear", "constant")
#: Where learning starts if nothing is asked for: adapters take about ten times the rate of whole weights.
RATES = {"lora": 1e-4, "full": 1e-5}
# What may change between a run and its continuation, as no weight depends on it.
_FREE = frozenset(("max_batch_tokens", "save_every", "checkpointing"))


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """Everything that decides the result beside model and data.

    batch_groups: queries an optimiser step learns from. max_batch_tokens: tree tokens in memory at once; a step is cut
    into such pieces, which changes no gradient. positives, negatives: documents of a group, drawn anew every epoch;
    random_negatives: how many more come from other queries. anchor: weight of the KL to the start model's judgements.
    precision: bfloat16 multiplies in 16 bits; what is trained stays float32. patience: evaluations without a better one
    before the run stops, 0 for never.
    """

    method: str = "lora"
    loss: str = "bce"
    epochs: int = 1
    steps: int | None = None
    batch_groups: int = 8
    max_batch_tokens: int = 16384
    max_length: int = 1024
    positives: int = 1
    negatives: int = 7
    random_negatives: int = 0
    rate: float | None = None
    schedule: str = "cosine"
    warm_up: float = 0.05
    weight_decay: float = 0.01
    clip: float = 1.0
    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    positive_weight: float = 1.0
    temperature: float = 1.0
    top_k: int | None = None
    anchor: float = 0.0
    precision: str = "float32"
    checkpointing: bool = False
    evaluate_every: int | None = None
    save_every: int = 100
    patience: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (("method", METHODS), ("precision", PRECISIONS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in known:
                raise InputError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        for name, least in (
            *((name, 1) for name in ("epochs", "batch_groups", "max_batch_tokens", "positives", "rank", "save_every")),
            *((name, 0) for name in ("negatives", "random_negatives", "patience", "seed")),
            *((name, 1) for name in ("steps", "top_k", "evaluate_every") if getattr(self, name) is not None),
        ):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise InputError(f"{name} must be a whole number of at least {least}, got {value!r}")
        for name in ("weight_decay", "clip", "alpha", "positive_weight", "temperature", "anchor", "rate"):
            value = self.learning_rate if name == "rate" else getattr(self, name)
            lowest = 0.0 if name in ("weight_decay", "anchor") else math.ulp(0.0)
            if not (math.isfinite(value) and value >= lowest):
                raise InputError(
                    f"{name} must be a number {'of at least' if lowest == 0 else 'above'} 0, got {value!r}"
                )
        for name in ("warm_up", "dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise InputError(f"{name} must be at least 0 and below 1, got {getattr(self, name)!r}")

    @property
    def learning_rate(self) -> float:
        """The highest rate of the run."""
        return RATES[self.method] if self.rate is None else self.rate

    def total_steps(self, examples: int) -> int:
        """Optimiser steps of the whole run."""
        return self.steps or self.epochs * self.steps_per_epoch(examples)

    def steps_per_epoch(self, examples: int) -> int:
        """Optimiser steps that see every example once."""
        return math.ceil(examples / self.batch_groups)

    def factor(self, step: int, total: int) -> float:
        """What the rate is multiplied by at `step`, counted from 0: up to 1 over the warm-up, then down to 0."""
        warm = max(1, round(self.warm_up * total))
        if step < warm:
            return (step + 1) / warm
        done = (step - warm) / max(1, total - warm)
        if self.schedule == "constant":
            return 1.0
        return 1.0 - done if self.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


def refuse_others(saved: Mapping[str, Any], wanted: Mapping[str, Any], place: str) -> None:
    """Raise InputError naming the first setting that a run was not begun with; those that decide nothing may change."""
    for name in sorted(set(saved) | set(wanted)):
        if name not in _FREE and json.dumps(saved.get(name)) != json.dumps(wanted.get(name)):
            raise InputError(
                f"{place}: this run was begun with {name} {saved.get(name)!r}, not {wanted.get(name)!r}; repeat its "
                "settings to resume, or write to another folder"
            )
