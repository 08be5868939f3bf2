"""A batch -> the same batch padded to a shape that shares a CUDA graph."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qwen3_reranker.backends.layout import BatchLayout, Integers
from qwen3_reranker.backends.torch.varlen import AttentionMetadata, VarlenMetadata

_MIN_TOKENS = 64
_MIN_SEQUENCES = 16


@dataclass(frozen=True, slots=True)
class GraphShape:
    """What batches of one CUDA graph share: numbers of tokens, sequences, keys and so on.

    cached: tokens of cached segments. keep: tokens whose keys and values are returned.
    """

    tokens: int
    sequences: int
    keys: int
    cached: int
    keep: int
    max_seqlen_q: int
    max_seqlen_k: int

    @property
    def leaf_keys(self) -> int:
        """Keys of the leaves: at most those of all sequences, and one a padded leaf."""
        return self.keys + self.sequences


def graph_shape(layout: BatchLayout, metadata: AttentionMetadata, num_cached: int, num_keep: int) -> GraphShape:
    """The smallest shape that holds the batch. Tokens come in eighths of powers of two, the rest in powers of two."""
    all_queries, leaf_queries = metadata.all_queries, metadata.leaf_queries
    return GraphShape(
        tokens=_round_to_eighth(len(layout.tokens_T)),
        sequences=_round_to_power(max(len(all_queries.seqlens_q), len(layout.leaves_F)), _MIN_SEQUENCES),
        keys=_round_to_power(max(len(all_queries.kv_indices), len(leaf_queries.kv_indices)), _MIN_TOKENS),
        cached=_round_to_power(num_cached, _MIN_TOKENS) if num_cached else 0,
        keep=_round_to_power(num_keep, _MIN_TOKENS) if num_keep else 0,
        max_seqlen_q=_round_to_power(all_queries.max_seqlen_q, _MIN_TOKENS),
        max_seqlen_k=_round_to_power(all_queries.max_seqlen_k, _MIN_TOKENS),
    )


def pad_to(
    shape: GraphShape, layout: BatchLayout, metadata: AttentionMetadata, num_cached: int
) -> tuple[BatchLayout, AttentionMetadata]:
    """The batch with as many tokens, sequences, keys and leaves as the shape. Padding changes no result.

    Tokens of padding belong to no sequence. Sequences of padding have no queries and no keys. Leaves of padding are the
    first token, which reads one key.
    """
    all_queries, leaf_queries = metadata.all_queries, metadata.leaf_queries
    shift = shape.cached - num_cached
    num_padding = shape.sequences - len(layout.leaves_F)
    padded_layout = replace(
        layout,
        tokens_T=_padded(layout.tokens_T, shape.tokens, 0),
        positions_T=_padded(layout.positions_T, shape.tokens, 0),
        leaves_F=_padded(layout.leaves_F, shape.sequences, 0),
    )
    padded_metadata = replace(
        metadata,
        all_queries=VarlenMetadata(
            _padded(all_queries.cu_seqlens_q, shape.sequences + 1, int(all_queries.cu_seqlens_q[-1])),
            _padded(all_queries.cu_seqlens_k, shape.sequences + 1, int(all_queries.cu_seqlens_k[-1])),
            _padded(_shifted(all_queries.kv_indices, num_cached, shift), shape.keys, 0),
            shape.max_seqlen_q,
            shape.max_seqlen_k,
        ),
        leaf_queries=VarlenMetadata(
            np.arange(shape.sequences + 1),
            np.concatenate((leaf_queries.cu_seqlens_k, leaf_queries.cu_seqlens_k[-1] + 1 + np.arange(num_padding))),
            _padded(_shifted(leaf_queries.kv_indices, num_cached, shift), shape.leaf_keys, 0),
            1,
            shape.max_seqlen_k,
        ),
    )
    return padded_layout, padded_metadata


def _shifted(kv_indices: Integers, num_cached: int, shift: int) -> Integers:
    # The batch's own keys come after the cached ones, of which there are more now.
    shifted: Integers = np.where(kv_indices < num_cached, kv_indices, kv_indices + shift)
    return shifted


def _padded(values: Integers, length: int, value: int) -> Integers:
    return np.concatenate((values, np.full(length - len(values), value, dtype=np.int64)))


def _round_to_power(count: int, minimum: int) -> int:
    return max(minimum, 1 << (count - 1).bit_length())


def _round_to_eighth(count: int) -> int:
    step = max(_MIN_TOKENS, (1 << (count - 1).bit_length()) >> 4)
    return -(-count // step) * step
