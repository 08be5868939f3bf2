"""Groups -> trained weights: steps, evaluations, early stop, and a state from which a run goes on bit for bit."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qwen3_reranker.errors import InputError
from qwen3_reranker.train.group_measures import Quality, quality, shown
from qwen3_reranker.train.interruption import Interruption
from qwen3_reranker.train.loss_mix import parse_mix
from qwen3_reranker.train.losses import LossOptions, anchor, bce, mixed
from qwen3_reranker.train.options import TrainOptions
from qwen3_reranker.train.processes import Processes
from qwen3_reranker.train.run_log import RunLog
from qwen3_reranker.train.sampling import Group, Groups, pieces
from qwen3_reranker.train.student import Batch, Student, evaluating

_TOLD_EVERY_SECONDS = 30.0


@dataclass(slots=True)
class Standing:
    """Where a run is. tokens: computed in trees, held by separate rows, held by padded rows. start: quality before it.

    evaluated: the step of the last evaluation, -1 before any. best_step: 0 where no evaluation beat the first; stale:
    evaluations since the best.
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
    over: bool = False

    @property
    def savings(self) -> str:
        """What the tree saved, in words."""
        tree, rows, padded = self.tokens
        return f"{tree:,.0f} tokens computed of {rows:,.0f} in separate rows and {padded:,.0f} in padded batches"


