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
from qwen3_reranker.backends.cpu.kernels import native_module
from qwen3_reranker.weights import Checkpoint, Tensor

GROUP = 64
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


def open_panels(checkpoint: Checkpoint, cache: DiskCache, kernels: Any, group: int = GROUP) -> Panels:
    """The panels of all layers' matrices: from the cache, or rounded now by `kernels` and cached."""
    from qwen3_reranker.backends.cpu.native_layers import matrices, stored_matrix

    tensors: list[Tensor] = []
    for index in range(checkpoint.config.num_hidden_layers):
        tensors.extend(matrices(checkpoint.layer(index)).values())
    outputs_of_a_panel: int = native_module().panel_outputs
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {}
    for tensor in tensors:
        outputs, inputs = tensor.shape
        panels, groups = -(-outputs // outputs_of_a_panel), -(-inputs // group)
        shapes[f"{tensor.name}.bytes"] = ("uint8", (panels * groups * group * outputs_of_a_panel,))
        shapes[f"{tensor.name}.scales"] = ("float32", (panels * groups * outputs_of_a_panel,))

    def fill(arrays: Arrays) -> None:
        for tensor in tensors:
            kernels.quantise(
                stored_matrix(tensor), group, arrays[f"{tensor.name}.bytes"], arrays[f"{tensor.name}.scales"]
            )

    return Panels(group, cache.arrays(f"int8-{_FORMAT}-group{group}", shapes, fill))
