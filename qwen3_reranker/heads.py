"""The heads: final hidden states -> logits, or vectors of an embedding model. Never initialised at random."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.arguments import is_whole
from qwen3_reranker.errors import CheckpointError, InputError

# The least that Qwen3-Embedding was trained to be cut to (its model card: 32 up to the full size).
_LEAST_DIM = 32


class NotFiniteError(CheckpointError):
    """The network gave numbers that are not finite; the runner finds out why."""


class YesNoHead:
    """w_yes - w_no of the language-model head. The other rows of that matrix are never needed.

    rows_2D: the rows of yes and of no, (2, hidden_size). source: the file and tensor they came from, for errors.
    Raises CheckpointError if the two rows are equal (no judgement is possible) or not finite.
    """

    def __init__(self, rows_2D: NDArray[np.float32], source: str) -> None:
        if not np.isfinite(rows_2D).all():
            raise CheckpointError(f"{source}: the rows of yes and no hold numbers that are not finite")
        self.weight_D = (rows_2D[0] - rows_2D[1]).astype(np.float32)
        if not self.weight_D.any():
            raise CheckpointError(
                f"{source}: the rows of yes and no are equal, so every document would score 0; "
                "this checkpoint has no trained judge"
            )

    def __call__(self, hidden_ND: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Logits yes - no, (num_rows,) float32. Raises NotFiniteError if one is not finite."""
        # Summed in float64: BLAS sums a float32 product in another order for another number of rows.
        summed_N = hidden_ND.astype(np.float64) @ self.weight_D.astype(np.float64)
        return _finite(summed_N.astype(np.float32))


def applied_head(logits_N1: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """The logits of a backend that applies the head itself, (num_rows,) float32.

    Raises NotFiniteError if one is not finite.
    """
    return _finite(logits_N1[:, 0].astype(np.float32))


def _finite(logits_N: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(logits_N).all():
        raise NotFiniteError("the network gave a logit that is not finite")
    return logits_N


class EmbeddingHead:
    """The last token's state, cut to its first `dim` numbers and brought to length 1. It has no weights.

    dim: None for all of them. Raises InputError for less than 32 or more than hidden_size: that is the range in which
    Qwen3-Embedding was trained to be cut (Matryoshka).
    """

    def __init__(self, hidden_size: int, dim: int | None = None) -> None:
        least = min(_LEAST_DIM, hidden_size)
        if dim is None:
            dim = hidden_size
        if not is_whole(dim, least, hidden_size):
            raise InputError(
                f"dim must be a whole number of {least} to {hidden_size}, the sizes that this model can be cut to, "
                f"got {dim!r}"
            )
        self.dim = operator.index(dim)

    def __call__(self, hidden_ND: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Vectors of length 1, (num_rows, dim) float32.

        Raises NotFiniteError if one is not finite, CheckpointError if one is all zeros.
        """
        # Cut before the length is taken: what is cut off must not count in it. float64 neither overflows nor rounds.
        cut_NE = np.ascontiguousarray(hidden_ND[:, : self.dim], dtype=np.float64)
        # numpy adds along contiguous rows, so a vector's bits do not depend on how many others there are.
        length_N1 = np.sqrt((cut_NE * cut_NE).sum(axis=1, keepdims=True))
        if not np.isfinite(length_N1).all():
            raise NotFiniteError("the network gave a vector that is not finite")
        if not length_N1.all():
            raise CheckpointError("the network gave a vector of zeros alone; the checkpoint's weights are damaged")
        vectors_NE: NDArray[np.float32] = (cut_NE / length_N1).astype(np.float32)
        return vectors_NE