class Trainer:
    """One run of a student over groups: `train` ends with it, or with KeyboardInterrupt and a saved state after Ctrl-C.

    state: the file to resume from, None for no saving. keep: called with the standing when weights are worth keeping:
    those of the best evaluation that beat the start, and the last ones where nothing was evaluated or keep_last asks.
    """

    def __init__(
        self,
        student: Student,
        groups: Groups,
        evaluation: Sequence[Group],
        options: TrainOptions,
        total_steps: int,
        *,
        processes: Processes | None = None,
        state: Path | None = None,
        log: RunLog | None = None,
        keep: Callable[[Standing], None] | None = None,
        keep_last: bool = False,
        tell: Callable[[str], None] | None = None,
        on_progress: Callable[[float], None] | None = None,
    ) -> None:
        self.student, self.options, self.total_steps = student, options, total_steps
        self.standing = Standing()
        self._groups, self._evaluation = groups, list(evaluation)
        self._processes, self._state, self.log = processes or Processes(), state, log
        self._keep, self._keep_last = keep, keep_last
        self._tell, self._on_progress = tell, on_progress
        self._mix = parse_mix(options.loss)
        self._loss_options = LossOptions(options.positive_weight, options.temperature, options.top_k)
        self._trained = student.trained()
        for weight in self._trained.values():
            # Backward is one call, and Python hears of Ctrl-C between calls alone: a hook is a call of Python's in it.
            weight.register_hook(_nothing)  # type: ignore[no-untyped-call]
        self._optimiser = _optimiser(list(self._trained.values()), options)
        self._evaluate_every = options.evaluate_every or max(1, total_steps // 10)

    def train(self, stop_after: int | None = None) -> Standing:
        """Go on to the end of the run, or until `stop_after` steps in all; then the state is saved."""
        standing, begun = self.standing, time.monotonic()
        before, first, told = standing.seconds, standing.step, begun
        saved = standing.step, standing.evaluated
        self.student.train()
        with Interruption(self._say) as interruption:
            while True:
                if self._is_stopped(interruption):
                    self.save()
                    raise KeyboardInterrupt
                if self._evaluation and self._is_due(self._evaluate_every) and standing.evaluated < standing.step:
                    self._judge(interruption)
                    continue
                reached = standing.step, standing.evaluated
                if reached != saved and (self._is_due(self.options.save_every) or standing.over):
                    self.save()
                    saved = reached
                if standing.step == self.total_steps or standing.over:
                    break
                if standing.step == stop_after:
                    self.save()
                    return standing
                values = self._step()
                standing.seconds = before + time.monotonic() - begun
                if self.log and self._processes.is_first:
                    self.log.step(standing.step, values)
                if self._on_progress:
                    self._on_progress(standing.step / self.total_steps)
                if time.monotonic() - told > _TOLD_EVERY_SECONDS:
                    told = time.monotonic()
                    self._say(self._line(values, (told - begun) / (standing.step - first)))
        if self._keep and standing.best_step == 0 and (self._keep_last or standing.start is None):
            self._keep(standing)
        return standing

    def save(self) -> None:
        """Write the state, whole or not at all."""
        if self._state is None or not self._processes.is_first:
            return
        standing = asdict(self.standing)
        state = {
            "weights": {name: weight.detach() for name, weight in self._trained.items()},
            "optimiser": self._optimiser.state_dict(),
            "standing": standing,
        }
        part = self._state.with_suffix(".partial")
        torch.save(state, part)
        os.replace(part, self._state)

    def resume(self) -> None:
        """Continue where the state was saved."""
        assert self._state is not None
        state = torch.load(self._state, weights_only=True, map_location=self.student.device)
        with torch.no_grad():
            for name, weight in self._trained.items():
                weight.copy_(state["weights"][name])
        self._optimiser.load_state_dict(state["optimiser"])
        fields: dict[str, Any] = state["standing"]
        for name in ("start", "best"):
            if fields[name] is not None:
                fields[name] = Quality(**{**fields[name], "per_query": tuple(fields[name]["per_query"])})
        self.standing = Standing(**fields)

    def _is_stopped(self, interruption: Interruption) -> bool:
        """Whether the user has asked any of the processes to stop."""
        return self._processes.total([float(interruption.requested)])[0] > 0

    def _is_due(self, every: int) -> bool:
        return self.standing.step % every == 0 or self.standing.step == self.total_steps

    def _step(self) -> dict[str, float]:
        """One optimiser step; the numbers of its log row."""
        standing, options, processes = self.standing, self.options, self._processes
        started = time.monotonic()
        own = self._groups.step(standing.step, processes.rank, processes.count)
        count = self._groups.groups_of_step(standing.step)
        # Dropout is a function of the step too, so no state of a generator is to be saved.
        seeds = np.random.SeedSequence((options.seed, standing.step, processes.rank))
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        lost, tokens = 0.0, [0, 0, 0]
        for some in pieces(own, options.max_batch_tokens):
            batch = self.student.batch(some)
            loss = self._loss(batch).sum() / count
            torch.autograd.backward(loss)
            lost += loss.item()
            for place, each in enumerate((batch.tree_tokens, batch.row_tokens, batch.padded_tokens)):
                tokens[place] += each
        processes.add_up(self._trained.values())
        lost, *summed = processes.total([lost, *tokens])
        norm = float(torch.nn.utils.clip_grad_norm_(list(self._trained.values()), options.clip))
        self._refuse(lost, norm)
        rate = options.learning_rate * options.factor(standing.step, self.total_steps)
        for part in self._optimiser.param_groups:
            part["lr"] = rate
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        standing.step += 1
        standing.groups += count
        standing.tokens = [before + more for before, more in zip(standing.tokens, summed, strict=True)]
        seconds = time.monotonic() - started
        return {
            "loss": lost,
            "rate": rate,
            "gradient": norm,
            "groups_per_second": count / seconds,
            "tree_tokens": summed[0],
            "row_tokens": summed[1],
        }

    def _refuse(self, lost: float, norm: float) -> None:
        if not (math.isfinite(lost) and math.isfinite(norm)):
            raise InputError(
                f"step {self.standing.step + 1}: loss {lost:g}, gradient {norm:g}: no finite numbers; lower the rate"
            )
        if self.standing.step == 0 and norm == 0.0:
            raise InputError(f"the loss {self.options.loss} has no gradient on these data: nothing would be learned")

    def _loss(self, batch: Batch) -> torch.Tensor:
        """The loss of each group, (G,)."""
        judged = self.student.judged(batch, vocabulary="sft" in self._mix)
        loss_G = mixed(self._mix, judged, self._loss_options)
        if self.options.anchor:
            start_GD = self.student.start_logits(batch)
            loss_G = loss_G + self.options.anchor * anchor(judged.logits_GD, start_GD, judged.real_GD)
        return loss_G

    def _evaluated(self) -> Quality:
        """The quality on the evaluation groups; every process judges its share and knows the whole."""
        losses: list[float] = []
        judged: list[tuple[Any, Sequence[float]]] = []
        own = self._evaluation[self._processes.rank :: self._processes.count]
        with evaluating(self.student):
            for some in pieces(own, self.options.max_batch_tokens):
                batch = self.student.batch(some)
                found = self.student.judged(batch)
                # Whatever is trained, held-out examples need no teacher, and runs can be compared.
                losses += bce(found, LossOptions()).tolist()
                logits_GD = found.logits_GD.float().cpu().numpy()
                judged += [
                    (logits_D[: len(group.labels)], group.labels)
                    for logits_D, group in zip(logits_GD, some, strict=True)
                ]
        return quality(self._processes.gather(losses), self._processes.gather(judged))

    def _judge(self, interruption: Interruption) -> None:
        """Evaluate; keep the weights if they are the best so far, end the run if nothing has improved for long."""
        standing = self.standing
        try:
            # Several processes must all come to the end, or none: they gather what each has judged.
            with interruption.at_once() if self._processes.count == 1 else nullcontext():
                found = self._evaluated()
        except KeyboardInterrupt:
            self.save()
            raise
        standing.evaluated = standing.step
        if self.log and self._processes.is_first:
            self.log.evaluation(standing.step, found.to_json())
        self._say(f"step {standing.step:,}/{self.total_steps:,}  {shown(found.to_json())}")
        if standing.step == 0:
            standing.start = standing.best = found
        elif standing.best is None or found.beats(standing.best):
            standing.best, standing.best_step, standing.stale = found, standing.step, 0
            if self._keep:
                self._keep(standing)
        else:
            standing.stale += 1
            standing.over = 0 < self.options.patience <= standing.stale

    def _line(self, values: dict[str, float], seconds_a_step: float) -> str:
        left = (self.total_steps - self.standing.step) * seconds_a_step
        return (
            f"step {self.standing.step:,}/{self.total_steps:,}  loss {values['loss']:.4f}  "
            f"{values['groups_per_second']:.1f} groups/s  {left / 60:.1f} min left"
        )

    def _say(self, line: str) -> None:
        if self._tell and self._processes.is_first:
            self._tell(line)


def _nothing(gradient: torch.Tensor) -> None:
    """Leave the gradient as it is."""


def _optimiser(weights: Sequence[torch.nn.Parameter], options: TrainOptions) -> torch.optim.Optimizer:
    # Norms are scales around 1: decay would pull them to 0.
    matrices, vectors = ([weight for weight in weights if (weight.dim() > 1) == wide] for wide in (True, False))
    parts = [{"params": matrices, "weight_decay": options.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW([part for part in parts if part["params"]], lr=options.learning_rate, betas=(0.9, 0.999))
