"""A checkpoint -> the network to train: all weights, or adapters of frozen ones.

Shapes: G groups, D documents of the largest, F distinct rows, C hidden width, V words.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recomputed

from qwen3_reranker.backends.torch import Qwen3ForPooling, load
from qwen3_reranker.errors import InputError
from qwen3_reranker.tokens import Tokens
from qwen3_reranker.train.group_tree import GroupTree, group_tree
from qwen3_reranker.train.lora import LoraLinear, adapters, add_lora, switched_off
from qwen3_reranker.train.losses import ScoredGroups
from qwen3_reranker.train.sampling import QueryGroup
from qwen3_reranker.train.train_options import TrainOptions
from qwen3_reranker.weights import Checkpoint, names
from qwen3_reranker.weights import Tensor as StoredTensor
from qwen3_reranker.weights.merged import MergedTensor

_ROWS_AT_ONCE = 64


@dataclass(frozen=True, eq=False, slots=True)
class TrainBatch:
    """A tree of groups with labels, and teacher's scores if all groups have them."""

    tree: GroupTree
    labels_GD: Tensor
    teacher_GD: Tensor | None


class Student(nn.Module):
    """A network and its score head; trained parameters are float32 and require gradients.

    Raises InputError if the method cannot train this checkpoint: full training needs a head of words.
    """

    def __init__(
        self, checkpoint: Checkpoint, tokens: Tokens, options: TrainOptions, device: torch.device, mix: Sequence[str]
    ) -> None:
        super().__init__()
        self.device, self._half = device, options.precision == "bfloat16"
        is_lora = options.method == "lora"
        ids = checkpoint.head.labels or (tokens.yes_id, tokens.no_id)
        is_word_head = checkpoint.head.tensor.name in (names.EMBEDDING, names.HEAD) and len(ids) == 2
        if not is_word_head and (not is_lora or "sft" in mix):
            raise InputError(
                f"{checkpoint.name}: its score head is {checkpoint.head.tensor.name}, no pair of words, which full "
                "training and the loss sft need; convert it first (qwen3-reranker convert MODEL FOLDER --to hf), or "
                "train lora"
            )
        self.yes_id, self.no_id = ids if is_word_head else (0, 0)
        # Trained weights stay float32; frozen weights may take half the memory.
        stored = torch.bfloat16 if self._half and is_lora else torch.float32
        started = {name: _base(tensor) if is_lora else tensor for name, tensor in checkpoint.tensors.items()}
        self.network = load(replace(checkpoint, tensors=started), device, stored)
        if is_lora:
            _add_adapters(self.network, checkpoint, options)
        self.lm_head: nn.Parameter | None = None
        if checkpoint.head.tensor.name == names.HEAD and (not is_lora or "sft" in mix):
            words_VC = torch.from_numpy(checkpoint.head.tensor.read()).to(device, stored)
            self.lm_head = nn.Parameter(words_VC, requires_grad=not is_lora)
        rows_2C = torch.from_numpy(checkpoint.head.rows(tokens.yes_id, tokens.no_id)).to(device)
        self.register_buffer("frozen_head_C", rows_2C[0] - rows_2C[1] if is_lora else None, persistent=False)
        if options.checkpointing:
            self.network.enable_gradient_checkpointing()
        self._start: Student | None = None
        if options.anchor and not is_lora:
            self._start = copy.deepcopy(self).requires_grad_(False)

    @property
    def is_lora(self) -> bool:
        """Whether only adapters are trained."""
        return self.frozen_head_C is not None

    @property
    def words(self) -> Tensor:
        """The language-model head, (V, C)."""
        return self.network.model.embed_tokens.weight if self.lm_head is None else self.lm_head

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that learn, by name, without the anchor's copy of the start model."""
        return {
            name: weight
            for name, weight in self.named_parameters()
            if weight.requires_grad and not name.startswith("_start.")
        }

    def scored(self, batch: TrainBatch, *, vocabulary: bool = False) -> ScoredGroups:
        """The logits of a batch with its labels. vocabulary: also the probability of all other words."""
        with self._autocast():
            hidden_FC, _ = self.network(batch.tree.inputs)
        logits_F = hidden_FC.float() @ self._direction()
        other_words_nll_F = self._other_words_nll(hidden_FC.float()) if vocabulary else None
        leaf_GD = batch.tree.leaf_GD
        return ScoredGroups(
            logits_F[leaf_GD],
            batch.labels_GD,
            batch.tree.real_GD,
            batch.teacher_GD,
            None if other_words_nll_F is None else other_words_nll_F[leaf_GD],
        )

    @torch.no_grad()
    def start_logits(self, batch: TrainBatch) -> Tensor:
        """Logits of the start model, (G, D)."""
        if self.is_lora:
            with switched_off(self.network):
                return self.scored(batch).logits_GD
        assert self._start is not None
        return self._start.scored(batch).logits_GD

    def batch(self, groups: Sequence[QueryGroup]) -> TrainBatch:
        """The groups as one tree on the student's device."""
        dtype = torch.bfloat16 if self._half else torch.float32
        tree = group_tree([group.rows for group in groups], self.device, dtype)
        max_documents = tree.leaf_GD.shape[1]

        def filled(values: Sequence[Sequence[float]]) -> Tensor:
            padded = [[*some, *[0.0] * (max_documents - len(some))] for some in values]
            return torch.tensor(padded, device=self.device)

        taught = [group.teacher for group in groups if group.teacher is not None]
        return TrainBatch(
            tree,
            filled([group.labels for group in groups]),
            filled(taught) if len(taught) == len(groups) else None,
        )

    def _direction(self) -> Tensor:
        """The score head, yes - no, (C,)."""
        if isinstance(self.frozen_head_C, Tensor):
            return self.frozen_head_C
        return (self.words[self.yes_id] - self.words[self.no_id]).float()

    def _other_words_nll(self, hidden_FC: Tensor) -> Tensor:
        """-log(p(yes) + p(no)) of each row, (F,), in chunks that gradients recompute."""

        def some(part_FC: Tensor, words_VC: Tensor) -> Tensor:
            words_FV = part_FC @ words_VC.float().T
            return words_FV.logsumexp(-1) - words_FV[:, [self.yes_id, self.no_id]].logsumexp(-1)

        rows = torch.split(hidden_FC, _ROWS_AT_ONCE)
        parts = [recomputed(some, part, self.words, use_reentrant=False) for part in rows]
        return torch.cat(parts)

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._half and not self.is_lora)


@contextmanager
def evaluating(student: Student) -> Iterator[None]:
    """Inside the block: no gradients and no dropout."""
    was = student.training
    student.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        student.train(was)


def _base(tensor: StoredTensor) -> StoredTensor:
    return tensor.base if isinstance(tensor, MergedTensor) else tensor


def _add_adapters(network: Qwen3ForPooling, checkpoint: Checkpoint, options: TrainOptions) -> None:
    """Add new adapters, or continue those of the checkpoint."""
    add_lora(network, options.rank, options.alpha, options.dropout)
    merged = {
        name.removesuffix(".weight"): tensor
        for name, tensor in checkpoint.tensors.items()
        if isinstance(tensor, MergedTensor)
    }
    if not merged:
        return
    for name, module in adapters(network):
        if name in merged:
            _continue(module, merged[name])


def _continue(module: LoraLinear, stored: MergedTensor) -> None:
    device = module.lora_A.device
    module.lora_A = nn.Parameter(torch.from_numpy(stored.down.read()).to(device))
    module.lora_B = nn.Parameter(torch.from_numpy(stored.up.read()).to(device))
    module.scale = stored.scale
