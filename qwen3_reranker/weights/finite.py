"""Every number of a checkpoint, read once -> the first tensor that holds NaN or infinity, if any does."""

from __future__ import annotations

import numpy as np

from qwen3_reranker.weights.checkpoint import Checkpoint
from qwen3_reranker.weights.tensor import Tensor

# Of a float whose exponent is all ones: NaN or infinity.
_EXPONENTS = {"F32": ("<u4", 0x7F800000), "F16": ("<u2", 0x7C00), "BF16": ("<u2", 0x7F80)}
_VALUES_AT_ONCE = 1 << 20


def first_not_finite(checkpoint: Checkpoint) -> Tensor | None:
    """The first tensor with a number that is not finite; reads every byte, a few MiB at a time."""
    head = [] if checkpoint.stored_head is None else [checkpoint.stored_head.tensor]
    every = {tensor.name: tensor for tensor in (*checkpoint.tensors.values(), *head)}
    return next((tensor for tensor in every.values() if not _is_finite(tensor)), None)


def _is_finite(tensor: Tensor) -> bool:
    if tensor.is_plain and tensor.dtype in _EXPONENTS:
        width, exponent = _EXPONENTS[tensor.dtype]
        return not any(((np.frombuffer(piece, width) & exponent) == exponent).any() for piece in tensor.content())
    if len(tensor.shape) != 2:
        return bool(np.isfinite(tensor.read()).all())
    rows, columns = tensor.shape
    at_once = max(1, _VALUES_AT_ONCE // columns)
    # What is looked for is no reason for warnings.
    with np.errstate(all="ignore"):
        return all(
            np.isfinite(tensor.rows(np.arange(start, min(start + at_once, rows)))).all()
            for start in range(0, rows, at_once)
        )
