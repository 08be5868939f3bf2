"""Training: examples -> groups on a tree of tokens, losses, a model that serves."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qwen3_reranker.train.example_file import TrainExample, read_examples, write_examples
    from qwen3_reranker.train.finetuning import Outcome, finetune
    from qwen3_reranker.train.run import TrainRun
    from qwen3_reranker.train.splitting import split
    from qwen3_reranker.train.train_options import TrainOptions

__all__ = [
    "Outcome",
    "TrainExample",
    "TrainOptions",
    "TrainRun",
    "finetune",
    "read_examples",
    "split",
    "write_examples",
]

# Imported when first used: examples are prepared without torch, and a help page shows options without numpy.
_MODULES = {
    "Outcome": "finetuning",
    "TrainExample": "example_file",
    "TrainOptions": "train_options",
    "TrainRun": "run",
    "finetune": "finetuning",
    "read_examples": "example_file",
    "split": "splitting",
    "write_examples": "example_file",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
