"""What runs a network's layers over one batch: the contract that the native kernels and plain numpy both keep."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.backends.cpu.layout import BatchLayout

Floats = NDArray[np.float32]
# Keys and values of a segment in every layer: (layers, 2, key/value heads, tokens, head_dim).
KeysValues = NDArray[np.float32]
Kept = dict[int, KeysValues]


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds that all threads together spent so far: in products of matrices, in attention, in the rest.

    The rest is work on each token alone, such as norms and rounding; waiting and Python are in none of the three.
    """

    products: float
    attention: float
    rest: float


class BatchPass(Protocol):
    """One batch on its way through the layers, which are called in order.

    It reads ancestors' keys and values from the `kept` it was made with, and fills in those of the batch's own segments
    that are named there.
    """

    def layer(self, index: int) -> None:
        """One layer for every token."""
        ...

    def last_layer(self, index: int) -> Floats:
        """The last layer for the tokens that end a row: (leaves, hidden), before the final norm."""
        ...


class LayerEngine(Protocol):
    """A checkpoint's layers, ready to run."""

    num_threads: int

    def start(self, layout: BatchLayout, kept: Kept, x_TD: Floats) -> BatchPass:
        """A batch whose tokens have the word vectors `x_TD`, (tokens, hidden), which it may overwrite."""
        ...

    def running(self) -> AbstractContextManager[None]:
        """Entered while a batch runs."""
        ...

    def timings(self) -> Timings | None:
        """What the time went to since the start; None where no clocks are kept."""
        ...

    def renew(self) -> None:
        """Leave what another thread was writing to as it is and take new; without waiting for that thread."""
        ...

    def close(self) -> None:
        """Drop the weights, end the threads."""
        ...


def store_kept(kept: Kept, layout: BatchLayout, index: int, k_GTE: Floats, v_GTE: Floats) -> None:
    """Copy one layer's keys and values of the batch's segments that are to be kept."""
    for segment, place in layout.places.items():
        if segment in kept:
            kept[segment][index, 0] = k_GTE[:, place]
            kept[segment][index, 1] = v_GTE[:, place]
