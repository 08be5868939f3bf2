"""Keys and values of the tokens that every row begins with, in float32 in every precision.

Qwen3's massive activations are reported to be on the first token, which this prefix holds: heads that attend to it
would carry its rounding into every row (docs/log.md). They are the same in every call, so they stay for the life of the
backend.
"""

from __future__ import annotations

import hashlib
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.backends.cpu.array_file import Arrays
from qwen3_reranker.backends.cpu.disk_cache import DiskCache
from qwen3_reranker.backends.cpu.forward import CpuForward, KeysValues
from qwen3_reranker.backends.cpu.kernels import make_transformer
from qwen3_reranker.backends.cpu.layer_weights import all_matrices, stored_layers
from qwen3_reranker.plan import Plan, build, split
from qwen3_reranker.records import Receipt, Row
from qwen3_reranker.weights import Checkpoint

# Raised with every change of the bits that the kernels give.
_FORMAT = 2
# Digits of the tokens' SHA-256 in a name: 64 bits.
_HASH_DIGITS = 16


class ConstantPrefix:
    """Tokens, and their keys and values in every layer: (layers, 2, key/value heads, tokens, head_dim)."""

    def __init__(self, tokens: NDArray[np.int32], keys_values: KeysValues) -> None:
        self._tokens = tokens
        self._keys_values = keys_values

    def segment_kv(self, plan: Plan, segment: int) -> KeysValues | None:
        """Keys and values of a segment of the plan that is within the prefix, or None."""
        start = int(plan.offsets_S[segment])
        path = np.concatenate([plan.tokens(each) for each in [*plan.ancestors(segment), segment]])
        if len(path) > len(self._tokens) or not np.array_equal(path, self._tokens[: len(path)]):
            return None
        return np.ascontiguousarray(self._keys_values[:, :, :, start : len(path)])

    def segments(self, plan: Plan) -> dict[int, KeysValues]:
        """The plan's segments that are within the prefix, with their keys and values."""
        early = np.flatnonzero(plan.starts_S1[1:] - plan.starts_S1[:-1] + plan.offsets_S <= len(self._tokens))
        found = ((segment, self.segment_kv(plan, segment)) for segment in early.tolist())
        return {segment: keys_values for segment, keys_values in found if keys_values is not None}


def compute_prefix(
    checkpoint: Checkpoint, tokens: NDArray[np.int32], cache: DiskCache, variant: str, num_threads: int
) -> ConstantPrefix:
    """The prefix of these tokens, (tokens,): from the cache, or computed now in float32 and cached.

    variant: the kernels' own name. Raises CheckpointError for weights that cannot be read or that change meanwhile.
    """
    config = checkpoint.config
    shape = (config.num_hidden_layers, 2, config.num_key_value_heads, len(tokens), config.head_dim)

    def fill(arrays: Arrays) -> None:
        plan = build([Row(tokens, (), Receipt(0, 0, 0, 0))])
        [batch] = split(plan, max(1, len(tokens)))
        matrices = all_matrices(checkpoint)

        def forget_layers(_: float) -> None:
            # Read once, and with 8-bit weights never again: a large model's layers must not add up in memory.
            for tensor in matrices:
                tensor.give_back_pages()

        transformer = make_transformer(config, variant, num_threads)
        with closing(CpuForward(checkpoint, transformer, stored_layers(checkpoint, keep=False))) as forward:
            kv_cache = {0: forward.new_kv(len(tokens))}
            forward(plan, batch, kv_cache, forget_layers)
        arrays["keys_values"][...] = kv_cache[0]

    name = hashlib.sha256(tokens.tobytes()).hexdigest()[:_HASH_DIGITS]
    # Variants add in orders of their own: a cache file of one variant must not be read by another.
    arrays = cache.arrays(f"prefix-{_FORMAT}-{variant}-{name}", {"keys_values": ("float32", shape)}, fill)
    return ConstantPrefix(tokens, arrays["keys_values"])
