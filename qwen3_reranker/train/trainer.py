"""Groups -> trained weights: steps, evaluations, early stopping, and a state to resume from."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from qwen3_reranker.errors import InputError
from qwen3_reranker.train.group_measures import Quality, as_line, quality
from qwen3_reranker.train.interruption import Interruption
from qwen3_reranker.train.loss_mix import parse_mix
from qwen3_reranker.train.losses import LossOptions, anchor, bce, mixed
from qwen3_reranker.train.processes import Processes
from qwen3_reranker.train.run import STATE, TrainRun
from qwen3_reranker.train.run_log import RunLog
from qwen3_reranker.train.sampling import Groups, pieces
from qwen3_reranker.train.student import Student, TrainBatch, evaluating
from qwen3_reranker.train.train_options import TrainOptions

_SHOW_EVERY_SECONDS = 30.0


@dataclass(slots=True)
class TrainState:
    """Progress of a run.

    tokens: computed in trees, in separate rows, in padded rows. evaluated: step of the last evaluation, -1 before any.
    start: quality before the first step. best_step: 0 if no evaluation beat the start. stale: evaluations since the
    best. is_over: whether patience ended the run.
    """

    step: int = 0
    groups: int = 0
    seconds: float = 0.0
    tokens: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    evaluated: int = -1
    start: Quality | None = None
    best: Quality | None = None
    best_step: int = 0
    stale: int = 0
    is_over: bool = False

    @property
    def savings(self) -> str:
        """One line: tokens computed, compared with separate and padded rows."""
        tree, rows, padded = self.tokens
        return f"{tree:,.0f} tokens computed of {rows:,.0f} in separate rows and {padded:,.0f} in padded batches"


class Trainer:
    """Trains a student on groups; Ctrl-C saves the state and raises KeyboardInterrupt.

    The state is saved to run.folder. write_model: called when weights are worth keeping: those of the best evaluation
    that beat the start, or the last ones if nothing was held out or run.keep_last is set. Only the first process saves,
    logs and shows messages.
    """

    def __init__(
        self,
        run: TrainRun,
        student: Student,
        groups: Groups,
        processes: Processes,
        *,
        write_model: Callable[[TrainState], None],
        on_message: Callable[[str], None] | None = None,
        on_progress: Callable[[float], None] | None = None,
    ) -> None:
        self.state = TrainState()
        self._log: RunLog | None = None
        options = run.options
        self._run, self._student, self._groups, self._processes = run, student, groups, processes
        self._options = options
        self._held_out = [groups.whole(each) for each in run.held_out]
        self._write_model, self._on_message, self._on_progress = write_model, on_message, on_progress
        self._mix = parse_mix(options.loss)
        self._loss_options = LossOptions(options.positive_weight, options.temperature, options.top_k)
        self._trained = student.trained()
        for weight in self._trained.values():
            # Python handles Ctrl-C only between its own calls. Backward is one call; a hook adds Python calls to it.
            weight.register_hook(_nothing)  # type: ignore[no-untyped-call]
        self._optimiser = _optimiser(list(self._trained.values()), options)
        self._evaluate_every = options.evaluate_every or max(1, run.total_steps // 10)

    def train(self) -> TrainState:
        """Run to the end, or to Ctrl-C; returns the last state."""
        if self._processes.is_first:
            self._log = RunLog(self._run.path, self.state.step, self._run.tensorboard)
        self._student.train()
        try:
            with Interruption(self.show) as interruption:
                self._run_steps(interruption)
        finally:
            if self._log:
                self._log.close()
        if self.state.best_step == 0 and (self._run.keep_last or self.state.start is None):
            self._save_model()
        return self.state

    def resume(self) -> None:
        """Continue from the saved state."""
        saved = torch.load(self._run.path / STATE, weights_only=True, map_location=self._student.device)
        with torch.no_grad():
            for name, weight in self._trained.items():
                weight.copy_(saved["weights"][name])
        self._optimiser.load_state_dict(saved["optimiser"])
        fields: dict[str, Any] = saved["state"]
        for name in ("start", "best"):
            if fields[name] is not None:
                fields[name] = Quality(**{**fields[name], "per_query": tuple(fields[name]["per_query"])})
        self.state = TrainState(**fields)

    def show(self, line: str) -> None:
        """Send a line to on_message, in the first process only."""
        if self._on_message and self._processes.is_first:
            self._on_message(line)

    def _run_steps(self, interruption: Interruption) -> None:
        state, begun = self.state, time.monotonic()
        seconds_before, first, shown_at = state.seconds, state.step, begun
        saved = state.step, state.evaluated
        while True:
            if self._is_stopped(interruption):
                self._save_state()
                raise KeyboardInterrupt
            if self._held_out and self._is_due(self._evaluate_every) and state.evaluated < state.step:
                self._evaluate(interruption)
                continue
            reached = state.step, state.evaluated
            if reached != saved and (self._is_due(self._options.save_every) or state.is_over):
                self._save_state()
                saved = reached
            if state.step == self._run.total_steps or state.is_over:
                return
            values = self._step()
            state.seconds = seconds_before + time.monotonic() - begun
            if self._log:
                self._log.step(state.step, values)
            if self._on_progress:
                self._on_progress(state.step / self._run.total_steps)
            if time.monotonic() - shown_at > _SHOW_EVERY_SECONDS:
                shown_at = time.monotonic()
                self.show(self._progress_line(values, (shown_at - begun) / (state.step - first)))

    def _save_state(self) -> None:
        """Write the state completely, or leave the old one."""
        if not self._processes.is_first:
            return
        path = self._run.path / STATE
        partial = path.with_suffix(".partial")
        weights = {name: weight.detach() for name, weight in self._trained.items()}
        torch.save(
            {"weights": weights, "optimiser": self._optimiser.state_dict(), "state": asdict(self.state)}, partial
        )
        os.replace(partial, path)

    def _save_model(self) -> None:
        if self._processes.is_first:
            self._write_model(self.state)

    def _is_stopped(self, interruption: Interruption) -> bool:
        """Whether the user has interrupted any of the processes."""
        return self._processes.total([float(interruption.requested)])[0] > 0

    def _is_due(self, every: int) -> bool:
        return self.state.step % every == 0 or self.state.step == self._run.total_steps

    def _step(self) -> dict[str, float]:
        """Take one optimiser step; returns its row of the log."""
        state, options, processes = self.state, self._options, self._processes
        started = time.monotonic()
        own = self._groups.step(state.step, processes.rank, processes.count)
        count = self._groups.groups_of_step(state.step)
        # Dropout depends on the step only, so no generator state needs saving.
        seeds = np.random.SeedSequence((options.seed, state.step, processes.rank))
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        total_loss, tokens = 0.0, [0, 0, 0]
        for some in pieces(own, options.max_batch_tokens):
            batch = self._student.batch(some)
            loss = self._loss(batch).sum() / count
            torch.autograd.backward(loss)
            total_loss += loss.item()
            tree = batch.tree
            for index, more in enumerate((tree.tree_tokens, tree.row_tokens, tree.padded_tokens)):
                tokens[index] += more
        processes.add_up(self._trained.values())
        total_loss, *summed = processes.total([total_loss, *tokens])
        norm = float(torch.nn.utils.clip_grad_norm_(list(self._trained.values()), options.clip))
        self._refuse_divergence(total_loss, norm)
        rate = options.learning_rate * options.factor(state.step, self._run.total_steps)
        for part in self._optimiser.param_groups:
            part["lr"] = rate
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        state.step += 1
        state.groups += count
        state.tokens = [before + more for before, more in zip(state.tokens, summed, strict=True)]
        seconds = time.monotonic() - started
        return {
            "loss": total_loss,
            "rate": rate,
            "gradient": norm,
            "groups_per_second": count / seconds,
            "tree_tokens": summed[0],
            "row_tokens": summed[1],
        }

    def _refuse_divergence(self, loss: float, norm: float) -> None:
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise InputError(
                f"step {self.state.step + 1}: loss {loss:g}, gradient {norm:g}: no finite numbers; lower the rate"
            )
        if self.state.step == 0 and norm == 0.0:
            raise InputError(f"the loss {self._options.loss} has no gradient on these data: nothing would be learned")

    def _loss(self, batch: TrainBatch) -> torch.Tensor:
        """The loss of each group, (G,)."""
        scored = self._student.scored(batch, vocabulary="sft" in self._mix)
        loss_G = mixed(self._mix, scored, self._loss_options)
        if self._options.anchor:
            start_GD = self._student.start_logits(batch)
            loss_G = loss_G + self._options.anchor * anchor(scored.logits_GD, start_GD, scored.real_GD)
        return loss_G

    def _quality(self) -> Quality:
        """The quality on all held-out groups; each process scores its share."""
        losses: list[float] = []
        scored: list[tuple[Any, Sequence[float]]] = []
        own = self._held_out[self._processes.rank :: self._processes.count]
        with evaluating(self._student):
            for some in pieces(own, self._options.max_batch_tokens):
                batch = self._student.batch(some)
                found = self._student.scored(batch)
                # Always bce: held-out examples then need no teacher, and runs with any loss are comparable.
                losses += bce(found, LossOptions()).tolist()
                logits_GD = found.logits_GD.float().cpu().numpy()
                scored += [
                    (logits_D[: len(group.labels)], group.labels)
                    for logits_D, group in zip(logits_GD, some, strict=True)
                ]
        return quality(self._processes.gather(losses), self._processes.gather(scored))

    def _evaluate(self, interruption: Interruption) -> None:
        """Evaluate. Write the model if it is the best so far, end the run if patience is over."""
        state = self.state
        try:
            # Either all processes finish or none, because they gather each other's scores.
            with interruption.at_once() if self._processes.count == 1 else nullcontext():
                found = self._quality()
        except KeyboardInterrupt:
            self._save_state()
            raise
        state.evaluated = state.step
        if self._log:
            self._log.evaluation(state.step, found.to_json())
        self.show(f"step {state.step:,}/{self._run.total_steps:,}  {as_line(found.to_json())}")
        if state.step == 0:
            state.start = state.best = found
        elif state.best is None or found.beats(state.best):
            state.best, state.best_step, state.stale = found, state.step, 0
            self._save_model()
        else:
            state.stale += 1
            state.is_over = 0 < self._options.patience <= state.stale

    def _progress_line(self, values: dict[str, float], seconds_a_step: float) -> str:
        left = (self._run.total_steps - self.state.step) * seconds_a_step
        return (
            f"step {self.state.step:,}/{self._run.total_steps:,}  loss {values['loss']:.4f}  "
            f"{values['groups_per_second']:.1f} groups/s  {left / 60:.1f} min left"
        )


def _nothing(gradient: torch.Tensor) -> None:
    """Leave the gradient unchanged."""


def _optimiser(weights: Sequence[torch.nn.Parameter], options: TrainOptions) -> torch.optim.Optimizer:
    # Norm weights are scales near 1; decay would pull them to 0.
    matrices, vectors = ([weight for weight in weights if (weight.dim() > 1) == wide] for wide in (True, False))
    parts = [{"params": matrices, "weight_decay": options.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW([part for part in parts if part["params"]], lr=options.learning_rate, betas=(0.9, 0.999))
