"""Every way to say that a checkpoint is quantised is read before any tensor, and named; what is not read is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.weights import open_checkpoint
from testing.checkpoints import write_checkpoint

WEIGHTS, QUERY = "model.safetensors", "model.layers.0.self_attn.q_proj"
# What published configurations say -> the format's name in the error.
UNREAD: dict[str, tuple[dict[str, Any], str]] = {
    "bitsandbytes nf4": (
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
        "4-bit bitsandbytes (nf4)",
    ),
    "bitsandbytes int8": ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "8-bit bitsandbytes"),
    "bitsandbytes before it had a name": ({"load_in_8bit": True, "load_in_4bit": False}, "8-bit bitsandbytes"),
    "NVFP4 of ModelOpt": ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "ModelOpt NVFP4"),
    "NVFP4 of compressed-tensors": (
        {"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized", "config_groups": {}},
        "compressed-tensors nvfp4-pack-quantized",
    ),
    "one group of a mix": (
        {
            "quant_method": "compressed-tensors",
            "format": "mixed-precision",
            "config_groups": {"a": {"format": "float-quantized"}, "b": {"format": "mxfp4-pack-quantized"}},
        },
        "compressed-tensors mxfp4-pack-quantized",
    ),
    "2 bits of compressed-tensors": (
        {
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "config_groups": {"a": {"weights": {"num_bits": 2}}},
        },
        "2-bit compressed-tensors pack-quantized",
    ),
    "sparsity": (
        {"quant_method": "compressed-tensors", "sparsity_config": {"format": "sparse-24-bitmask"}},
        "compressed-tensors sparse (sparse-24-bitmask)",
    ),
    "rotations": (
        {
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "transform_config": {"config_groups": {"R1": {}}},
        },
        "compressed-tensors with transforms",
    ),
    "AWQ for vectors": ({"quant_method": "awq", "bits": 4, "version": "gemv"}, "4-bit AWQ (gemv)"),
    "3 bits of GPTQ": ({"quant_method": "gptq", "bits": 3}, "3-bit GPTQ"),
    "GPTQ for Marlin": ({"quant_method": "gptq", "bits": 4, "checkpoint_format": "marlin"}, "4-bit GPTQ (marlin)"),
    "AQLM": ({"quant_method": "aqlm"}, "AQLM"),
    "HQQ": ({"quant_method": "hqq", "quant_config": {}}, "HQQ"),
    "EETQ": ({"quant_method": "eetq", "weights": "int8"}, "EETQ"),
    "torchao": ({"quant_method": "torchao", "quant_type": {}}, "torchao"),
    "AutoRound": ({"quant_method": "auto-round", "bits": 4}, "AutoRound"),
    "no name": ({"bits": 4}, "a format without a quant_method, {'bits': 4}"),
    "what comes later": ({"quant_method": "two-and-a-half"}, "'two-and-a-half'"),
}
MLX_UNREAD = {
    "mxfp4": ({"group_size": 32, "bits": 4, "mode": "mxfp4"}, "MLX mxfp4"),
    "mxfp8": ({"group_size": 32, "bits": 8, "mode": "mxfp8"}, "MLX mxfp8"),
    "3 bits": ({"group_size": 64, "bits": 3}, "3-bit MLX"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint of which one matrix is no longer plain numbers."""
    write_checkpoint(tmp_path)
    tensors = load_file(tmp_path / WEIGHTS)
    tensors[f"{QUERY}.weight"] = torch.zeros(32 * 32 // 2, 1, dtype=torch.uint8)
    save_file(tensors, tmp_path / WEIGHTS)
    return tmp_path


def say(folder: Path, file: str = "config.json", **fields: Any) -> None:
    path = folder / file
    path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | fields))


def test_a_format_that_is_no_object_is_shown(folder: Path) -> None:
    say(folder, quantization_config="awq")
    assert "the checkpoint is quantised in 'awq', which is not read" in refusal(folder)


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    assert str(caught.value).isprintable()
    assert "fetch" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("fields", "name"), UNREAD.values(), ids=UNREAD)
def test_a_format_that_is_not_read_is_named_and_what_to_take_instead(
    fields: dict[str, Any], name: str, folder: Path
) -> None:
    say(folder, quantization_config=fields)
    expected = f"the checkpoint is quantised in {name}, which is not read; take the unquantised checkpoint, or a GGUF"
    assert refusal(folder) == f"{folder / 'config.json'}: {expected}"


@pytest.mark.parametrize(("fields", "name"), MLX_UNREAD.values(), ids=MLX_UNREAD)
def test_modes_of_mlx_that_are_not_read_are_named(fields: dict[str, Any], name: str, folder: Path) -> None:
    # MLX writes its fields twice.
    say(folder, quantization=fields, quantization_config=fields)
    assert f"quantised in {name}, which is not read" in refusal(folder)


