"""The backends by name: what each can do, stated once for options, flags, reports and whatever opens one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """What a backend can do.

    precisions, kernels: the values that these options may have; the kernels of a family of processors are in the order
    that a processor prefers. reduced_precisions: those that are compared with float32. batch_tokens: tokens that are
    computed at once by default, enough to keep a processor's caches or a GPU's many units busy. overlap_characters: a
    longer list of texts is tokenized in parts of that size, each while the part before is computed; None where
    tokenization takes too little of the time for that. states_memory: how much it takes is known before it is opened.
    applies_head: it gives the logit of each row itself, and so no vectors. takes_engine_options: whether it has options
    of its own.
    """

    precisions: tuple[str, ...]
    kernels: tuple[str, ...]
    batch_tokens: int
    reduced_precisions: tuple[str, ...] = ()
    overlap_characters: int | None = None
    states_memory: bool = True
    applies_head: bool = False
    takes_engine_options: bool = False

    @property
    def screens(self) -> tuple[str, ...]:
        """The precisions that a model in another one may screen in. A process has one vLLM, so that has none."""
        return () if self.applies_head else self.reduced_precisions


SPECS: Mapping[str, BackendSpec] = {
    "cpu": BackendSpec(
        precisions=("float32", "bfloat16", "int8", "int8x2"),
        kernels=(
            "native",
            *("amx", "avx512-bf16", "avx512-vnni", "avx-vnni", "avx2"),
            *("neon-bf16", "neon-i8mm", "neon-dot"),
            "portable",
        ),
        batch_tokens=4096,
        reduced_precisions=("bfloat16", "int8", "int8x2"),
    ),
    "torch": BackendSpec(
        precisions=("float32", "bfloat16", "float16", "float8"),
        kernels=("native", "compiled"),
        batch_tokens=16384,
        reduced_precisions=("float8", "bfloat16", "float16"),
        # Two batches of tokens of about four characters.
        overlap_characters=2 * 16384 * 4,
    ),
    "vllm": BackendSpec(
        precisions=("float32", "bfloat16", "float16"),
        kernels=("native",),
        batch_tokens=8192,
        reduced_precisions=("bfloat16", "float16"),
        states_memory=False,
        applies_head=True,
        takes_engine_options=True,
    ),
    # The server computes in the precision that it was started with, so this only says which one that is.
    "vllm-server": BackendSpec(
        precisions=("float32", "bfloat16", "float16"),
        kernels=("native",),
        batch_tokens=8192,
        states_memory=False,
        applies_head=True,
        takes_engine_options=True,
    ),
    "reference": BackendSpec(
        precisions=("float32", "float64"), kernels=("native",), batch_tokens=4096, states_memory=False
    ),
}
