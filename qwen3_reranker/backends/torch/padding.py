"""A batch's layout -> the same layout filled up to a capacity, so that many batches share one shape."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qwen3_reranker.backends.torch.layout import BatchLayout, Integers, Sequences

_FEWEST_TOKENS = 64
_FEWEST = 16


@dataclass(frozen=True, slots=True)
class Capacity:
    """The shape of a filled-up batch: tokens, sequences, gathered keys, kept tokens, tokens to keep, the longest."""

    tokens: int
    sequences: int
    keys: int
    kept: int
    keep: int
    most_queries: int
    most_keys: int

    @property
    def leaf_keys(self) -> int:
        """Keys of the leaves: those of all sequences at most, and one for each leaf that only fills up."""
        return self.keys + self.sequences


def capacity(layout: BatchLayout, num_kept: int, num_keep: int) -> Capacity:
    """The smallest capacity that holds the batch: tokens in eighths of powers of two, all else in powers of two."""
    leaf_keys = len(layout.leaves.keys_K)
    return Capacity(
        tokens=_eighths(len(layout.tokens_T)),
        sequences=_power(max(len(layout.everyone.query_lengths), len(layout.leaves_F)), _FEWEST),
        keys=_power(max(len(layout.everyone.keys_K), leaf_keys), _FEWEST_TOKENS),
        kept=_power(num_kept, _FEWEST_TOKENS) if num_kept else 0,
        keep=_power(num_keep, _FEWEST_TOKENS) if num_keep else 0,
        most_queries=_power(int(layout.everyone.query_lengths.max()), _FEWEST_TOKENS),
        most_keys=_power(int(layout.everyone.key_lengths.max()), _FEWEST_TOKENS),
    )


def filled(layout: BatchLayout, num_kept: int, to: Capacity) -> BatchLayout:
    """The layout with as many tokens, sequences, keys and leaves as the capacity; what fills up changes no result.

    Tokens that fill up belong to no sequence; sequences that fill up have no queries and no keys; leaves that fill up
    are the first token, looking at one key.
    """
    everyone, leaves = layout.everyone, layout.leaves
    shift = to.kept - num_kept
    more = to.sequences - len(layout.leaves_F)
    leaf_starts = np.concatenate((leaves.key_starts_S1, leaves.key_starts_S1[-1] + 1 + np.arange(more)))
    return replace(
        layout,
        tokens_T=_longer(layout.tokens_T, to.tokens, 0),
        positions_T=_longer(layout.positions_T, to.tokens, 0),
        everyone=Sequences(
            _longer(everyone.query_starts_S1, to.sequences + 1, int(everyone.query_starts_S1[-1])),
            _longer(everyone.key_starts_S1, to.sequences + 1, int(everyone.key_starts_S1[-1])),
            _longer(_shifted(everyone.keys_K, num_kept, shift), to.keys, 0),
        ),
        leaves=Sequences(
            np.arange(to.sequences + 1),
            leaf_starts,
            _longer(_shifted(leaves.keys_K, num_kept, shift), to.leaf_keys, 0),
        ),
        leaves_F=_longer(layout.leaves_F, to.sequences, 0),
    )


def _shifted(keys_K: Integers, num_kept: int, shift: int) -> Integers:
    # The batch's own keys lie behind the kept ones, which have more room now.
    moved: Integers = np.where(keys_K < num_kept, keys_K, keys_K + shift)
    return moved


def _longer(values: Integers, length: int, fill: int) -> Integers:
    return np.concatenate((values, np.full(length - len(values), fill, dtype=np.int64)))


def _power(count: int, fewest: int) -> int:
    return max(fewest, 1 << (count - 1).bit_length())


def _eighths(count: int) -> int:
    step = max(_FEWEST_TOKENS, (1 << (count - 1).bit_length()) >> 4)
    return -(-count // step) * step
