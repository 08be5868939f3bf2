"""A model and examples -> a folder that serves: the whole of fine-tuning, one station after the other."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from qwen3_reranker.backends.torch.devices import choose_device
from qwen3_reranker.errors import InputError
from qwen3_reranker.json_object import read_object
from qwen3_reranker.tokens import Tokens
from qwen3_reranker.train import card
from qwen3_reranker.train.examples import Example, digest
from qwen3_reranker.train.loss_mix import TAUGHT, parse_mix
from qwen3_reranker.train.options import TrainOptions, refuse_others
from qwen3_reranker.train.processes import join
from qwen3_reranker.train.run_log import RunLog
from qwen3_reranker.train.sampling import Groups
from qwen3_reranker.train.saving import base_of, save
from qwen3_reranker.train.student import Student
from qwen3_reranker.train.trainer import Standing, Trainer
from qwen3_reranker.train.validation import check, taught_template
from qwen3_reranker.weights import Checkpoint, open_checkpoint

MODEL, STATE, SETTINGS = "model", "state.pt", "run.json"


@dataclass(frozen=True, slots=True)
class Outcome:
    """model: the folder that serves, None where no evaluation beat the start; standing: how the run ended."""

    model: Path | None
    standing: Standing


def finetune(
    model: str | os.PathLike[str],
    examples: Sequence[Example],
    output: str | os.PathLike[str],
    options: TrainOptions | None = None,
    *,
    evaluation: Sequence[Example] = (),
    revision: str | None = None,
    device: str | None = None,
    resume: bool = False,
    tensorboard: bool = False,
    keep_last: bool = False,
    command: str = "",
    tell: Callable[[str], None] | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> Outcome:
    """Train `model` on examples and write `output`/model, which Reranker opens; state and logs lie beside it.

    model: what Reranker takes; an adapter is trained further. evaluation: held-out examples; the weights that order
    them best are kept, the last ones where there are none. Where no evaluation beats the start, only the state is
    written, or with keep_last the last weights, which are the worse model. resume: go on where `output` was left, if
    anything is there.
    Raises InputError for data that cannot teach, for settings that do not fit, and for an `output` that is in use.
    """
    options = options or TrainOptions()
    mix = parse_mix(options.loss)
    check(examples, evaluation, tuple(mix)).refuse()
    if options.random_negatives and set(mix) & set(TAUGHT):
        raise InputError(
            f"random_negatives have no teacher's scores, which the loss {options.loss} needs; ask for none"
        )
    processes = join(cpu=device == "cpu")
    place = processes.device(choose_device(device))
    checkpoint = open_checkpoint(model, revision)
    base = base_of(checkpoint, revision) if options.method == "lora" else None
    template = taught_template(checkpoint)
    tokens = Tokens(
        checkpoint.tokenizer,
        **template.constants,
        max_length=checkpoint.config.row_length(options.max_length),
        truncate_queries=True,
    )
    data = {"training": digest(examples)} | ({"held out": digest(evaluation)} if evaluation else {})
    folder = Path(output)
    settings = {"model": os.fspath(model), "revision": revision, "data": data, "options": options.to_json()}
    if processes.is_first:
        _begin(folder, settings, resume)
    processes.wait()
    torch.manual_seed(options.seed)
    student = Student(checkpoint, tokens, options, place, tuple(mix))
    groups = Groups(examples, template, tokens, options)
    origin = card.Origin(
        base.name if base else os.fspath(model),
        base.revision if base else revision,
        template,
        data,
        len(examples),
        len(evaluation),
        {name: version(name) for name in ("qwen3_reranker", "torch")},
        command,
    )

    def keep(standing: Standing) -> None:
        if processes.is_first:
            save(student, checkpoint, base, card.card(origin, options, standing), folder / MODEL)

    trainer = Trainer(
        student,
        groups,
        [groups.whole(each) for each in evaluation],
        options,
        options.total_steps(len(examples)),
        processes=processes,
        state=folder / STATE,
        keep=keep,
        keep_last=keep_last,
        tell=tell,
        on_progress=on_progress,
    )
    if resume and (folder / STATE).exists():
        trainer.resume()
    log = RunLog(folder, trainer.standing.step, tensorboard) if processes.is_first else None
    trainer.log = log
    if tell and processes.is_first:
        tell(_beginning(checkpoint, student, options, trainer, len(examples), len(evaluation)))
    try:
        standing = trainer.train()
    finally:
        if log:
            log.close()
    processes.wait()
    is_kept = standing.best_step > 0 or standing.start is None or keep_last
    return Outcome(folder / MODEL if is_kept else None, standing)


def _begin(folder: Path, settings: Mapping[str, Any], resume: bool) -> None:
    path = folder / SETTINGS
    if path.exists():
        if not resume:
            raise InputError(f"{folder}: a run lies here already; go on with --resume, or write to another folder")
        saved = read_object(path)
        wanted = json.loads(json.dumps(settings))
        refuse_others(
            {**saved, **saved.get("options", {}), "options": None},
            {**wanted, **wanted["options"], "options": None},
            str(folder),
        )
    elif folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: holds files that are no run's; write to a folder of its own")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _beginning(
    checkpoint: Checkpoint, student: Student, options: TrainOptions, trainer: Trainer, queries: int, held_out: int
) -> str:
    trained = sum(weight.numel() for weight in student.trained().values())
    return (
        f"{checkpoint.name}: {trained:,} of {checkpoint.config.num_parameters:,} weights learn ({options.method}), "
        f"{queries:,} queries, {held_out:,} held out, {trainer.total_steps:,} steps"
    )
