"""8-bit matrices hold each weight rounded by the largest of its group, where the kernels look for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qwen3_reranker.backends.cpu.array_file import Arrays
from qwen3_reranker.backends.cpu.disk_cache import DiskCache
from qwen3_reranker.backends.cpu.kernels import make_transformer, native_module
from qwen3_reranker.backends.cpu.layer_weights import GROUP, all_matrices, int8_arrays
from qwen3_reranker.weights import Checkpoint, open_checkpoint
from testing.checkpoints import write_checkpoint
from testing.kernel_variants import VARIANTS

# Outputs of a micropanel (kInt8NR in native/kernels/kernels.h).
NR = 64


def checkpoint(folder: Path, dtype: str) -> Checkpoint:
    # Widths that are no multiple of a group or a panel.
    shape = {"hidden_size": 144, "intermediate_size": 200, "num_attention_heads": 6, "head_dim": 24}
    return open_checkpoint(str(write_checkpoint(folder, initializer_range=0.08, dtype=dtype, **shape)))


def quantized(opened: Checkpoint, variant: str, group: int = GROUP) -> Arrays:
    transformer = make_transformer(opened.config, variant, 2)
    return int8_arrays(opened, DiskCache(opened, enabled=False), transformer, group)


def rounded(weights_OI: np.ndarray, group: int) -> tuple[np.ndarray, np.ndarray]:
    """Bytes and scales as native/kernels/kernels.h lays them out, by plain numpy."""
    outputs, inputs = weights_OI.shape
    panels, groups = -(-outputs // NR), -(-inputs // group)
    filled = np.zeros((panels * NR, groups * group), np.float32)
    filled[:outputs, :inputs] = weights_OI
    grouped = filled.reshape(panels, NR, groups, group)
    most = np.abs(grouped).max(axis=3, keepdims=True)
    inverse = np.divide(np.float32(127), most, out=np.zeros_like(most), where=most > 0)
    whole = np.rint(grouped * inverse).astype(np.int16) + 128
    by_fours = whole.reshape(panels, NR, groups, group // 4, 4).transpose(0, 2, 3, 1, 4)
    scales = (most / np.float32(127))[..., 0].transpose(0, 2, 1)
    return by_fours.astype(np.uint8).ravel(), scales.ravel()


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_8_bit_matrices_are_what_numpy_makes_of_the_weights(tmp_path: Path, variant: str, dtype: str) -> None:
    opened = checkpoint(tmp_path, dtype)
    for group in (GROUP, 128):
        arrays = quantized(opened, variant, group)
        for tensor in all_matrices(opened):
            values, scales = arrays[f"{tensor.name}.bytes"], arrays[f"{tensor.name}.scales"]
            expected_values, expected_scales = rounded(tensor.read(), group)
            assert np.array_equal(values, expected_values), tensor.name
            assert np.array_equal(scales, expected_scales), tensor.name
            assert (len(values), len(scales)) == native_module().int8_sizes(*tensor.shape, group)


def test_every_matrix_of_every_layer_is_there_once(tmp_path: Path) -> None:
    opened = checkpoint(tmp_path, "F32")
    names = [tensor.name for tensor in all_matrices(opened)]
    assert len(set(names)) == len(names) == 7 * opened.config.num_hidden_layers
    assert sum(np.prod(tensor.shape) for tensor in all_matrices(opened)) == opened.config.num_linear_parameters
