"""The variants of the kernels that this processor runs, and those of them that round activations to 8 bits."""

from __future__ import annotations

from qwen3_reranker.backends.cpu.kernels import native_module

VARIANTS: tuple[str, ...] = tuple(native_module().variants())
#: In "int8" the variant for AMX takes weights of 8 bits and activations of bfloat16.
VARIANTS_OF_8_BITS = tuple(variant for variant in VARIANTS if variant != "amx")
