"""A batch on a device: its tokens, and attention prepared once for all layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from qwen3_reranker.backends.torch.layout import BatchLayout, Integers, Sequences, lay_out
from qwen3_reranker.plan import Plan, split

#: Attention of queries (T, H, E) over a pool of keys and values (P, G, E): what they take, (T, H * E).
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
#: Prepares attention of some sequences on a device; `num_keys` is the size of the pool.
PrepareAttention = Callable[[Sequences, int, torch.device], Attend]


@dataclass(frozen=True, eq=False, slots=True)
class Packed:
    """T tokens of a batch, F of which end a row; C keys of kept ancestors come before the batch's own.

    everyone, leaves: attention of all tokens and of those at `leaves_F`. kept_L2CGE: keys and values of the ancestors.
    keep_N: places of the tokens whose keys and values are asked for.
    """

    tokens_T: Tensor
    positions_T: Tensor
    everyone: Attend
    leaves: Attend
    leaves_F: Tensor
    kept_L2CGE: Tensor | None = None
    keep_N: Tensor | None = None


def pack_whole(plan: Plan, prepare: PrepareAttention, device: torch.device) -> tuple[Packed, Integers]:
    """A whole plan as one batch, and the place of each row among its leaves, (N,): what training runs."""
    [batch] = split(plan, plan.num_tokens)
    layout = lay_out(plan, batch, ())
    leaf_N = np.empty(plan.num_rows, dtype=np.int64)
    leaf_N[batch.rows_M] = layout.leaf_of_row_M
    return pack(layout, prepare, device), leaf_N


def pack(
    layout: BatchLayout,
    prepare: PrepareAttention,
    device: torch.device,
    kept_L2CGE: Tensor | None = None,
    keep_N: Integers | None = None,
) -> Packed:
    """The batch of this layout on `device`."""
    num_keys = len(layout.tokens_T) + (0 if kept_L2CGE is None else kept_L2CGE.shape[2])
    return Packed(
        tokens_T=torch.from_numpy(layout.tokens_T).to(device, non_blocking=True),
        positions_T=torch.from_numpy(layout.positions_T).to(device, non_blocking=True),
        everyone=prepare(layout.everyone, num_keys, device),
        leaves=prepare(layout.leaves, num_keys, device),
        leaves_F=torch.from_numpy(layout.leaves_F).to(device, non_blocking=True),
        kept_L2CGE=kept_L2CGE,
        keep_N=None if keep_N is None else torch.from_numpy(keep_N).to(device, non_blocking=True),
    )
