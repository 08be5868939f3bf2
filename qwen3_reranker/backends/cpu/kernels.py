"""The native kernels: whether they are built, which variant a name means, and a network of their kind."""

from __future__ import annotations

import logging
from types import ModuleType
from typing import Any

from qwen3_reranker.config import ModelConfig
from qwen3_reranker.errors import UnavailableError

INTERFACE = 4
_REBUILD = (
    "install a C++17 compiler (Debian: apt install g++) and then the package again, or without a compiler use "
    'backend="torch", or backend="reference" with precision="float32", which is slow'
)


def native_module() -> ModuleType:
    """The compiled module; raises UnavailableError, which says why and what to do, where there is none that loads."""
    try:
        import qwen3_reranker_kernels
    except ModuleNotFoundError as error:
        message = f"the native kernels were not built when the package was installed; {_REBUILD}"
        raise UnavailableError(message) from error
    except ImportError as error:
        # Such as a C++ library older than the one it was built with; a loader's message may have several lines.
        reason = " ".join(str(error).split())
        raise UnavailableError(f"the native kernels cannot be loaded ({reason}); {_REBUILD}") from error
    if qwen3_reranker_kernels.interface != INTERFACE:
        raise UnavailableError(
            f"the native kernels speak interface {qwen3_reranker_kernels.interface}, this package {INTERFACE}: "
            f"they were built from other sources; {_REBUILD}"
        )
    module: ModuleType = qwen3_reranker_kernels
    return module


def variant(name: str) -> str:
    """The variant that `name` asks for: "native" is the best that this processor runs, others are themselves.

    Raises UnavailableError for one that is not built or does not run here.
    """
    usable: list[str] = native_module().variants()
    chosen = usable[0] if name == "native" else name
    if chosen not in usable:
        raise UnavailableError(
            f"the kernels {name!r} do not run on this processor; those that do are {', '.join(usable)}"
        )
    if name == "native":
        logging.getLogger(__name__).info("kernels: %s, the first this processor runs of %s", chosen, ", ".join(usable))
    return chosen


def make_transformer(config: ModelConfig, variant: str, num_threads: int) -> Any:
    """The kernels' TransformerCpu for networks of this shape; its threads start when it first computes."""
    return native_module().TransformerCpu(
        variant,
        hidden=config.hidden_size,
        heads=config.num_attention_heads,
        num_kv_heads=config.num_key_value_heads,
        head_dim=config.head_dim,
        epsilon=config.rms_norm_eps,
        threads=num_threads,
    )
