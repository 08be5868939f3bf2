"""What the network reads of one batch: tokens, and attention prepared for all layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from qwen3_reranker.backends.layout import BatchLayout, Integers, lay_out
from qwen3_reranker.backends.torch.attention import Attend, AttentionBuilder
from qwen3_reranker.backends.torch.varlen import AttentionMetadata, attention_metadata
from qwen3_reranker.plan import Plan, split


@dataclass(frozen=True, eq=False, slots=True)
class ModelInput:
    """The tensors of a batch. T tokens, of which F end a row, follow C tokens of cached segments.

    all_queries, leaf_queries: attention of all tokens, and of those at the indices `leaves_F`.
    kv_cache_L2CGE: keys and values of the cached segments, by layer.
    keep_N: indices of the tokens whose keys and values the network returns.
    """

    tokens_T: Tensor
    positions_T: Tensor
    all_queries: Attend
    leaf_queries: Attend
    leaves_F: Tensor
    kv_cache_L2CGE: Tensor | None = None
    keep_N: Tensor | None = None


def model_input(
    layout: BatchLayout,
    metadata: AttentionMetadata,
    build: AttentionBuilder,
    device: torch.device,
    kv_cache_L2CGE: Tensor | None = None,
    keep_N: Integers | None = None,
) -> ModelInput:
    """The batch of this layout on `device`."""
    pool_size = len(layout.tokens_T) + (0 if kv_cache_L2CGE is None else kv_cache_L2CGE.shape[2])
    return ModelInput(
        tokens_T=torch.from_numpy(layout.tokens_T).to(device, non_blocking=True),
        positions_T=torch.from_numpy(layout.positions_T).to(device, non_blocking=True),
        all_queries=build(metadata.all_queries, pool_size, device),
        leaf_queries=build(metadata.leaf_queries, pool_size, device),
        leaves_F=torch.from_numpy(layout.leaves_F).to(device, non_blocking=True),
        kv_cache_L2CGE=kv_cache_L2CGE,
        keep_N=None if keep_N is None else torch.from_numpy(keep_N).to(device, non_blocking=True),
    )


def whole_plan_input(plan: Plan, build: AttentionBuilder, device: torch.device) -> tuple[ModelInput, Integers]:
    """A whole plan as one batch, and each row's index among its leaves, (N,). Training runs it."""
    [batch] = split(plan, plan.num_tokens)
    layout = lay_out(plan, batch)
    leaf_N = np.empty(plan.num_rows, dtype=np.int64)
    leaf_N[batch.rows_M] = layout.leaf_of_row_M
    return model_input(layout, attention_metadata(plan, layout, ()), build, device), leaf_N
