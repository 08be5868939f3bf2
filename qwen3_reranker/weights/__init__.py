"""Weights: whatever the caller calls a model -> an opened, validated checkpoint whose tensors are still on disk."""

from __future__ import annotations

import os

from qwen3_reranker.weights.checkpoint import Checkpoint
from qwen3_reranker.weights.hf import open_folder
from qwen3_reranker.weights.hub import resolve
from qwen3_reranker.weights.names import Layer
from qwen3_reranker.weights.safetensors import read_entries
from qwen3_reranker.weights.tensor import Source, Tensor

__all__ = ["Checkpoint", "Layer", "Source", "Tensor", "open_checkpoint", "read_entries"]


def open_checkpoint(model: str | os.PathLike[str], revision: str | None = None) -> Checkpoint:
    """Find `model` ("nano", a folder, a Hub id) and open it; reads JSON headers, no weights.

    Raises ModelNotFoundError if there is no such model, CheckpointError if its files are not as they must be.
    """
    return open_folder(resolve(model, revision), name=os.fspath(model))
