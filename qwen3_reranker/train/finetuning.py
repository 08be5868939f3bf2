"""A run -> a folder that Reranker opens: the whole of fine-tuning, step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from qwen3_reranker.backends.torch.devices import choose_device
from qwen3_reranker.tokens import Tokens
from qwen3_reranker.train.card import card
from qwen3_reranker.train.loss_mix import parse_mix
from qwen3_reranker.train.processes import join
from qwen3_reranker.train.run import MODEL, STATE, TrainRun
from qwen3_reranker.train.sampling import Groups
from qwen3_reranker.train.saving import base_of, save
from qwen3_reranker.train.student import Student
from qwen3_reranker.train.trainer import Trainer, TrainState
from qwen3_reranker.train.validation import taught_template
from qwen3_reranker.weights import open_checkpoint


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run. model: the folder to open, None if no evaluation beat the start. state: of the last step.

    is_first: whether this is the one process, of those of a launcher, that writes and sends.
    """

    model: Path | None
    state: TrainState
    is_first: bool = True


def finetune(
    run: TrainRun,
    *,
    resume: bool = False,
    on_message: Callable[[str], None] | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> Outcome:
    """Train the run's model on its data and write run.folder/model. State and logs are in run.folder.

    The weights with the best order of the held-out examples are written. If no evaluation beats the start, no model is
    written, or with run.keep_last the last weights, which are worse than the start. resume: continue the run in
    run.folder, if there is one. on_message: called with a line to show. on_progress: called with the finished share.
    Raises InputError for data that cannot teach, for settings that do not fit, and for a folder in use.
    """
    run.refuse_bad_data()
    options = run.options
    mix = tuple(parse_mix(options.loss))
    processes = join(cpu=run.device == "cpu")
    device = processes.device(choose_device(run.device))
    checkpoint = open_checkpoint(run.model, run.revision)
    base = base_of(checkpoint, run.revision) if options.method == "lora" else None
    template = taught_template(checkpoint)
    tokens = Tokens(
        checkpoint.tokenizer,
        **template.constants,
        max_length=checkpoint.config.row_length(options.max_length),
        truncate_queries=True,
    )
    if processes.is_first:
        run.begin(resume)
    processes.wait()
    torch.manual_seed(options.seed)
    student = Student(checkpoint, tokens, options, device, mix)

    def write_model(state: TrainState) -> None:
        save(student, checkpoint, base, card(run, base, template, state), run.path / MODEL)

    trainer = Trainer(
        run,
        student,
        Groups(run.data, template, tokens, options),
        processes,
        write_model=write_model,
        on_message=on_message,
        on_progress=on_progress,
    )
    if resume and (run.path / STATE).exists():
        trainer.resume()
    trained = sum(weight.numel() for weight in student.trained().values())
    trainer.show(
        f"{checkpoint.name}: {trained:,} of {checkpoint.config.num_parameters:,} weights learn ({options.method}), "
        f"{len(run.data):,} queries, {len(run.held_out):,} held out, {run.total_steps:,} steps"
    )
    state = trainer.train()
    processes.wait()
    is_written = state.best_step > 0 or state.start is None or run.keep_last
    return Outcome(run.path / MODEL if is_written else None, state, processes.is_first)
