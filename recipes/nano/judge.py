"""Groups of documents -> one yes/no logit for each: the torch backend's network, every shared prefix computed once.

Shapes: G groups, D documents of a group, F distinct rows, C hidden width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from qwen3_reranker import plan
from qwen3_reranker.backends.torch import Qwen3ForPooling
from qwen3_reranker.backends.torch.attention import attention_builder
from qwen3_reranker.backends.torch.model_input import ModelInput, whole_plan_input
from qwen3_reranker.config import ModelConfig
from qwen3_reranker.records import Receipt, Row


@dataclass(frozen=True, slots=True)
class Tree:
    """A batch of groups as one tree; `leaf_GD` is each document's place among the leaves.

    A group with fewer documents than another has empty ones; what they score means nothing.
    """

    inputs: ModelInput
    leaf_GD: Tensor
    num_tokens: int


class Judge(Qwen3ForPooling):
    """A network with tied embeddings that gives logits; parameter names are those of a published causal LM."""

    def __init__(self, config: ModelConfig, yes_id: int, no_id: int) -> None:
        super().__init__(config)
        self.yes_id, self.no_id = yes_id, no_id

    def logits(self, tree: Tree) -> Tensor:
        """yes - no of each document, float32, (G, D)."""
        hidden_FC, _ = self(tree.inputs)
        words_VC = self.model.embed_tokens.weight
        direction_C = words_VC[self.yes_id] - words_VC[self.no_id]
        with torch.autocast("cpu", enabled=False):
            logits_F: Tensor = hidden_FC.float() @ direction_C.float()
        return logits_F[tree.leaf_GD]


def grow_tree(
    groups: Sequence[tuple[np.ndarray, Sequence[np.ndarray]]], prefix: Sequence[int], suffix: Sequence[int]
) -> Tree:
    """The tree of groups, each a head and its documents as token ids, between prefix and suffix."""
    most = max(len(documents) for _, documents in groups)
    end = np.array(suffix, dtype=np.int32)
    rows: list[Row] = []
    for head, documents in groups:
        opening = np.concatenate((prefix, head)).astype(np.int32)
        missing = [end[:0]] * (most - len(documents))
        rows += [
            Row(
                np.concatenate((opening, document.astype(np.int32), end)),
                (len(prefix), len(opening)),
                Receipt(len(document), len(document), len(head), len(head)),
            )
            for document in (*documents, *missing)
        ]
    built = plan.build(rows)
    inputs, leaf_N = whole_plan_input(built, attention_builder("sdpa"), torch.device("cpu"))
    return Tree(inputs, torch.from_numpy(leaf_N).view(len(groups), most), built.num_tokens)
