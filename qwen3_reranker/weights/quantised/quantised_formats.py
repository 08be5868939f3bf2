"""quantization_config, or MLX's quantization -> the format's name, and whether it is read here.

Fields: QuantizationConfigMixin of transformers (utils/quantization_config.py), QuantizationConfig of
compressed-tensors, hf_quant_config.json of NVIDIA's ModelOpt, quantize_config.json of AutoGPTQ, and MLX's convert.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.json_object import shown

#: How the format's matrices are laid out, as far as they are read.
AWQ, GPTQ, MLX, COMPRESSED, SCALED = "awq", "gptq", "mlx", "compressed", "scaled"
READ_BITS = (4, 8)

_NAMES = {
    "aqlm": "AQLM",
    "auto-round": "AutoRound",
    "awq": "AWQ",
    "bitnet": "BitNet",
    "bitsandbytes": "bitsandbytes",
    "compressed-tensors": "compressed-tensors",
    "eetq": "EETQ",
    "fbgemm_fp8": "FBGEMM FP8",
    "fp8": "FP8",
    "fp_quant": "FP-Quant",
    "gptq": "GPTQ",
    "higgs": "HIGGS",
    "hqq": "HQQ",
    "mlx": "MLX",
    "modelopt": "ModelOpt",
    "mxfp4": "MXFP4",
    "mxfp8": "MXFP8",
    "nvfp4": "NVFP4",
    "quanto": "Quanto",
    "quark": "Quark",
    "sinq": "SINQ",
    "spqr": "SpQR",
    "torchao": "torchao",
    "vptq": "VPTQ",
}
# Of compressed-tensors: what holds one number, or one packed number, for each weight, and scales.
_COMPRESSED_READ = ("pack-quantized", "int-quantized", "float-quantized", "naive-quantized", "mixed-precision")


@dataclass(frozen=True, slots=True)
class Format:
    """What a configuration says of how matrices are stored. name: as people know the format.

    layout: which of the layouts above; None where the format is not read. zero_offset: what GPTQ adds to a stored zero.
    blocks: rows and columns that share a scale, as far as the configuration names such blocks.
    """

    name: str
    layout: str | None = None
    zero_offset: int = 0
    blocks: tuple[tuple[int, int], ...] = ()


def named_format(fields: Mapping[str, Any], where: str) -> Format:
    """The format that these fields of a quantization_config describe. Raises CheckpointError for fields of no sense."""
    method = fields.get("quant_method", _unnamed_method(fields))
    if method is None:
        return Format(f"a format without a quant_method, {shown(dict(fields))}")
    if not isinstance(method, str):
        raise CheckpointError(f"{where}: quant_method must be a text, got {shown(method)}")
    reader = _BY_METHOD.get(method.lower())
    return Format(_NAMES.get(method.lower(), shown(method))) if reader is None else reader(fields, where)


def _unnamed_method(fields: Mapping[str, Any]) -> str | None:
    # bitsandbytes before it wrote its name; AutoGPTQ's and ModelOpt's own files; MLX, whose fields have no name.
    if fields.get("load_in_4bit") or fields.get("load_in_8bit"):
        return "bitsandbytes"
    if "quant_algo" in fields:
        return "modelopt"
    if "desc_act" in fields:
        return "gptq"
    return "mlx" if {"group_size", "bits"} <= fields.keys() else None


def _bitsandbytes(fields: Mapping[str, Any], where: str) -> Format:
    if fields.get("load_in_4bit"):
        return Format(f"4-bit bitsandbytes ({_text(fields, 'bnb_4bit_quant_type', 'fp4', where)})")
    return Format("8-bit bitsandbytes" if fields.get("load_in_8bit") else "bitsandbytes")


def _awq(fields: Mapping[str, Any], where: str) -> Format:
    bits = _bits(fields, 4)
    version = _text(fields, "version", _text(fields, "format", "gemm", where), where).lower()
    if version != "gemm":
        return Format(f"{bits}-bit AWQ ({version})")
    return Format(f"{bits}-bit AWQ", AWQ if bits == 4 else None)


def _gptq(fields: Mapping[str, Any], where: str) -> Format:
    bits = _bits(fields, 4)
    version = _text(fields, "checkpoint_format", _text(fields, "format", "gptq", where), where).lower()
    if version not in ("gptq", "gptq_v2"):
        return Format(f"{bits}-bit GPTQ ({version})")
    return Format(f"{bits}-bit GPTQ", GPTQ if bits in READ_BITS else None, int(version == "gptq"))


def _mlx(fields: Mapping[str, Any], where: str) -> Format:
    mode = _text(fields, "mode", "affine", where)
    bits = _bits(fields, 4)
    if mode != "affine":
        return Format(f"MLX {mode}")
    return Format(f"{bits}-bit MLX", MLX if bits in READ_BITS else None)


def _fp8(fields: Mapping[str, Any], where: str) -> Format:
    block = fields.get("weight_block_size")
    return Format("FP8", SCALED, blocks=() if block is None else (_block(block, where),))


def _fbgemm(fields: Mapping[str, Any], where: str) -> Format:
    return Format(_NAMES["fbgemm_fp8"], SCALED)


def _modelopt(fields: Mapping[str, Any], where: str) -> Format:
    algorithm = _text(fields, "quant_algo", "of no named algorithm", where)
    return Format(f"ModelOpt {algorithm}", SCALED if algorithm == "FP8" else None)


def _compressed(fields: Mapping[str, Any], where: str) -> Format:
    groups = fields.get("config_groups")
    schemes = [group for group in groups.values() if isinstance(group, dict)] if isinstance(groups, dict) else []
    formats = [_text(each, "format", "pack-quantized", where) for each in (fields, *schemes)]
    stored = next((each for each in formats if each not in _COMPRESSED_READ), formats[0])
    name = "compressed-tensors" + (f" {stored}" if isinstance(fields.get("format"), str) else "")
    sparsity = fields.get("sparsity_config")
    if isinstance(sparsity, dict) and sparsity.get("format", "dense") != "dense":
        return Format(f"compressed-tensors sparse ({_text(sparsity, 'format', '', where)})")
    if fields.get("transform_config"):
        # Their rotations are made of activations too, while the network runs.
        return Format("compressed-tensors with transforms")
    if stored not in _COMPRESSED_READ:
        return Format(name)
    weights = [scheme["weights"] for scheme in schemes if isinstance(scheme.get("weights"), dict)]
    odd = next((each["num_bits"] for each in weights if each.get("num_bits", 8) not in READ_BITS), None)
    if odd is not None:
        return Format(f"{shown(odd)}-bit {name}")
    found = [each["block_structure"] for each in weights if each.get("block_structure")]
    return Format(name, COMPRESSED, blocks=tuple(_block(block, where) for block in found))


_BY_METHOD = {
    "awq": _awq,
    "bitsandbytes": _bitsandbytes,
    "compressed-tensors": _compressed,
    "fbgemm_fp8": _fbgemm,
    "fp8": _fp8,
    "gptq": _gptq,
    "mlx": _mlx,
    "modelopt": _modelopt,
}


def _bits(fields: Mapping[str, Any], usual: int) -> Any:
    # AutoAWQ's own file says w_bit. Its value is shown in a message.
    bits = fields.get("bits", fields.get("w_bit", usual))
    return bits if isinstance(bits, int) else shown(bits)


def _text(fields: Mapping[str, Any], name: str, usual: str, where: str) -> str:
    value = fields.get(name)
    if value is None:
        return usual
    if not isinstance(value, str) or not value.isprintable() or len(value) > 40:
        raise CheckpointError(f"{where}: {name} must be a short text, got {shown(value)}")
    return value


def _block(block: object, where: str) -> tuple[int, int]:
    if isinstance(block, list) and len(block) == 2 and all(type(size) is int and size > 0 for size in block):
        return block[0], block[1]
    raise CheckpointError(
        f"{where}: a block of weights must be two sizes above 0, rows and columns, got {shown(block)}"
    )
