"""The shape of a network -> its checkpoint as it would be published, in bfloat16, to reckon with before it is there."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NoReturn

from qwen3_reranker.config import ModelConfig
from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.weights.checkpoint import Checkpoint
from qwen3_reranker.weights.names import expected_shapes
from qwen3_reranker.weights.tensor import Source, StoredTensor

_BYTES = 2


def published_checkpoint(config: ModelConfig) -> Checkpoint:
    """A checkpoint without files, whose tensors have names, shapes and sizes, and cannot be read."""
    tensors = {
        name: StoredTensor(name, shape, "BF16", _NOWHERE, 0, _BYTES * math.prod(shape))
        for name, shape in expected_shapes(config)
    }
    return Checkpoint("", Path(), "causal-lm", config, tensors, None, _no_tokenizer)


_NOWHERE = Source(Path(), 0, 0)


def _no_tokenizer() -> NoReturn:
    raise CheckpointError("a checkpoint that is not there has no tokenizer")
