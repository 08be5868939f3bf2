"""Exact attention of a tree's tokens, each sequence over its ancestors' keys and its own.

flash: one varlen FlashAttention call over gathered keys; CUDA, bfloat16 and float16.
sdpa: padded buckets of sequences of similar length through scaled_dot_product_attention; any device and precision.

Shapes: T queries, P keys of the pool, K gathered keys, S sequences, H query heads, G key/value heads, R = H / G,
E head_dim; of one bucket: B blocks, Q queries and C keys of the longest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from qwen3_reranker.backends.layout import Integers
from qwen3_reranker.backends.torch.varlen import VarlenMetadata

#: Attention of queries (T, H, E) over a pool of keys and values (P, G, E), to their outputs (T, H * E).
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
#: Makes the attention of a batch on a device from its metadata and the number of keys in the pool.
AttentionBuilder = Callable[[VarlenMetadata, int, torch.device], Attend]

# The maximum of scores that a bucket holds for one head: its mask is made again in every layer, and takes memory.
BUCKET_SCORES = 1 << 22
_ON_CUDA = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
# The maximum of a bucket's padded work, as a multiple of its own.
_PADDING = 1.25


def attention_builder(name: str) -> AttentionBuilder:
    """The builder of the kernel of that name."""
    builders: dict[str, AttentionBuilder] = {"flash": build_flash, "sdpa": build_sdpa}
    return builders[name]


@dataclass(frozen=True, eq=False, slots=True)
class FlashAttention:
    """Varlen FlashAttention: each sequence is one of a ragged batch.

    The fields are those of VarlenMetadata on the device; kv_indices is None where the keys are the pool as it is.
    """

    cu_seqlens_q: Tensor
    cu_seqlens_k: Tensor
    kv_indices: Tensor | None
    max_seqlen_q: int
    max_seqlen_k: int

    def __call__(self, q_THE: Tensor, k_PGE: Tensor, v_PGE: Tensor) -> Tensor:
        """The outputs of the queries, (T, H * E)."""
        k_KGE, v_KGE = k_PGE, v_PGE
        if self.kv_indices is not None:
            k_KGE, v_KGE = k_PGE.index_select(0, self.kv_indices), v_PGE.index_select(0, self.kv_indices)
        dropout_p, is_causal, return_debug_mask = 0.0, True, False
        # torch.nn.attention.varlen calls the same operator; its signature differs between releases, the operator's does
        # not. Its causal mask is aligned at the end of queries and keys, as VarlenMetadata says.
        output_THE = torch.ops.aten._flash_attention_forward(
            q_THE,
            k_KGE,
            v_KGE,
            self.cu_seqlens_q,
            self.cu_seqlens_k,
            self.max_seqlen_q,
            self.max_seqlen_k,
            dropout_p,
            is_causal,
            return_debug_mask,
        )[0]
        output_TO: Tensor = output_THE.flatten(1)
        return output_TO


def build_flash(metadata: VarlenMetadata, pool_size: int, device: torch.device) -> FlashAttention:
    """Varlen FlashAttention of these sequences."""
    whole_pool = np.array_equal(metadata.kv_indices, np.arange(pool_size))
    return FlashAttention(
        torch.from_numpy(metadata.cu_seqlens_q.astype(np.int32)).to(device, non_blocking=True),
        torch.from_numpy(metadata.cu_seqlens_k.astype(np.int32)).to(device, non_blocking=True),
        None if whole_pool else torch.from_numpy(metadata.kv_indices).to(device, non_blocking=True),
        metadata.max_seqlen_q,
        metadata.max_seqlen_k,
    )


@dataclass(frozen=True, eq=False, slots=True)
class _PaddedBucket:
    """B blocks of queries, padded: query `queries_BQ[b, q]` sees the first `seqlens_k_BQ[b, q]` of `keys_BC[b]`."""

    queries_BQ: Tensor
    keys_BC: Tensor
    seqlens_k_BQ: Tensor

    def __call__(self, q_THE: Tensor, k_PGE: Tensor, v_PGE: Tensor) -> Tensor:
        """The outputs of the bucket's queries, padding included, (B, Q, H * E)."""
        (blocks, queries), keys, groups = self.queries_BQ.shape, self.keys_BC.shape[1], k_PGE.shape[1]
        # The R query heads of a key head become R times as many queries, so no key is copied for them.
        q_BQHE = _gathered(q_THE, self.queries_BQ)
        q_BGRQE = q_BQHE.view(blocks, queries, groups, -1, q_THE.shape[2]).permute(0, 2, 3, 1, 4)
        per_group = q_BGRQE.shape[2]
        mask_BQC = torch.arange(keys, device=q_THE.device) < self.seqlens_k_BQ[:, :, None]
        # Not cuDNN's kernels on CUDA: they are planned for every shape, and buckets have many.
        with sdpa_kernel(_ON_CUDA) if q_THE.is_cuda else nullcontext():
            output_BGLE = functional.scaled_dot_product_attention(
                q_BGRQE.flatten(2, 3),
                _gathered(k_PGE, self.keys_BC).transpose(1, 2),
                _gathered(v_PGE, self.keys_BC).transpose(1, 2),
                attn_mask=mask_BQC.repeat(1, per_group, 1)[:, None],
            )
        return output_BGLE.view(blocks, groups, per_group, queries, -1).permute(0, 3, 1, 2, 4).flatten(2)


