"""A folder's configuration -> how its matrices are quantised. A matrix's name -> the tensor that decodes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen3_reranker.errors import CheckpointError, UnsupportedFormatError
from qwen3_reranker.json_object import read_object, shown
from qwen3_reranker.weights.encodings import PLAIN
from qwen3_reranker.weights.quantised import awq, gptq, mlx, packing, quantised_formats, scaled
from qwen3_reranker.weights.quantised.parts import Parts
from qwen3_reranker.weights.quantised.quantised_formats import Format, named_format
from qwen3_reranker.weights.quantised.quantised_tensor import Decoder, QuantisedTensor
from qwen3_reranker.weights.safetensors import TensorEntry
from qwen3_reranker.weights.tensor import Source

# Where it is said: in config.json, by transformers, by MLX, by what compressed-tensors was before; or in a file of the
# tool's own (AutoGPTQ, AutoAWQ, ModelOpt). MLX writes its fields under both of the first two.
_FIELDS = ("quantization", "quantization_config", "compression_config")
_FILES = ("quantize_config.json", "quant_config.json", "hf_quant_config.json")
# Of activations and caches, which are not quantised here.
_UNUSED = ("input_scale", "input_zero_point", "activation_scale", "output_scale", "k_scale", "v_scale")
_SUFFIXES = {
    quantised_formats.AWQ: awq.SUFFIXES,
    quantised_formats.GPTQ: gptq.SUFFIXES,
    quantised_formats.MLX: mlx.SUFFIXES,
    quantised_formats.COMPRESSED: (*packing.SUFFIXES, *scaled.SUFFIXES),
    quantised_formats.SCALED: scaled.SUFFIXES,
}
_README_BYTES = 1 << 14


@dataclass(frozen=True, slots=True)
class Quantisation:
    """How the matrices of a folder are stored. `config` is the file that says so, `base` what they were made of."""

    format: Format
    config: Source
    base: str | None

    def matrix(
        self, name: str, shape: tuple[int, ...], entries: Mapping[str, TensorEntry], where: Path
    ) -> QuantisedTensor | None:
        """The matrix `name`, decoded when it is read. None where it is stored as plain numbers, or is no matrix.

        `where` is the file to name if something is missing. Raises CheckpointError where it cannot be decoded: one that
        names the format if this is not read, and otherwise the tensor that is missing or not as it must be.
        """
        entry = entries.get(name)
        if len(shape) != 2:
            return None
        if entry is not None and entry.dtype in PLAIN:
            self._refuse_both(name, entry, entries)
            return None
        if self.format.layout is None:
            raise self._refusal()
        if not any(each in entries for each in self.stored_names(name)):
            return None
        parts = Parts(name, (shape[0], shape[1]), entries, where, self.format.name)
        return QuantisedTensor(name, shape, self._decoder(parts), self.config)

    def entry_of_rows(self, name: str, entries: Mapping[str, TensorEntry]) -> TensorEntry | None:
        """The tensor that the file holds in place of the matrix `name`, if any, with its rows."""
        return entries.get(f"{name.removesuffix('weight')}weight_packed")

    def stored_names(self, name: str) -> tuple[str, ...]:
        """Possible names of the matrix's parts, and of scales of activations, which are left alone."""
        if self.format.layout is None:
            return (name,)
        stem = name.removesuffix("weight")
        return (name, *(stem + suffix for suffix in (*_SUFFIXES[self.format.layout], *_UNUSED)))

    def _decoder(self, parts: Parts) -> Decoder:
        layout = self.format.layout
        if layout == quantised_formats.AWQ:
            return awq.awq(parts)
        if layout == quantised_formats.GPTQ:
            return gptq.gptq(parts, self.format.zero_offset)
        if layout == quantised_formats.MLX:
            return mlx.mlx(parts)
        if layout == quantised_formats.COMPRESSED and parts.has("weight_packed"):
            return packing.packed(parts)
        return scaled.scaled(parts, self.format.blocks)

    def _refuse_both(self, name: str, plain: TensorEntry, entries: Mapping[str, TensorEntry]) -> None:
        """A library that finds scales with plain numbers rounds these by them whenever it multiplies."""
        suffixes = () if self.format.layout is None else _SUFFIXES[self.format.layout]
        stem = name.removesuffix("weight")
        beside = next((stem + suffix for suffix in suffixes if suffix != "weight" and stem + suffix in entries), None)
        if beside is not None:
            raise CheckpointError(
                f"{plain.source.path}: tensor {name!r}: expected {self.format.name}, as {beside!r} lies beside it, got "
                f"plain {plain.dtype}; save the checkpoint compressed, or remove what belongs to the quantisation"
            )

    def _refusal(self) -> UnsupportedFormatError:
        unquantised = f"the unquantised checkpoint{'' if self.base is None else f' ({self.base})'}"
        return UnsupportedFormatError(
            f"{self.config.path}: the checkpoint is quantised in {self.format.name}, which is not read; take "
            f"{unquantised}, or a GGUF"
        )


def read_quantisation(config: Path, fields: Mapping[str, Any]) -> Quantisation | None:
    """What config.json (`fields`), or a file next to it, says of quantised matrices. None where nothing does.

    Raises CheckpointError naming the file where what it says makes no sense.
    """
    for key in _FIELDS:
        stored = fields.get(key)
        if stored is not None:
            return _quantisation(stored, config, f"{config}: {key}", "mlx" if key == "quantization" else None)
    for file in _FILES:
        path = config.parent / file
        if path.is_file():
            own = read_object(path)
            return _quantisation(own.get("quantization", own), path, str(path), None)
    return None


def _quantisation(stored: object, path: Path, where: str, method: str | None) -> Quantisation | None:
    if not stored:
        return None
    if not isinstance(stored, dict):
        found = Format(shown(stored))
    else:
        found = named_format(stored if method is None else {**stored, "quant_method": method}, where)
    return Quantisation(found, Source.of(path), _base(path.parent))


def _base(folder: Path) -> str | None:
    """The model that this one was made of, as the model card says."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    with open(card, "rb") as file:
        text = file.read(_README_BYTES).decode("utf-8", "replace")
    found = re.search(r"^base_model:\s*(?:-\s*)?[\"']?([\w.-]+/[\w.-]+)", text, re.MULTILINE | re.ASCII)
    return found[1] if found else None
