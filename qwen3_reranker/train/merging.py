"""Checkpoints of one shape -> their average or slerp, computed tensor by tensor while reading.

Slerp of two: Shoemake 1985. Of more, each next model is added with the share that gives all equal weight, as the paper
merges checkpoints of one fine-tune (arXiv 2506.05176 section 3.2, after arXiv 2410.15035). Both are weighted sums of
the models, so one tensor class serves both. Shapes: M models.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from qwen3_reranker.errors import CheckpointError, InputError, unknown
from qwen3_reranker.weights import Checkpoint, Tensor, open_checkpoint
from qwen3_reranker.weights.computed_tensor import ComputedTensor

METHODS = ("average", "slerp")
_VALUES_AT_ONCE = 1 << 19
# Below this sine of the angle the two are almost parallel, and slerp is linear interpolation.
_PARALLEL = 1e-6

Weights = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BlendedTensor(ComputedTensor):
    """The weighted sum of tensors, added in float64 and rounded once when read."""

    parts: tuple[Tensor, ...] = field(repr=False)
    shares: tuple[float, ...]

    def read(self, dtype: DTypeLike = np.float32, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """The whole sum; into `out` if given."""
        values: NDArray[Any] = self._summed(part.read(np.float64) for part in self.parts).astype(dtype)
        if out is None:
            return values
        out[...] = values
        return out

    def rows(self, ids: ArrayLike, dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """Rows `ids` of the sum, like `Tensor.rows`."""
        return self._summed(part.rows(ids, np.float64) for part in self.parts).astype(dtype)

    def _summed(self, values: Iterator[NDArray[np.float64]]) -> NDArray[np.float64]:
        total: NDArray[np.float64] = np.zeros(())
        for share, each in zip(self.shares, values, strict=True):
            each *= share
            total = total + each
        return total


def merge(
    models: Sequence[str | os.PathLike[str]], method: str = "slerp", shares: Sequence[float] | None = None
) -> Checkpoint:
    """The models as one checkpoint, which `convert` writes. Slerp reads all weights once, chunk by chunk.

    shares: weight of each model, scaled to a sum of 1; None for equal weights. Raises InputError for fewer than two
    models or invalid shares, CheckpointError if two models differ in shape, head or tokenizer.
    """
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    if len(models) < 2:
        raise InputError(f"merging takes two models or more, got {len(models)}")
    weights_M = _checked(shares, len(models))
    opened = [open_checkpoint(model) for model in models]
    first = opened[0]
    for other in opened[1:]:
        _compare(first, other)
    own_head = first.head.tensor
    tensors = {name: _blended([each.tensors[name] for each in opened], method, weights_M) for name in first.tensors}
    heads = [each.head.tensor for each in opened]
    head = tensors[own_head.name] if own_head.name in tensors else _blended(heads, method, weights_M)
    return replace(
        first,
        name=" + ".join(os.fspath(model) for model in models),
        layout="causal-lm" if first.layout == "lora" else first.layout,
        tensors=tensors,
        stored_head=replace(first.head, tensor=head),
    )


def slerp_shares(products_MM: Weights, weights_M: Weights) -> Weights:
    """The coefficients of M vectors in their slerp, (M,), from inner products, (M, M).

    Vectors are added one by one; weights_M: their shares.
    """
    shares_M: Weights = np.zeros(len(weights_M))
    shares_M[0] = 1.0
    for index in range(1, len(weights_M)):
        share = weights_M[index] / weights_M[: index + 1].sum()
        lengths = shares_M @ products_MM @ shares_M, products_MM[index, index]
        scale = math.sqrt(max(lengths[0], 0.0) * max(lengths[1], 0.0))
        cosine = float(shares_M @ products_MM[:, index]) / scale if scale else 1.0
        angle = math.acos(min(1.0, max(-1.0, cosine)))
        before, after = 1.0 - share, share
        if math.sin(angle) > _PARALLEL:
            before, after = math.sin(before * angle) / math.sin(angle), math.sin(after * angle) / math.sin(angle)
        shares_M *= before
        shares_M[index] = after
    return shares_M


def _blended(parts: Sequence[Tensor], method: str, weights_M: Weights) -> BlendedTensor:
    first = parts[0]
    # Norms are scales, not directions.
    is_turned = method == "slerp" and len(first.shape) > 1
    shares_M = slerp_shares(_products(parts), weights_M) if is_turned else weights_M
    sources = tuple(dict.fromkeys(source for part in parts for source in part.sources))
    facts = (first.name, first.shape, first.dtype, first.num_bytes, sources)
    return BlendedTensor(*facts, parts=tuple(parts), shares=tuple(map(float, shares_M)))


def _products(parts: Sequence[Tensor]) -> Weights:
    """The inner products of all pairs, (M, M), chunk by chunk."""
    products_MM: Weights = np.zeros((len(parts), len(parts)))
    for rows in _row_chunks(parts[0].shape):
        values = np.stack([part.rows(rows, np.float64).reshape(-1) for part in parts])
        products_MM += values @ values.T
    return products_MM


def _row_chunks(shape: tuple[int, ...]) -> Iterator[NDArray[np.int64]]:
    step = max(1, _VALUES_AT_ONCE // shape[1])
    for start in range(0, shape[0], step):
        yield np.arange(start, min(shape[0], start + step))


def _checked(shares: Sequence[float] | None, count: int) -> Weights:
    if shares is None:
        return np.full(count, 1.0 / count)
    if len(shares) != count or not all(math.isfinite(share) and share > 0 for share in shares):
        raise InputError(f"shares must be {count} numbers above 0, one per model, got {list(shares)}")
    given_M = np.array(shares, dtype=np.float64)
    normed_M: Weights = given_M / given_M.sum()
    return normed_M


def _compare(first: Checkpoint, other: Checkpoint) -> None:
    if first.config != other.config or set(first.tensors) != set(other.tensors):
        raise CheckpointError(
            f"{other.name}: its shape differs from that of {first.name}; merge checkpoints of one model"
        )
    heads = (first.head, other.head)
    if heads[0].labels != heads[1].labels or heads[0].tensor.shape != heads[1].tensor.shape:
        raise CheckpointError(f"{other.name}: has another score head than {first.name}; convert both --to hf first")
    if first.tokenizer.fields.get("model") != other.tokenizer.fields.get("model"):
        raise CheckpointError(f"{other.name}: has another tokenizer than {first.name}; merge checkpoints of one model")
