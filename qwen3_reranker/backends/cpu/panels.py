"""8-bit panels of every matrix of a checkpoint, as the native kernels read them: made once, then mapped from disk.

A weight is scale * (byte - 128), with one scale for each output and group of inputs (native/kernels/table.h).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.backends.cpu.array_file import Arrays
from qwen3_reranker.backends.cpu.disk_cache import DiskCache
from qwen3_reranker.backends.cpu.native_layers import matrices, stored_matrix
from qwen3_reranker.weights import Checkpoint, Tensor

GROUP = 64
#: Outputs side by side in a panel (kPanelOutputs in native/kernels/table.h).
PANEL_OUTPUTS = 64
#: Digits of 8 bits that an activation is rounded to, in each precision below float32.
DIGITS = {"int8": 1, "int8x2": 2}
# Raised with every change of the panels' layout or of how weights are rounded.
_FORMAT = 1


@dataclass(frozen=True, eq=False, slots=True)
class Panels:
    """The panels of a checkpoint's matrices by published name; `group` inputs share a scale."""

    group: int
    arrays: Arrays

    def of(self, name: str) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Bytes and scales of one matrix, flat."""
        return self.arrays[f"{name}.bytes"], self.arrays[f"{name}.scales"]


def panel_sizes(shape: tuple[int, ...], group: int = GROUP) -> tuple[int, int]:
    """Bytes and scales that a matrix (outputs, inputs) takes in panels; both are filled up to whole ones."""
    outputs, inputs = shape
    panels, groups = -(-outputs // PANEL_OUTPUTS), -(-inputs // group)
    return panels * groups * group * PANEL_OUTPUTS, panels * groups * PANEL_OUTPUTS


def open_panels(checkpoint: Checkpoint, cache: DiskCache, kernels: Any, group: int = GROUP) -> Panels:
    """The panels of all layers' matrices: from the cache, or rounded now by `kernels` and cached."""
    tensors = all_matrices(checkpoint)
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {}
    for tensor in tensors:
        num_bytes, num_scales = panel_sizes(tensor.shape, group)
        shapes[f"{tensor.name}.bytes"] = ("uint8", (num_bytes,))
        shapes[f"{tensor.name}.scales"] = ("float32", (num_scales,))

    def fill(arrays: Arrays) -> None:
        for tensor in tensors:
            kernels.quantise(
                stored_matrix(tensor), group, arrays[f"{tensor.name}.bytes"], arrays[f"{tensor.name}.scales"]
            )
            # The weights are not needed again: both forms of all layers at once may be more than memory holds.
            tensor.give_back_pages()

    return Panels(group, cache.arrays(f"int8-{_FORMAT}-group{group}", shapes, fill))


def all_matrices(checkpoint: Checkpoint) -> list[Tensor]:
    """The matrices of every layer, in order."""
    layers = map(checkpoint.layer, range(checkpoint.config.num_hidden_layers))
    return [tensor for layer in layers for tensor in matrices(layer).values()]
