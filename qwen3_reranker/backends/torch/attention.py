"""Exact attention of a tree's tokens: each sequence over its ancestors' keys and its own, in one of two kernels.

flash: one varlen FlashAttention call over gathered keys; CUDA, bfloat16 and float16. sdpa: padded buckets of sequences
of like length through scaled_dot_product_attention; any device and precision.

Shapes: T queries, P keys of the pool, K gathered keys, S sequences, H query heads, G key/value heads, R = H / G,
E head_dim; of one bucket: B sequences, Q queries and C keys of the longest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from qwen3_reranker.backends.torch.layout import Integers, Sequences
from qwen3_reranker.backends.torch.packed import Attend, PrepareAttention

# Scores of one head that a bucket holds at most: its mask is made anew in every layer, and takes memory.
BUCKET_SCORES = 1 << 22
_ON_CUDA = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
# A bucket's padded work may be this much more than its own.
_PADDING = 1.25


def attention(name: str) -> PrepareAttention:
    """The kernel of that name."""
    return {"flash": prepare_flash, "sdpa": prepare_sdpa}[name]


@dataclass(frozen=True, eq=False, slots=True)
class FlashAttention:
    """Varlen FlashAttention: every sequence is one of a ragged batch. keys_K: None where it is the pool as it is."""

    query_starts_S1: Tensor
    key_starts_S1: Tensor
    keys_K: Tensor | None
    most_queries: int
    most_keys: int

    def __call__(self, q_THE: Tensor, k_PGE: Tensor, v_PGE: Tensor) -> Tensor:
        """What the queries take, (T, H * E)."""
        k_KGE, v_KGE = k_PGE, v_PGE
        if self.keys_K is not None:
            k_KGE, v_KGE = k_PGE.index_select(0, self.keys_K), v_PGE.index_select(0, self.keys_K)
        # torch.nn.attention.varlen calls the same operator; its signature differs between releases, the operator's does
        # not. Causal masks are aligned at the end of queries and keys, which is what sequences say.
        mixed_THE = torch.ops.aten._flash_attention_forward(
            q_THE,
            k_KGE,
            v_KGE,
            self.query_starts_S1,
            self.key_starts_S1,
            self.most_queries,
            self.most_keys,
            0.0,
            True,
            False,
        )[0]
        mixed_TO: Tensor = mixed_THE.flatten(1)
        return mixed_TO


def prepare_flash(sequences: Sequences, num_keys: int, device: torch.device) -> Attend:
    """Varlen FlashAttention of these sequences."""
    whole_pool = np.array_equal(sequences.keys_K, np.arange(num_keys))
    return FlashAttention(
        torch.from_numpy(sequences.query_starts_S1.astype(np.int32)).to(device, non_blocking=True),
        torch.from_numpy(sequences.key_starts_S1.astype(np.int32)).to(device, non_blocking=True),
        None if whole_pool else torch.from_numpy(sequences.keys_K).to(device, non_blocking=True),
        int(sequences.query_lengths.max(initial=0)),
        int(sequences.key_lengths.max(initial=0)),
    )


@dataclass(frozen=True, eq=False, slots=True)
class _Bucket:
    """B pieces of sequences, padded: query `queries_BQ[b, q]` sees the first `seen_BQ[b, q]` of `keys_BC[b]`."""

    queries_BQ: Tensor
    keys_BC: Tensor
    seen_BQ: Tensor

    def __call__(self, q_THE: Tensor, k_PGE: Tensor, v_PGE: Tensor) -> Tensor:
        """What the bucket's queries take, padding included, (B, Q, H * E)."""
        (pieces, queries), keys, groups = self.queries_BQ.shape, self.keys_BC.shape[1], k_PGE.shape[1]
        # The query heads of a key head lie one behind the other as more queries, so no key is copied for them.
        q_BQHE = _taken(q_THE, self.queries_BQ)
        q_BGRQE = q_BQHE.view(pieces, queries, groups, -1, q_THE.shape[2]).permute(0, 2, 3, 1, 4)
        per_group = q_BGRQE.shape[2]
        mask_BQC = torch.arange(keys, device=q_THE.device) < self.seen_BQ[:, :, None]
        # Not cuDNN's kernels on CUDA: they are planned anew for every shape, and buckets have many.
        with sdpa_kernel(_ON_CUDA) if q_THE.is_cuda else nullcontext():
            mixed_BGLE = functional.scaled_dot_product_attention(
                q_BGRQE.flatten(2, 3),
                _taken(k_PGE, self.keys_BC).transpose(1, 2),
                _taken(v_PGE, self.keys_BC).transpose(1, 2),
                attn_mask=mask_BQC.repeat(1, per_group, 1)[:, None],
            )
        return mixed_BGLE.view(pieces, groups, per_group, queries, -1).permute(0, 3, 1, 2, 4).flatten(2)