@pytest.mark.parametrize(
    ("file", "fields", "name"),
    [
        ("quantize_config.json", {"bits": 2, "group_size": 128, "desc_act": False}, "2-bit GPTQ"),
        (
            "quant_config.json",
            {"w_bit": 4, "q_group_size": 128, "quant_method": "awq", "version": "gemv"},
            "AWQ (gemv)",
        ),
        (
            "hf_quant_config.json",
            {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4", "group_size": 16}},
            "ModelOpt NVFP4",
        ),
    ],
)
def test_a_tools_own_file_names_the_format_too(file: str, fields: dict[str, Any], name: str, folder: Path) -> None:
    say(folder, file, **fields)
    said = refusal(folder)
    assert said.startswith(str(folder / file))
    assert name in said


@pytest.mark.parametrize("card", ["base_model: Qwen/Qwen3-Reranker-4B\n", "base_model:\n- Qwen/Qwen3-Reranker-4B\n"])
def test_the_base_that_a_model_card_names_is_what_to_take_instead(card: str, folder: Path) -> None:
    say(folder, quantization_config={"quant_method": "hqq"})
    (folder / "README.md").write_text(f"---\nlicense: apache-2.0\n{card}---\n# Fast\n")
    assert refusal(folder).endswith("take the unquantised checkpoint (Qwen/Qwen3-Reranker-4B), or a GGUF")


def test_plain_weights_open_whatever_was_once_done_to_their_base(tmp_path: Path) -> None:
    """What a merge of an adapter into a base in 4 bits leaves behind: the field, over weights that are whole."""
    write_checkpoint(tmp_path)
    say(tmp_path, quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})
    stored = load_file(tmp_path / WEIGHTS)
    for name, tensor in open_checkpoint(tmp_path).tensors.items():
        np.testing.assert_array_equal(tensor.read(), stored[name].numpy())


@pytest.mark.parametrize(
    ("fields", "suffix"),
    [
        ({"quant_method": "compressed-tensors", "quantization_status": "frozen"}, "weight_scale"),
        ({"quant_method": "gptq", "bits": 4}, "qweight"),
    ],
)
def test_plain_weights_beside_what_quantises_them_are_refused(
    fields: dict[str, Any], suffix: str, tmp_path: Path
) -> None:
    """compressed-tensors rounds such weights by their scales each time it multiplies by them."""
    write_checkpoint(tmp_path)
    say(tmp_path, quantization_config=fields)
    tensors = load_file(tmp_path / WEIGHTS)
    save_file({**tensors, f"{QUERY}.{suffix}": torch.ones(32, 1)}, tmp_path / WEIGHTS)
    with pytest.raises(CheckpointError, match=f"expected .*, as '{QUERY}.{suffix}' lies beside it, got plain F32"):
        open_checkpoint(tmp_path)


def test_scales_of_activations_and_caches_are_left_alone(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    say(tmp_path, quantization_config={"quant_method": "fp8", "activation_scheme": "static"})
    tensors = load_file(tmp_path / WEIGHTS)
    save_file(
        {**tensors, f"{QUERY}.input_scale": torch.ones(()), f"{QUERY}.k_scale": torch.ones(())}, tmp_path / WEIGHTS
    )
    np.testing.assert_array_equal(
        open_checkpoint(tmp_path).tensors[f"{QUERY}.weight"].read(), tensors[f"{QUERY}.weight"]
    )


@pytest.mark.parametrize("fields", [None, {}])
def test_quantised_parts_without_a_word_about_their_format_are_called_that(
    fields: dict[str, Any] | None, tmp_path: Path
) -> None:
    write_checkpoint(tmp_path)
    say(tmp_path, quantization_config=fields)
    tensors = load_file(tmp_path / WEIGHTS)
    del tensors[f"{QUERY}.weight"]
    save_file({**tensors, f"{QUERY}.qweight": torch.zeros(4, 32, dtype=torch.int32)}, tmp_path / WEIGHTS)
    said = refusal_of_other_parts(tmp_path)
    assert f"'{QUERY}.qweight' is there, and config.json says no format" in said


def refusal_of_other_parts(folder: Path) -> str:
    with pytest.raises(CheckpointError, match="is missing, but") as caught:
        open_checkpoint(folder)
    return str(caught.value)


def test_parts_of_another_format_than_the_configuration_names_are_called_that(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    say(tmp_path, quantization_config={"quant_method": "awq", "bits": 4})
    tensors = load_file(tmp_path / WEIGHTS)
    del tensors[f"{QUERY}.weight"]
    save_file({**tensors, f"{QUERY}.weight_packed": torch.zeros(32, 4, dtype=torch.int32)}, tmp_path / WEIGHTS)
    assert f"'{QUERY}.weight_packed' is there, and 4-bit AWQ has no such part" in refusal_of_other_parts(tmp_path)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"quant_method": 4}, "quant_method must be a text, got 4"),
        ({"quant_method": "awq", "version": ["gemm"]}, r"version must be a short text, got \['gemm'\]"),
        ({"quant_method": "awq", "version": "\n" * 9}, "version must be a short text"),
        (
            {"quant_method": "fp8", "weight_block_size": [128, 0]},
            r"two sizes above 0, rows and columns, got \[128, 0\]",
        ),
        ({"quant_method": "fp8", "weight_block_size": 128}, "two sizes above 0, rows and columns, got 128"),
    ],
)
def test_fields_of_no_sense_are_an_error_that_names_them(fields: Any, said: str, folder: Path) -> None:
    say(folder, quantization_config=fields)
    with pytest.raises(CheckpointError, match=said) as caught:
        open_checkpoint(folder)
    assert str(caught.value).startswith(str(folder / "config.json"))
