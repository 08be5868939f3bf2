"""A checkpoint and a layout -> files, written with one chunk in memory."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from qwen3_reranker.backends.base import OnProgress
from qwen3_reranker.convert.gguf_file import write_gguf
from qwen3_reranker.convert.gguf_model import gguf_model
from qwen3_reranker.convert.hf_folder import WEIGHTS, causal_lm, sentence_transformers, sequence_classification
from qwen3_reranker.convert.output_tensor import OutputTensor
from qwen3_reranker.convert.safetensors_file import write_safetensors
from qwen3_reranker.convert.source_model import EncodingOf, SourceModel
from qwen3_reranker.errors import InputError, unknown
from qwen3_reranker.weights import Checkpoint, StoredTensor, Tensor, is_plain
from qwen3_reranker.weights.hub import is_bundled

LAYOUTS = ("hf", "seq-cls", "sentence-transformers", "gguf")
#: What `quantize` may be for each layout.
ENCODINGS_OF = {
    **dict.fromkeys(("hf", "seq-cls", "sentence-transformers"), ("f32", "f16", "bf16")),
    "gguf": ("f32", "f16", "bf16", "q8_0", "q4_0"),
}
_FOLDERS = {"hf": causal_lm, "seq-cls": sequence_classification, "sentence-transformers": sentence_transformers}


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was written.

    exact: whether every number equals the one that was read. decoded: whether quantised or merged matrices became
    float32, because no encoding was requested.
    """

    path: Path
    layout: str
    num_bytes: int
    exact: bool
    decoded: bool


def convert(
    checkpoint: Checkpoint,
    destination: str | os.PathLike[str],
    to: str,
    quantize: str | None = None,
    *,
    prompt: str | None = None,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
) -> Conversion:
    """Write the checkpoint as `to`: a folder (hf, seq-cls, sentence-transformers) or a gguf file.

    hf is the causal-LM layout. quantize: how matrices are stored: f32, f16, bf16, for gguf also q8_0 and q4_0. None
    keeps their encoding where the layout can, and widens to f32 where it cannot. prompt: name of the model's prompt;
    None for what the files say. An existing destination is an error unless `overwrite`. The result opens under
    `destination`; a name that would open another model is refused before anything is written.
    Raises InputError for impossible arguments, CheckpointError for a source that cannot be read or that the layout
    cannot hold, OSError where the files cannot be written. After an error nothing remains on disk.
    """
    if to not in LAYOUTS:
        raise unknown("layout", to, LAYOUTS)
    if quantize is not None and quantize not in ENCODINGS_OF[to]:
        raise InputError(f"{to} is written in {', '.join(ENCODINGS_OF[to])}, got quantize={quantize!r}")
    path = _checked_path(destination, to)
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already: choose another path, or replace it with overwrite=True")
    model = SourceModel(checkpoint, prompt)
    encoding_of = _encoding(to, quantize)
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        tensors = _write(model, scratch, to, encoding_of, on_progress)
        _replace(scratch, path)
    except BaseException:
        with suppress(OSError):
            shutil.rmtree(scratch) if scratch.is_dir() else scratch.unlink()
        raise
    copied = [(each.encoding, each.values) for each in tensors if not isinstance(each.values, np.ndarray)]
    exact = all(_holds(encoding, tensor) for encoding, tensor in copied)
    matrices = [(encoding, tensor) for encoding, tensor in copied if len(tensor.shape) == 2]
    decoded = quantize is None and any(encoding != tensor.dtype for encoding, tensor in matrices)
    return Conversion(path, to, sum(tensor.num_bytes for tensor in tensors), exact, decoded)


def _checked_path(destination: str | os.PathLike[str], to: str) -> Path:
    """The path to write; raises InputError for a name that means another model or layout."""
    name = os.fspath(destination)
    if is_bundled(name):
        raise InputError(
            f"{name!r} is the model that comes with the package, whatever the folder holds: choose another name"
        )
    path = Path(name).expanduser()
    if path.suffix == ".gguf" and to != "gguf":
        raise InputError(f"{path} has the suffix of a GGUF file, but {to} is a folder: use to='gguf', or another name")
    if to == "gguf" and path.is_dir():
        raise InputError(
            f"{path} is a folder, and gguf is written to a file: choose a name in it, like {path}/model.gguf"
        )
    return path


def _encoding(to: str, quantize: str | None) -> EncodingOf:
    def folder(tensor: Tensor) -> str:
        return quantize.upper() if quantize else tensor.dtype if is_plain(tensor) else "F32"

    def gguf(tensor: Tensor) -> str:
        # llama.cpp multiplies by norms in float32 only.
        if len(tensor.shape) == 1:
            return "F32"
        return quantize.upper() if quantize else tensor.dtype if isinstance(tensor, StoredTensor) else "F32"

    return gguf if to == "gguf" else folder


def _write(
    model: SourceModel, scratch: Path, to: str, encoding_of: EncodingOf, on_progress: OnProgress | None
) -> list[OutputTensor]:
    if to == "gguf":
        metadata, tensors = gguf_model(model, encoding_of)
        with open(scratch, "xb") as file:
            _reported(write_gguf(file, metadata, tensors), tensors, on_progress)
            _flush(file)
        return tensors
    files, tensors = _FOLDERS[to](model, encoding_of)
    scratch.mkdir()
    for name, content in files.items():
        (scratch / name).parent.mkdir(exist_ok=True)
        (scratch / name).write_bytes(content)
    with open(scratch / WEIGHTS, "xb") as file:
        _reported(write_safetensors(file, tensors), tensors, on_progress)
        _flush(file)
    return tensors


def _reported(written: Iterator[int], tensors: list[OutputTensor], on_progress: OnProgress | None) -> None:
    total, done = sum(tensor.num_bytes for tensor in tensors), 0
    for some in written:
        done += some
        if on_progress:
            on_progress(done / total)


def _flush(file: BinaryIO) -> None:
    # A full disk may say so only now, and what replaces another file must be whole.
    file.flush()
    os.fsync(file.fileno())


def _replace(scratch: Path, path: Path) -> None:
    old = None
    if path.exists():
        old = path.with_name(f".{path.name}.{secrets.token_hex(4)}.old")
        path.rename(old)
    scratch.rename(path)
    if old is not None:
        shutil.rmtree(old) if old.is_dir() else old.unlink()


def _holds(encoding: str, tensor: Tensor) -> bool:
    """Whether the encoding keeps every value of the tensor."""
    return tensor.is_float32 if encoding == "F32" else isinstance(tensor, StoredTensor) and encoding == tensor.dtype
