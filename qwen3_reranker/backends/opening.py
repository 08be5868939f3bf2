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


def open_backend(checkpoint: Checkpoint, options: EngineOptions, constant_prefix: NDArray[np.int32]) -> Backend:
    """The backend that the options name, never another. constant_prefix: tokens that every row begins with, maybe none.

    Raises UnavailableError for torch where it is not installed.
    """
    if options.backend == "torch":
        require_torch()
    module = import_module(f"qwen3_reranker.backends.{options.backend}")
    backend: Backend = module.open_backend(checkpoint, options, constant_prefix)
    return backend


def require_torch() -> None:
    """Raise UnavailableError where torch is not installed. It is no part of the core, and takes seconds to import."""
    if find_spec("torch") is None:
        raise UnavailableError(
            'backend="torch" needs torch, which is not installed: pip install "qwen3_reranker[torch]"'
        )
