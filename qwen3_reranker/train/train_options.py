"""Options of a fine-tuning run, saved with its state and compared when it is resumed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from qwen3_reranker.errors import InputError
from qwen3_reranker.option_fields import described, option

METHODS = ("lora", "full")
PRECISIONS = ("float32", "bfloat16")
SCHEDULES = ("cosine", "linear", "constant")
#: Default learning rates: adapters learn with about ten times the rate of whole weights.
RATES = {"lora": 1e-4, "full": 1e-5}
# Options that a resumed run may change, because no weight depends on them.
_FREE = frozenset(("max_batch_tokens", "save_every", "checkpointing"))


@described
@dataclass(frozen=True, slots=True)
class TrainOptions:
    """Everything that decides the result, except the model and the data."""

    method: str = option("lora", "What is trained: lora adapters, or all weights.", choices=METHODS, group="Learning")
    loss: str = option(
        "bce",
        "bce, sft (the paper's), softmax, ranknet, lambda, and with a teacher's scores soft-bce, margin-mse, kl; or a "
        "mix such as bce+0.5*kl. Without bce or sft, a probability is no longer one.",
        unit="MIX",
        group="Learning",
    )
    epochs: int = option(1, "How often every query is seen.", unit="N", group="Learning")
    steps: int | None = option(None, "Optimiser steps, instead of epochs.", unit="N", group="Learning")
    batch_groups: int = option(
        8, "Queries that an optimiser step learns from.", unit="N", flag="--batch", group="Learning"
    )
    max_batch_tokens: int = option(
        16384,
        "Tokens in memory at once; a step is computed in pieces of that size, which changes no gradient.",
        unit="N",
        group="Engine",
    )
    max_length: int = option(
        1024, "Tokens of prompt and document together; the end of a longer document is cut.", unit="N", group="Groups"
    )
    positives: int = option(1, "Relevant documents of a query, drawn again in every epoch.", unit="N", group="Groups")
    negatives: int = option(7, "Other documents of a query, drawn again in every epoch.", unit="N", group="Groups")
    random_negatives: int = option(0, "More negatives, drawn from other queries.", unit="N", group="Groups")
    rate: float | None = option(
        None, "The highest learning rate.", unit="X", shown="1e-4; with full 1e-5", group="Learning"
    )
    schedule: str = option(
        "cosine", "How the rate falls after the warm-up, the first 5% of steps.", choices=SCHEDULES, group="Learning"
    )
    warm_up: float = option(0.05, "Share of steps in which the rate rises.")
    weight_decay: float = option(0.01, "AdamW's decay of what is trained.")
    clip: float = option(1.0, "Largest norm of a gradient.")
    rank: int = option(16, "Rank of the adapters; their alpha is twice that.", unit="N", group="Learning")
    alpha: float = option(32.0, "Scale of the adapters, divided by their rank.")
    dropout: float = option(0.0, "Share of the adapters' inputs that a step leaves out.")
    positive_weight: float = option(1.0, "Weight of a positive in bce; a negative has 1.", unit="X", group="Groups")
    temperature: float = option(1.0, "Temperature of softmax and kl.", unit="X", group="Groups")
    top_k: int | None = option(None, "Lambda compares only pairs with a document among the first N; None compares all.")
    anchor: float = option(
        0.0, "Weight of a penalty (KL) for scores that move away from the start model's.", unit="X", group="Learning"
    )
    precision: str = option(
        "float32",
        "What matrix products are computed in; weights that are trained stay float32.",
        choices=PRECISIONS,
        group="Engine",
    )
    checkpointing: bool = option(
        False, "Compute wide states twice instead of keeping them: less memory, more time.", group="Engine"
    )
    evaluate_every: int | None = option(
        None, "Steps between evaluations.", unit="N", shown="a tenth of all", group="Output"
    )
    save_every: int = option(100, "Steps between saved states.", unit="N", group="Output")
    patience: int = option(
        0, "Stop after N evaluations without a better one; 0 never stops.", unit="N", group="Learning"
    )
    seed: int = option(0, "Seed of everything that is drawn at random.", unit="N", group="Learning")

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
        """Factor of the rate at `step`, from 0: up to 1, then down to 0."""
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


def refuse_other_settings(saved: Mapping[str, Any], wanted: Mapping[str, Any], folder: str) -> None:
    """Raise InputError for the first changed setting that weights depend on."""
    for name in sorted(set(saved) | set(wanted)):
        if name not in _FREE and json.dumps(saved.get(name)) != json.dumps(wanted.get(name)):
            raise InputError(
                f"{folder}: this run has {name} {saved.get(name)!r}, not {wanted.get(name)!r}; repeat its settings to "
                "resume, or write to another folder"
            )
