"""Weights: a model's name, folder or file -> a validated checkpoint, its tensors on disk."""

from __future__ import annotations

import os

from qwen3_reranker.errors import InputError
from qwen3_reranker.weights.checkpoint import Checkpoint
from qwen3_reranker.weights.finite import first_not_finite, why_not_finite
from qwen3_reranker.weights.gguf import open_gguf
from qwen3_reranker.weights.hf import open_folder
from qwen3_reranker.weights.hub import HubAccess, hub_access, lasting_name, resolve
from qwen3_reranker.weights.names import LayerTensors
from qwen3_reranker.weights.safetensors import read_entries
from qwen3_reranker.weights.tensor import Source, StoredTensor, Tensor, is_plain

__all__ = [
    "Checkpoint",
    "HubAccess",
    "LayerTensors",
    "Source",
    "StoredTensor",
    "Tensor",
    "first_not_finite",
    "hub_access",
    "is_plain",
    "lasting_name",
    "open_checkpoint",
    "read_entries",
    "resolve",
    "why_not_finite",
]


def open_checkpoint(model: str | os.PathLike[str], revision: str | None = None) -> Checkpoint:
    """Find `model` ("nano", a folder, a GGUF file, a Hub id) and open it. Reads headers, no weights.

    Raises ModelNotFoundError if there is no such model, InputError for what is no name and where it is not clear which
    file is meant, CheckpointError if its files are not as they must be.
    """
    if not isinstance(model, str | os.PathLike):
        raise InputError(f"model must be a name or a path, got {type(model).__name__}")
    path, name = resolve(model, revision), os.fspath(model)
    return open_gguf(path, name) if path.is_file() else open_folder(path, name)
