"""Groups of documents -> a yes/no logit for each document, on the torch backend's network.

Shapes: G groups, D documents of a group, F distinct rows, C hidden width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from qwen3_reranker.backends.torch import Qwen3ForPooling
from qwen3_reranker.config import ModelConfig
from qwen3_reranker.records import Receipt, Row
from qwen3_reranker.train.group_tree import GroupTree, group_tree


class NanoNetwork(Qwen3ForPooling):
    """A network with tied embeddings that returns logits; parameter names are those of a published causal LM."""

    def __init__(self, config: ModelConfig, yes_id: int, no_id: int) -> None:
        super().__init__(config)
        self.yes_id, self.no_id = yes_id, no_id

    def logits(self, tree: GroupTree) -> Tensor:
        """yes - no of each document, float32, (G, D); padding has arbitrary values."""
        hidden_FC, _ = self(tree.inputs)
        words_VC = self.model.embed_tokens.weight
        direction_C = words_VC[self.yes_id] - words_VC[self.no_id]
        with torch.autocast("cpu", enabled=False):
            logits_F: Tensor = hidden_FC.float() @ direction_C.float()
        return logits_F[tree.leaf_GD]


def rows_tree(
    groups: Sequence[tuple[np.ndarray, Sequence[np.ndarray]]], prefix: Sequence[int], suffix: Sequence[int]
) -> GroupTree:
    """The tree of groups, each a head and its documents as token ids, between prefix and suffix."""
    rows: list[list[Row]] = []
    for head, documents in groups:
        opening = np.concatenate((prefix, head)).astype(np.int32)
        rows.append(
            [
                Row(
                    np.concatenate((opening, document.astype(np.int32), suffix)).astype(np.int32),
                    (len(prefix), len(opening)),
                    Receipt(len(document), len(document), len(head), len(head)),
                )
                for document in documents
            ]
        )
    return group_tree(rows, torch.device("cpu"), torch.float32)
