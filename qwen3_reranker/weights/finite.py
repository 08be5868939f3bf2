"""Every number of a checkpoint -> the tensor that holds NaN or infinity."""

from __future__ import annotations

import numpy as np

from qwen3_reranker.errors import CheckpointError, PrecisionError
from qwen3_reranker.weights.checkpoint import Checkpoint
from qwen3_reranker.weights.tensor import Tensor, is_plain

# Of a float whose exponent is all ones: NaN or infinity.
_EXPONENTS = {"F32": ("<u4", 0x7F800000), "F16": ("<u2", 0x7C00), "BF16": ("<u2", 0x7F80)}
_VALUES_AT_ONCE = 1 << 20


def first_not_finite(checkpoint: Checkpoint) -> Tensor | None:
    """The first tensor with a number that is not finite. Reads every byte, a few MiB at a time."""
    head = [] if checkpoint.stored_head is None else [checkpoint.stored_head.tensor]
    every = {tensor.name: tensor for tensor in (*checkpoint.tensors.values(), *head)}
    return next((tensor for tensor in every.values() if not _is_finite(tensor)), None)


def why_not_finite(checkpoint: Checkpoint, precision: str) -> CheckpointError | PrecisionError:
    """Why the network gives numbers that are not finite in that precision, as an error. Reads every weight."""
    damaged = first_not_finite(checkpoint)
    if damaged is not None:
        return CheckpointError(
            f"{damaged.file}: tensor {damaged.name!r} holds NaN or infinity; the checkpoint is damaged, fetch or "
            "convert it again"
        )
    if precision in ("float32", "float64"):
        return CheckpointError(
            f"every weight is finite, but the network's numbers grow beyond {precision}; its training diverged, or "
            "weights and configuration are not of one model"
        )
    if precision == "float16":
        return PrecisionError(
            "float16 cannot hold this network's numbers (its largest is 65,504), and every weight is finite: use "
            'precision="bfloat16" or precision="float32"'
        )
    return PrecisionError(
        f'{precision} cannot hold this network\'s numbers, and every weight is finite: use precision="float32"'
    )


def _is_finite(tensor: Tensor) -> bool:
    if is_plain(tensor) and tensor.dtype in _EXPONENTS:
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
