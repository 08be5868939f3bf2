"""Names of the losses, what data each needs, and how a mix is written. `losses.py` computes them."""

from __future__ import annotations

import math

from qwen3_reranker.errors import InputError

NAMES = ("bce", "sft", "softmax", "ranknet", "lambda", "margin-mse", "kl", "soft-bce")
#: Losses that compare positives with negatives of a group, and losses that need a teacher's scores.
COMPARING = ("softmax", "ranknet", "lambda", "margin-mse")
TAUGHT = ("margin-mse", "kl", "soft-bce")


def parse_mix(text: str) -> dict[str, float]:
    """Losses and their weights, from text like "bce" or "bce+0.5*softmax"; raises InputError."""
    mix: dict[str, float] = {}
    for term in text.split("+"):
        factor, _, name = term.strip().rpartition("*")
        try:
            weight = float(factor) if factor else 1.0
        except ValueError:
            weight = math.nan
        if name not in NAMES or name in mix or not (math.isfinite(weight) and weight > 0):
            raise InputError(
                f"loss {text!r}: expected names of {', '.join(NAMES)}, each once, joined as in bce+0.5*softmax"
            )
        mix[name] = weight
    return mix
