"""The yes/no head: final hidden states -> logits, one vector in float32, never randomly initialised."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.errors import CheckpointError


class YesNoHead:
    """w_yes - w_no of the language-model head; the other rows of that matrix are never needed.

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
        """Logits yes - no, (num_rows,) float32. Raises CheckpointError if one is not finite."""
        # Summed in float64: BLAS sums a float32 product in another order for another number of rows.
        summed_N = hidden_ND.astype(np.float64) @ self.weight_D.astype(np.float64)
        logits_N: NDArray[np.float32] = summed_N.astype(np.float32)
        if not np.isfinite(logits_N).all():
            raise CheckpointError("the network gave a logit that is not finite; the checkpoint's weights are damaged")
        return logits_N
