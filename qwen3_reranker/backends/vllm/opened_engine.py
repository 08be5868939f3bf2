"""The arguments of vLLM's engine -> the engine, in this process. Whatever it says is one of our errors."""

from __future__ import annotations

import gc
import inspect
import os
import random
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import numpy as np
import torch

from qwen3_reranker.backends.vllm.engine_arguments import convert_advice, engine_arguments
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import InputError, OutOfMemoryError, RerankerError, UnavailableError, UnsupportedModelError
from qwen3_reranker.weights import Checkpoint

# Read by vLLM when it is imported or opened; what the user has set stays. Its log would go to standard output, it would
# report its use, and a process of its own would need a guarded main module in the user's script.
_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
}
# The engines in this process. They share vLLM's process groups, which end with the first that closes.
_RUNNING: WeakSet[Any] = WeakSet()
# Of "1 validation error for ModelConfig\nmax_num_seqs\n  ... [type=...": the name, if there is one, and what it says.
_VALIDATION = re.compile(r"validation errors? for \w+\n(.*?)(?: \[type=|$)", re.DOTALL)
_MEMORY = re.compile(r"out of memory|available memory|kv cache memory|can't allocate|not enough memory", re.IGNORECASE)


def open_engine(checkpoint: Checkpoint, options: EngineOptions) -> Any:
    """vLLM's LLM with the checkpoint in it.

    Raises InputError for an option that vLLM lacks or refuses, UnsupportedModelError for a checkpoint that it does not
    run, OutOfMemoryError with its numbers, UnavailableError for anything else that it ends with, and where another one
    runs in this process.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        # Of torch, about what vLLM does.
        warnings.simplefilter("ignore")
        with vllm_errors("does not load"):
            import vllm
            from vllm.platforms import current_platform
        known = {*inspect.signature(vllm.LLM).parameters, *vllm.EngineArgs.__dataclass_fields__} - {"kwargs"}
        on_cpu = current_platform.is_cpu()
        arguments = engine_arguments(checkpoint, options, known, on_cpu)
        if on_cpu:
            _refuse_head_dim(checkpoint)
        in_process = os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
        if in_process:
            _refuse_a_second()
        doing = f"does not open {checkpoint.name} ({convert_advice(checkpoint)} writes another layout)"
        with _process_restored(), vllm_errors(doing, InputError):
            engine = vllm.LLM(**arguments)
    if in_process:
        _RUNNING.add(engine)
    return engine


def close_engine(engine: Any) -> None:
    """End the engine and what it computes with."""
    engine.llm_engine.engine_core.shutdown()
    _RUNNING.discard(engine)


@contextmanager
def vllm_errors(doing: str, refusal: type[RerankerError] = UnavailableError) -> Iterator[None]:
    """Let whatever vLLM raises be one of our errors: OutOfMemoryError, UnavailableError, and `refusal` of a value.

    doing: what vLLM does then, as in "does not load".
    """
    try:
        yield
    except RerankerError:
        raise
    except Exception as error:
        found = _VALIDATION.search(str(error))
        text = found[1].replace("Value error, ", "") if found else str(error)
        said = " ".join(text.split()) or type(error).__name__
        message = f"vLLM {doing}: {said}"
        if isinstance(error, MemoryError) or _MEMORY.search(said):
            raise OutOfMemoryError(
                f"{message}; lower max_length, or set kv_cache_memory_bytes or gpu_memory_utilization in engine_options"
            ) from error
        kind = refusal if isinstance(error, ValueError | TypeError | NotImplementedError) else UnavailableError
        raise kind(message) from error


@contextmanager
def _process_restored() -> Iterator[None]:
    """Undo what vLLM does to the whole process: it seeds every generator, and takes away torch.set_num_threads."""
    set_num_threads, states = torch.set_num_threads, (random.getstate(), np.random.get_state())
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_num_threads = set_num_threads


def _refuse_a_second() -> None:
    if _RUNNING:
        # One that nobody holds any more may wait to be collected.
        gc.collect()
    if _RUNNING:
        raise UnavailableError(
            "vLLM runs one model in a process, and one is open: close it first, or set the variable "
            "VLLM_ENABLE_V1_MULTIPROCESSING=1 before the first is opened, which gives each a process of its own"
        )


def _refuse_head_dim(checkpoint: Checkpoint) -> None:
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    head_dim, sizes = checkpoint.config.head_dim, CPUAttentionBackend.get_supported_head_sizes()
    if head_dim not in sizes:
        raise UnsupportedModelError(
            f"{checkpoint.name}: head_dim is {head_dim}, but on a processor vLLM computes only "
            f'{", ".join(map(str, sizes))}; use backend="cpu"'
        )
