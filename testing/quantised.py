"""Checkpoints in quantised formats, made of plain ones: digits and scales are chosen here and packed as published.

What a matrix decodes to is known before anything is packed, (digit - zero) * scale, so that nothing of the reader, and
no unpacking at all, is needed to say what it must read.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

Parts = dict[str, torch.Tensor]
#: A matrix -> its parts by suffix, and what they decode to.
Quantise = Callable[[torch.Tensor], tuple[Parts, torch.Tensor]]
_GROUP = 32
_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
_random = np.random.default_rng(5)


@dataclass(frozen=True)
class Kind:
    """A format: what config.json says of it under `key`, and how it stores a matrix; `words`: the word vectors too."""

    fields: dict[str, Any]
    quantise: Quantise
    key: str = "quantization_config"
    words: bool = False


def write_quantised(folder: Path, base: Path, kind: Kind) -> Path:
    """Write `base`, a folder of plain weights, in that format, and the decoded weights in folder/decoded."""
    twin = folder / "decoded"
    for target in (folder, twin):
        target.mkdir(parents=True, exist_ok=True)
        for path in base.iterdir():
            if path.suffix == ".json":
                shutil.copyfile(path, target / path.name)
    config = json.loads((base / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, kind.key: kind.fields}))
    stored: Parts = {}
    plain = load_file(base / "model.safetensors")
    for name, values in list(plain.items()):
        stem = name.removesuffix("weight")
        if values.dim() != 2 or not ("proj" in name or (kind.words and "embed_tokens" in name)):
            stored[name] = values
            continue
        parts, plain[name] = kind.quantise(values.float())
        stored |= {stem + suffix: part.contiguous() for suffix, part in parts.items()}
    save_file(stored, folder / "model.safetensors", {"format": "pt"})
    save_file({name: values.float().contiguous() for name, values in plain.items()}, twin / "model.safetensors")
    return folder


def _half(values: torch.Tensor, dtype: torch.dtype = torch.float16) -> torch.Tensor:
    """Values as `dtype` holds them, in float32."""
    return values.to(dtype).float()


def _grouped(values: torch.Tensor, bits: int, group: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Digits (outputs, inputs), zeros and scales (outputs, groups): asymmetric, zeros of every size among them."""
    split = values.unflatten(1, (-1, group))
    low, high = split.amin(2).clamp(max=0), split.amax(2).clamp(min=0)
    most = 2**bits - 1
    scales = _half((high - low) / most)
    zeros = (-low / scales).round().clamp(0, most)
    digits = (split / scales[:, :, None] + zeros[:, :, None]).round().clamp(0, most)
    return digits.flatten(1), zeros, scales


def _value(digits: torch.Tensor, zeros: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    group = digits.shape[1] // zeros.shape[1]
    spread = [each.repeat_interleave(group, 1) for each in (zeros, scales)]
    return (digits - spread[0]) * spread[1]


def _words(digits: torch.Tensor, bits: int, order: tuple[int, ...] | None = None) -> torch.Tensor:
    """Digits of a row in words of 32 bits, lowest first, or in that order: (rows, words)."""
    a_word = 32 // bits
    padded = torch.nn.functional.pad(digits.long(), (0, -digits.shape[1] % a_word)).unflatten(1, (-1, a_word))
    words = torch.zeros(padded.shape[:2], dtype=torch.int64)
    for place, digit in enumerate(order or range(a_word)):
        words |= padded[:, :, digit] << (bits * place)
    return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)


def awq(values: torch.Tensor) -> tuple[Parts, torch.Tensor]:
    """As WQLinear_GEMM.from_linear of AutoAWQ packs."""
    digits, zeros, scales = _grouped(values, 4, _GROUP)
    parts = {
        "qweight": _words(digits.T, 4, _AWQ_ORDER),
        "qzeros": _words(zeros.T, 4, _AWQ_ORDER),
        "scales": scales.T.half(),
    }
    return parts, _value(digits, zeros, scales)