def _gathered(values: Tensor, indices: Tensor) -> Tensor:
    # values[indices] would add its gradients up in any order of the threads; index_select has one order.
    return values.index_select(0, indices.flatten()).view(*indices.shape, *values.shape[1:])


@dataclass(frozen=True, eq=False, slots=True)
class BucketedAttention:
    """scaled_dot_product_attention, bucket by bucket; `order_T` puts the outputs into the order of the queries."""

    buckets: list[_PaddedBucket]
    order_T: Tensor

    def __call__(self, q_THE: Tensor, k_PGE: Tensor, v_PGE: Tensor) -> Tensor:
        """The outputs of the queries, (T, H * E)."""
        outputs = [bucket(q_THE, k_PGE, v_PGE).flatten(0, 1) for bucket in self.buckets]
        return torch.cat(outputs).index_select(0, self.order_T)


def build_sdpa(metadata: VarlenMetadata, pool_size: int, device: torch.device) -> BucketedAttention:
    """Padded buckets of these sequences; long ones are cut into blocks of their queries."""
    buckets: list[_PaddedBucket] = []
    order_T = np.zeros(int(metadata.cu_seqlens_q[-1]), dtype=np.int64)
    start = 0
    for blocks in _similar(_query_blocks(metadata)):
        queries_BQ, is_real_BQ, keys_BC, seqlens_k_BQ = _padded(blocks, metadata)
        order_T[queries_BQ[is_real_BQ]] = start + np.flatnonzero(is_real_BQ)
        start += is_real_BQ.size
        tensors = (torch.from_numpy(each).to(device) for each in (queries_BQ, keys_BC, seqlens_k_BQ))
        buckets.append(_PaddedBucket(*tensors))
    return BucketedAttention(buckets, torch.from_numpy(order_T).to(device))


def _query_blocks(metadata: VarlenMetadata) -> Integers:
    """(blocks, 4): first query, queries, first key, keys that the last query sees."""
    blocks: list[tuple[int, int, int, int]] = []
    for start, queries, first_key, keys in zip(
        metadata.cu_seqlens_q[:-1].tolist(),
        metadata.seqlens_q.tolist(),
        metadata.cu_seqlens_k[:-1].tolist(),
        metadata.seqlens_k.tolist(),
        strict=True,
    ):
        size = max(1, BUCKET_SCORES // max(1, keys))
        for done in range(0, queries, size):
            count = min(size, queries - done)
            blocks.append((start + done, count, first_key, keys - queries + done + count))
    return np.array(blocks, dtype=np.int64).reshape(-1, 4)


def _similar(blocks: Integers) -> Iterator[Integers]:
    """Blocks of similar size together, longest first, so that padding stays small."""
    order = np.lexsort((blocks[:, 3], blocks[:, 1]))[::-1]
    group: list[int] = []
    work = max_queries = max_keys = 0
    for index in order.tolist():
        queries, keys = int(blocks[index, 1]), int(blocks[index, 3])
        padded_work = max(max_queries, queries) * max(max_keys, keys) * (len(group) + 1)
        if group and (padded_work > BUCKET_SCORES or padded_work > _PADDING * (work + queries * keys)):
            yield blocks[group]
            group, work, max_queries, max_keys = [], 0, 0, 0
        group.append(index)
        work += queries * keys
        max_queries, max_keys = max(max_queries, queries), max(max_keys, keys)
    if group:
        yield blocks[group]


def _padded(blocks: Integers, metadata: VarlenMetadata) -> tuple[Integers, np.ndarray, Integers, Integers]:
    """Queries and which of them are real, keys, and how many keys each query sees. Padding repeats a real one."""
    first_B1, queries_B1, first_key_B1, keys_B1 = (column[:, None] for column in blocks.T)
    index_Q = np.arange(int(queries_B1.max()))
    is_real_BQ = index_Q < queries_B1
    index_BQ = np.minimum(index_Q, queries_B1 - 1)
    key_BC = first_key_B1 + np.minimum(np.arange(int(keys_B1.max())), keys_B1 - 1)
    return first_B1 + index_BQ, is_real_BQ, metadata.kv_indices[key_BC], keys_B1 - queries_B1 + index_BQ + 1