def _taken(values: Tensor, places: Tensor) -> Tensor:
    # values[places] would add its gradients up in whatever order the threads come; index_select has one order.
    return values.index_select(0, places.flatten()).view(*places.shape, *values.shape[1:])


@dataclass(frozen=True, eq=False, slots=True)
class BucketedAttention:
    """scaled_dot_product_attention, bucket by bucket; `order_T` puts the results into the order of the queries."""

    buckets: list[_Bucket]
    order_T: Tensor

    def __call__(self, q_THE: Tensor, k_PGE: Tensor, v_PGE: Tensor) -> Tensor:
        """What the queries take, (T, H * E)."""
        mixed = [bucket(q_THE, k_PGE, v_PGE).flatten(0, 1) for bucket in self.buckets]
        return torch.cat(mixed).index_select(0, self.order_T)


def prepare_sdpa(sequences: Sequences, num_keys: int, device: torch.device) -> Attend:
    """Padded buckets of these sequences; long ones are cut into pieces of their queries."""
    pieces = _pieces(sequences)
    buckets: list[_Bucket] = []
    order_T = np.zeros(int(sequences.query_starts_S1[-1]), dtype=np.int64)
    start = 0
    for some in _alike(pieces):
        queries_BQ, real_BQ, keys_BC, seen_BQ = _padded(some, sequences)
        order_T[queries_BQ[real_BQ]] = start + np.flatnonzero(real_BQ)
        start += real_BQ.size
        buckets.append(_Bucket(*(torch.from_numpy(each).to(device) for each in (queries_BQ, keys_BC, seen_BQ))))
    return BucketedAttention(buckets, torch.from_numpy(order_T).to(device))


def _pieces(sequences: Sequences) -> Integers:
    """(pieces, 4): first query, queries, first of the keys, keys that the last query sees."""
    found: list[tuple[int, int, int, int]] = []
    for start, queries, first_key, keys in zip(
        sequences.query_starts_S1[:-1].tolist(),
        sequences.query_lengths.tolist(),
        sequences.key_starts_S1[:-1].tolist(),
        sequences.key_lengths.tolist(),
        strict=True,
    ):
        size = max(1, BUCKET_SCORES // max(1, keys))
        for done in range(0, queries, size):
            asked = min(size, queries - done)
            found.append((start + done, asked, first_key, keys - queries + done + asked))
    return np.array(found, dtype=np.int64).reshape(-1, 4)


def _alike(pieces: Integers) -> Iterator[Integers]:
    """Pieces of like size together, longest first, so that padding stays small."""
    order = np.lexsort((pieces[:, 3], pieces[:, 1]))[::-1]
    group: list[int] = []
    work = most_queries = most_keys = 0
    for place in order.tolist():
        queries, keys = int(pieces[place, 1]), int(pieces[place, 3])
        wider = max(most_queries, queries) * max(most_keys, keys) * (len(group) + 1)
        if group and (wider > BUCKET_SCORES or wider > _PADDING * (work + queries * keys)):
            yield pieces[group]
            group, work, most_queries, most_keys = [], 0, 0, 0
        group.append(place)
        work += queries * keys
        most_queries, most_keys = max(most_queries, queries), max(most_keys, keys)
    if group:
        yield pieces[group]


def _padded(pieces: Integers, sequences: Sequences) -> tuple[Integers, np.ndarray, Integers, Integers]:
    """Queries and which of them are real, keys, and how many keys each query sees; padding repeats a real one."""
    first_B1, queries_B1, first_key_B1, keys_B1 = (column[:, None] for column in pieces.T)
    turn_Q = np.arange(int(queries_B1.max()))
    real_BQ = turn_Q < queries_B1
    turn_BQ = np.minimum(turn_Q, queries_B1 - 1)
    place_BC = first_key_B1 + np.minimum(np.arange(int(keys_B1.max())), keys_B1 - 1)
    return first_B1 + turn_BQ, real_BQ, sequences.keys_K[place_BC], keys_B1 - queries_B1 + turn_BQ + 1
