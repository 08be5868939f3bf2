"""finite: a number that is not finite is found in whatever way it is stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from qwen3_reranker.weights import first_not_finite, open_checkpoint
from testing.checkpoints import write_checkpoint
from testing.gguf_files import write_gguf
from testing.layouts import SINGLE, edit_tensors, write_adapter

MATRIX, NORM, HEAD = "model.layers.1.mlp.up_proj.weight", "model.layers.0.self_attn.q_norm.weight", "lm_head.weight"
SHAPES = {f"model.layers.{layer}.self_attn.q_proj": (32, 32) for layer in range(2)}


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("name", [MATRIX, NORM, HEAD])
def test_a_number_that_is_not_finite_is_found_and_its_tensor_named(
    name: str, dtype: str, wrong: float, tmp_path: Path
) -> None:
    folder = write_checkpoint(tmp_path, tied=False, dtype=dtype)
    assert first_not_finite(open_checkpoint(folder)) is None
    values = load_file(folder / SINGLE)[name]
    values.view(-1)[-1] = wrong
    edit_tensors(folder / SINGLE, **{name: values})
    found = first_not_finite(open_checkpoint(folder))
    assert found is not None
    assert found.name == name


def test_the_largest_numbers_of_a_type_are_finite(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, dtype="F16")
    edit_tensors(folder / SINGLE, **{MATRIX: torch.full((48, 32), -65504, dtype=torch.float16)})
    assert first_not_finite(open_checkpoint(folder)) is None


def test_the_scale_of_a_quantised_block_counts(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", intermediate_size=64)
    path = write_gguf(tmp_path / "x.gguf", folder, kind="Q8_0")
    checkpoint = open_checkpoint(path)
    assert first_not_finite(checkpoint) is None
    tensor = checkpoint.tensors[MATRIX]
    content = bytearray(path.read_bytes())
    content[tensor.offset + tensor.num_bytes - 34 : tensor.offset + tensor.num_bytes - 32] = b"\x00\x7c"
    path.write_bytes(content)
    found = first_not_finite(open_checkpoint(path))
    assert found is not None
    assert found.name == MATRIX


def test_what_an_adapter_adds_counts(tmp_path: Path) -> None:
    base = write_checkpoint(tmp_path / "base")
    folder = write_adapter(tmp_path / "lora", base, SHAPES, spread=float(np.finfo(np.float32).max))
    assert first_not_finite(open_checkpoint(base)) is None
    found = first_not_finite(open_checkpoint(folder))
    assert found is not None
    assert found.name == "model.layers.0.self_attn.q_proj.weight"
