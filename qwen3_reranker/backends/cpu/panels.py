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
#: The group of Q8_0, whose digits and scales are panels already but for their order.
STORED_GROUP = 32
#: Outputs side by side in a panel (kPanelOutputs in native/kernels/table.h).
PANEL_OUTPUTS = 64
#: Digits of 8 bits that an activation is rounded to, in each precision below float32.
DIGITS = {"int8": 1, "int8x2": 2}
# Raised with every change of the panels' layout or of how weights are rounded.
_FORMAT = 1
_STORED = "Q8_0"


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


def panel_group(checkpoint: Checkpoint) -> int:
    """How many inputs share a scale: those of the file where it holds every matrix of the layers in Q8_0."""
    return STORED_GROUP if all(tensor.dtype == _STORED for tensor in all_matrices(checkpoint)) else GROUP


def open_panels(checkpoint: Checkpoint, cache: DiskCache, kernels: Any, group: int | None = None) -> Panels:
    """The panels of all layers' matrices: from the cache, or made now by `kernels` and cached.

    Without a group asked for, matrices that are all in Q8_0 keep their digits and scales; others are rounded.
    """
    as_stored = group is None and panel_group(checkpoint) == STORED_GROUP
    group = group or panel_group(checkpoint)
    tensors = all_matrices(checkpoint)
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {}
    for tensor in tensors:
        num_bytes, num_scales = panel_sizes(tensor.shape, group)
        shapes[f"{tensor.name}.bytes"] = ("uint8", (num_bytes,))
        shapes[f"{tensor.name}.scales"] = ("float32", (num_scales,))

    def fill(arrays: Arrays) -> None:
        for tensor in tensors:
            panels = arrays[f"{tensor.name}.bytes"], arrays[f"{tensor.name}.scales"]
            if as_stored:
                _lay_out_stored(tensor, *panels)
            else:
                kernels.quantise(stored_matrix(tensor), group, *panels)
            # The weights are not needed again: both forms of all layers at once may be more than memory holds.
            tensor.give_back_pages()

    recipe = "q8_0" if as_stored else "int8"
    return Panels(group, cache.arrays(f"{recipe}-{_FORMAT}-group{group}", shapes, fill))


def _lay_out_stored(tensor: Tensor, values: NDArray[np.uint8], scales: NDArray[np.float32]) -> None:
    """Digits and scales of a matrix in Q8_0, panel by panel; each block is a float16 scale and 32 signed digits."""
    outputs, inputs = tensor.shape
    groups = inputs // STORED_GROUP
    blocks = tensor.stored().reshape(outputs, groups, tensor.encoding.block_bytes)
    # Outputs beyond the matrix are zeros, which 128 stands for.
    values[...] = 128
    values_PGFNI = values.reshape(-1, groups, STORED_GROUP // 4, PANEL_OUTPUTS, 4)
    scales_PGN = scales.reshape(-1, groups, PANEL_OUTPUTS)
    scales_PGN[...] = 0
    for panel, start in enumerate(range(0, outputs, PANEL_OUTPUTS)):
        blocks_NG = blocks[start : start + PANEL_OUTPUTS]
        count = len(blocks_NG)
        digits_NGFI = (blocks_NG[..., 2:] ^ np.uint8(128)).reshape(count, groups, STORED_GROUP // 4, 4)
        values_PGFNI[panel, :, :, :count] = digits_NGFI.transpose(1, 2, 0, 3)
        scales_PGN[panel, :, :count] = np.ascontiguousarray(blocks_NG[..., :2]).view("<f2")[..., 0].T


def all_matrices(checkpoint: Checkpoint) -> list[Tensor]:
    """The matrices of every layer, in order."""
    layers = map(checkpoint.layer, range(checkpoint.config.num_hidden_layers))
    return [tensor for layer in layers for tensor in matrices(layer).values()]
