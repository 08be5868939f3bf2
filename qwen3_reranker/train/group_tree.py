"""Rows of groups -> one tree on a device, with every shared prefix once.

Shapes: G groups, D documents of the largest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qwen3_reranker import plan
from qwen3_reranker.backends.torch.attention import attention_builder
from qwen3_reranker.backends.torch.devices import choose_attention
from qwen3_reranker.backends.torch.model_input import ModelInput, whole_plan_input
from qwen3_reranker.records import Row


@dataclass(frozen=True, eq=False, slots=True)
class GroupTree:
    """G groups of at most D documents as one tree.

    leaf_GD: index of each document's leaf, 0 for padding. real_GD: False for padding. row_tokens: tokens of separate
    rows. padded_tokens: the same rows, padded to the longest.
    """

    inputs: ModelInput
    leaf_GD: Tensor
    real_GD: Tensor
    tree_tokens: int
    row_tokens: int
    padded_tokens: int


def group_tree(groups: Sequence[Sequence[Row]], device: torch.device, dtype: torch.dtype) -> GroupTree:
    """The groups' rows as one tree; dtype: of the activations, which selects the attention kernel."""
    rows = [row for group in groups for row in group]
    built = plan.build(rows)
    inputs, leaf_N = whole_plan_input(built, attention_builder(choose_attention(device, dtype)), device)
    max_documents = max(map(len, groups))
    real_GD = torch.tensor([[index < len(group) for index in range(max_documents)] for group in groups])
    leaf_GD = torch.zeros(real_GD.shape, dtype=torch.int64)
    leaf_GD[real_GD] = torch.from_numpy(leaf_N)
    return GroupTree(
        inputs,
        leaf_GD.to(device),
        real_GD.to(device),
        built.num_tokens,
        built.num_row_tokens,
        len(rows) * max(len(row.ids) for row in rows),
    )
