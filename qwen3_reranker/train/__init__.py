"""Training: examples -> groups on a tree of tokens, losses, a model that serves; and the bundled model's recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qwen3_reranker.train.examples import Example, read_examples, write_examples
from qwen3_reranker.train.options import TrainOptions
from qwen3_reranker.train.splitting import split

if TYPE_CHECKING:
    from qwen3_reranker.train.finetuning import Outcome, finetune

__all__ = ["Example", "Outcome", "TrainOptions", "finetune", "read_examples", "split", "write_examples"]


def __getattr__(name: str) -> Any:
    # Examples are prepared where torch is not installed, and it takes seconds to import.
    if name in ("Outcome", "finetune"):
        from qwen3_reranker.train import finetuning

        return getattr(finetuning, name)
    raise AttributeError(name)
