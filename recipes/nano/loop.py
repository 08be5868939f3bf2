"""Batches -> trained weights, with warm-up, plateau and decay, and checkpoints that resume exactly.

Shapes: G groups, D documents of a group, the positive first.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from qwen3_reranker.train.group_tree import GroupTree
from qwen3_reranker.weights.names import EMBEDDING
from recipes.nano.groups import Group, Groups, shuffled_batches, tree
from recipes.nano.network import NanoNetwork


@dataclass(frozen=True, slots=True)
class Schedule:
    """Length of training and learning rates; `minutes` or `steps` ends the run.

    synthetic: shares of synthetic groups at progress 0, `labelled_from` and 1, linear in between.
    positive_weight: of a positive in the yes/no loss; a group holds several negatives.
    group_loss: weight of the softmax over a group, which is added to the yes/no loss.
    lexical: share of BM25's softmax in a group's target where BM25 has the positive first, for labelled and for
    synthetic groups; half of it where it has it second, and so on. The rest is the label.
    lexical_sharpness: factor of BM25's scores in that softmax; of the scores in standard deviations of the group where
    its positive was left out and only the order counts.
    teacher: share of the teacher's softmax in what BM25's leaves, where the teacher was asked.
    teacher_sharpness: factor of its cosines.
    """

    minutes: float | None = 75.0
    steps: int | None = None
    max_tokens: int = 9000
    matrix_rate: float = 2e-3
    embedding_rate: float = 1e-3
    vector_rate: float = 1e-3
    weight_decay: float = 0.05
    warm_up: float = 0.02
    decay_from: float = 0.4
    clip: float = 1.0
    positive_weight: float = 3.0
    group_loss: float = 1.0
    lexical: tuple[float, float] = (0.5, 0.6)
    lexical_sharpness: tuple[float, float] = (0.5, 1.5)
    teacher: float = 0.5
    teacher_sharpness: float = 40.0
    synthetic: tuple[float, float, float] = (0.8, 0.3, 0.1)
    labelled_from: float = 0.08
    log_seconds: float = 60.0
    measure_seconds: float = 600.0
    save_seconds: float = 300.0

    def rate(self, progress: float) -> float:
        """The factor of all learning rates."""
        if progress < self.warm_up:
            return max(progress / self.warm_up, 0.01)
        return min(1.0, max(0.0, (1.0 - progress) / (1.0 - self.decay_from)))

    def synthetic_share(self, progress: float) -> float:
        """The share of synthetic groups."""
        first, middle, last = self.synthetic
        if progress < self.labelled_from:
            return first + (middle - first) * progress / self.labelled_from
        return middle + (last - middle) * (progress - self.labelled_from) / (1.0 - self.labelled_from)


@dataclass(slots=True)
class Progress:
    """Progress of a run; with weights and optimiser state it resumes exactly."""

    step: int = 0
    chunk: int = 0
    place: int = 0
    share: float = 1.0
    tokens: int = 0
    seconds: float = 0.0


class Run:
    """One training run: `train` returns at the end of the schedule, and saves when interrupted."""

    def __init__(
        self,
        network: NanoNetwork,
        groups: Groups,
        schedule: Schedule,
        prefix: Sequence[int],
        suffix: Sequence[int],
        checkpoint: Path | None,
        log: Callable[[str], None],
        measure: Callable[[], str] | None = None,
    ) -> None:
        self.network, self.groups, self.schedule = network, groups, schedule
        self.prefix, self.suffix, self.checkpoint = prefix, suffix, checkpoint
        self.log, self.measure = log, measure
        self.progress = Progress()
        self.optimisers = _optimisers(network, schedule)

    @property
    def share_done(self) -> float:
        """Progress from 0 to 1."""
        if self.schedule.steps is not None:
            return self.progress.step / self.schedule.steps
        assert self.schedule.minutes is not None
        return self.progress.seconds / (60.0 * self.schedule.minutes)

    def train(self, stop_after: int | None = None) -> None:
        """Run to the end of the schedule, or to a total of `stop_after` steps, and save."""
        try:
            self._loop(stop_after)
        finally:
            self.save()

    def _loop(self, stop_after: int | None) -> None:
        state, schedule = self.progress, self.schedule
        started = time.monotonic() - state.seconds
        logged = measured = saved = time.monotonic()
        losses: list[float] = []
        while self.share_done < 1.0:
            if state.place == 0:
                state.share = schedule.synthetic_share(self.share_done)
            cut = list(shuffled_batches(self.groups, state.chunk, state.share, schedule.max_tokens))
            for batch in cut[state.place :]:
                losses.append(self._step(tree(batch, self.prefix, self.suffix), *targets(batch, schedule)))
                state.place += 1
                state.seconds = time.monotonic() - started
                now = time.monotonic()
                if now - logged > schedule.log_seconds:
                    self.log(self._line(losses))
                    losses.clear()
                    logged = now
                if self.measure is not None and now - measured > schedule.measure_seconds:
                    self.log(self.measure())
                    measured = time.monotonic()
                    started += measured - now
                if now - saved > schedule.save_seconds:
                    self.save()
                    saved = now
                if self.share_done >= 1.0 or state.step == stop_after:
                    return
            state.chunk, state.place = state.chunk + 1, 0

    def _step(self, batch: GroupTree, targets_GD: Tensor, weights_GD: Tensor) -> float:
        factor = self.schedule.rate(self.share_done)
        for optimiser in self.optimisers:
            for part in optimiser.param_groups:
                part["lr"] = part["peak"] * factor
        with torch.autocast("cpu", torch.bfloat16):
            logits_GD = self.network.logits(batch)
        value = loss(logits_GD, targets_GD, weights_GD, self.schedule.group_loss)
        torch.autograd.backward(value)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.schedule.clip)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.progress.step += 1
        self.progress.tokens += batch.tree_tokens
        return value.item()

    def _line(self, losses: Sequence[float]) -> str:
        state, done = self.progress, self.share_done
        left = state.seconds * (1.0 / max(done, 1e-6) - 1.0) / 60.0
        return (
            f"{done:6.1%}  step {state.step:,}  loss {sum(losses) / len(losses):.4f}  "
            f"{state.tokens / 1e6:.1f} M tokens  "
            f"{state.tokens / state.seconds:,.0f} tokens/s  synthetic {state.share:.0%}  {left:.0f} min left"
        )

    def save(self) -> None:
        """Write the checkpoint completely, or leave the old one."""
        if self.checkpoint is None:
            return
        fields = {name: getattr(self.progress, name) for name in Progress.__slots__}
        state = {
            "network": self.network.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "progress": fields,
        }
        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, self.checkpoint)

    def resume(self) -> None:
        """Continue from the checkpoint."""
        assert self.checkpoint is not None
        state = torch.load(self.checkpoint, weights_only=True)
        self.network.load_state_dict(state["network"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.progress = Progress(**state["progress"])


def targets(batch: Sequence[Group], schedule: Schedule) -> tuple[Tensor, Tensor]:
    """What each group should come to, both (G, D): a distribution, and weights of the yes/no loss.

    The distribution is the first document's label mixed with the softmax of BM25 and that of the teacher. A group whose
    positive was left out has no label and no yes/no loss.
    """
    scores_GD = torch.from_numpy(np.stack([group.lexical_D for group in batch]))
    near_GD = torch.from_numpy(np.stack([group.near_D for group in batch]))
    unanswered_G = torch.tensor([group.unanswered for group in batch])[:, None]
    plain, standard = schedule.lexical_sharpness
    deviation_G = scores_GD.std(-1, keepdim=True).clamp(min=1e-3)
    lexical_GD = scores_GD * torch.where(unanswered_G, standard / deviation_G, plain)
    # Where BM25 finds the positive, its order of the others says something too.
    place_G = 1 + (scores_GD > scores_GD[:, :1]).sum(-1, keepdim=True)
    lexical_G = torch.tensor([schedule.lexical[group.synthetic] for group in batch])[:, None] / place_G
    is_taught_G = near_GD.isfinite().all(-1, keepdim=True)
    taught_G = schedule.teacher * is_taught_G * (1.0 - lexical_G * ~unanswered_G)
    lexical_G = torch.where(unanswered_G, 1.0 - taught_G, lexical_G)
    near_GD = near_GD.nan_to_num(0.0)
    targets_GD = lexical_G * lexical_GD.softmax(-1) + taught_G * (near_GD * schedule.teacher_sharpness).softmax(-1)
    targets_GD[:, :1] += 1.0 - lexical_G - taught_G
    weights_GD = torch.ones_like(targets_GD)
    # What the teacher holds as near as the positive may well be another answer.
    weights_GD[is_taught_G & (near_GD >= near_GD[:, :1])] = 0.0
    weights_GD[:, 0] = schedule.positive_weight
    weights_GD *= ~unanswered_G
    return targets_GD, weights_GD


def loss(logits_GD: Tensor, targets_GD: Tensor, weights_GD: Tensor, group_loss: float) -> Tensor:
    """Pointwise yes/no cross-entropy plus softmax cross-entropy over each group."""
    labels_GD = torch.zeros_like(logits_GD)
    labels_GD[:, 0] = 1.0
    pointwise = functional.binary_cross_entropy_with_logits(logits_GD, labels_GD, weights_GD)
    return pointwise + group_loss * functional.cross_entropy(logits_GD, targets_GD)


def _optimisers(network: NanoNetwork, schedule: Schedule) -> list[torch.optim.Optimizer]:
    matrices: list[Tensor] = []
    vectors: list[Tensor] = []
    for name, weight in network.named_parameters():
        if name != EMBEDDING:
            (matrices if weight.dim() == 2 else vectors).append(weight)
    embedding = network.model.embed_tokens.weight
    # Muon updates a matrix evenly in all directions; a network this small learns in fewer steps than with AdamW.
    return [
        torch.optim.Muon(
            [{"params": matrices, "peak": schedule.matrix_rate}],
            lr=schedule.matrix_rate,
            weight_decay=schedule.weight_decay,
            adjust_lr_fn="original",
        ),
        torch.optim.AdamW(
            [
                {"params": [embedding], "peak": schedule.embedding_rate},
                {"params": vectors, "peak": schedule.vector_rate},
            ],
            betas=(0.9, 0.98),
            weight_decay=0.0,
            fused=True,
        ),
    ]