def gptq(bits: int, *, offset: int, ordered: bool) -> Quantise:
    """As QuantLinear.pack of AutoGPTQ, with groups of any inputs; its first format subtracts `offset` from zeros."""

    def quantise(values: torch.Tensor) -> tuple[Parts, torch.Tensor]:
        inputs = values.shape[1]
        places = torch.from_numpy(_random.permutation(inputs)) if ordered else torch.arange(inputs)
        back = torch.argsort(places)
        digits, zeros, scales = _grouped(values[:, places], bits, _GROUP)
        parts = {
            "qweight": _words(digits[:, back], bits).T,
            "qzeros": _words((zeros.T - offset) % 2**bits, bits),
            "scales": scales.T.half(),
            "g_idx": (back // _GROUP).to(torch.int32),
        }
        return parts, _value(digits, zeros, scales)[:, back]

    return quantise


def mlx(bits: int) -> Quantise:
    """As mx.quantize does: a bias in place of a zero."""

    def quantise(values: torch.Tensor) -> tuple[Parts, torch.Tensor]:
        split = values.unflatten(1, (-1, _GROUP))
        biases = _half(split.amin(2), torch.bfloat16)
        scales = _half((split.amax(2) - biases) / (2**bits - 1), torch.bfloat16)
        digits = ((split - biases[:, :, None]) / scales[:, :, None]).round().clamp(0, 2**bits - 1)
        words = _words(digits.flatten(1), bits).view(torch.uint32)
        parts = {"weight": words, "scales": scales.bfloat16(), "biases": biases.bfloat16()}
        return parts, (digits * scales[:, :, None] + biases[:, :, None]).flatten(1)

    return quantise


def packed(bits: int, *, group: int | None = _GROUP, zeros: bool = False) -> Quantise:
    """As compressed-tensors' pack_to_int32 does, half the range added to digits and zeros."""

    def quantise(values: torch.Tensor) -> tuple[Parts, torch.Tensor]:
        digits, zero, scales = _grouped(values, bits, group or values.shape[1])
        if not zeros:
            zero = torch.full_like(zero, 2 ** (bits - 1))
        parts = {
            "weight_packed": _words(digits, bits),
            "weight_scale": scales.half(),
            "weight_shape": torch.tensor(values.shape),
        }
        if zeros:
            parts["weight_zero_point"] = _words(zero.T, bits).T
        return parts, _value(digits, zero, scales)

    return quantise


def scaled(dtype: torch.dtype, height: int | None, width: int | None, suffix: str = "weight_scale") -> Quantise:
    """One number of 8 bits a weight and a scale for each block of it; None is as many as there are."""

    def quantise(values: torch.Tensor) -> tuple[Parts, torch.Tensor]:
        rows, inputs = values.shape
        tall, wide = height or rows, width or inputs
        most = 127 if dtype == torch.int8 else torch.finfo(dtype).max
        scales = torch.ones(-(-rows // tall), -(-inputs // wide))
        for row in range(scales.shape[0]):
            for column in range(scales.shape[1]):
                block = values[row * tall : (row + 1) * tall, column * wide : (column + 1) * wide]
                scales[row, column] = block.abs().max() / most
        scales = _half(scales, torch.bfloat16) if height == 1 else scales
        spread = scales.repeat_interleave(tall, 0)[:rows].repeat_interleave(wide, 1)[:, :inputs]
        numbers = (values / spread).clamp(-most, most)
        numbers = (numbers.round() if dtype == torch.int8 else numbers).to(dtype)
        stored = scales.bfloat16() if height == 1 else scales
        parts = {"weight": numbers, suffix: stored.reshape(()) if scales.numel() == 1 else stored}
        return parts, numbers.float() * spread

    return quantise


def _compressed(form: str, **weights: Any) -> dict[str, Any]:
    return {
        "quant_method": "compressed-tensors",
        "format": form,
        "quantization_status": "compressed",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": None}},
        "ignore": ["lm_head"],
    }


_FP8 = torch.float8_e4m3fn
_GPTQ = {"quant_method": "gptq", "group_size": _GROUP, "sym": False}
_MLX = {"group_size": _GROUP, "mode": "affine"}
KINDS = {
    "FP8, a scale a matrix": Kind(
        {"quant_method": "fp8", "activation_scheme": "static", "weight_block_size": None}, scaled(_FP8, None, None)
    ),
    "FP8, a scale a row": Kind(_compressed("float-quantized", num_bits=8, type="float"), scaled(_FP8, 1, None)),
    "FP8, a scale a block": Kind(
        {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [24, 20]},
        scaled(_FP8, 24, 20, "weight_scale_inv"),
    ),
    "W8A8": Kind(_compressed("int-quantized", num_bits=8, type="int"), scaled(torch.int8, 1, None)),
    "W8A16, a scale a group": Kind(
        _compressed("int-quantized", num_bits=8, type="int", strategy="group", group_size=_GROUP),
        scaled(torch.int8, 1, _GROUP),
        words=True,
    ),
    "MLX 4-bit": Kind({**_MLX, "bits": 4}, mlx(4), "quantization", words=True),
    "MLX 8-bit": Kind({**_MLX, "bits": 8}, mlx(8), "quantization", words=True),
    "AWQ": Kind({"quant_method": "awq", "bits": 4, "group_size": _GROUP, "zero_point": True, "version": "gemm"}, awq),
    "W4A16": Kind(_compressed("pack-quantized", num_bits=4, group_size=_GROUP), packed(4)),
    "W4A16_ASYM": Kind(
        _compressed("pack-quantized", num_bits=4, group_size=_GROUP, symmetric=False), packed(4, zeros=True)
    ),
    "W8A16": Kind(_compressed("pack-quantized", num_bits=8, strategy="channel"), packed(8, group=None)),
    "GPTQ 4-bit": Kind({**_GPTQ, "bits": 4, "desc_act": False}, gptq(4, offset=1, ordered=False)),
    "GPTQ 4-bit, ordered": Kind(
        {**_GPTQ, "bits": 4, "desc_act": True, "checkpoint_format": "gptq"}, gptq(4, offset=1, ordered=True)
    ),
    "GPTQ 8-bit, second format": Kind(
        {**_GPTQ, "bits": 8, "desc_act": True, "checkpoint_format": "gptq_v2"}, gptq(8, offset=0, ordered=True)
    ),
}
