"""The columns of the published table as named suites: tasks, splits, measures, instructions. mteb provides the data.

The table is Table 4 of the technical report (arXiv 2506.05176): the best 100 of Qwen3-Embedding-0.6B, reranked.
suites.json has the tasks and instructions of the official evaluation, its spelling included; where that took the first
split of several, so do we. Its scripts run neither MLDR nor FollowIR, and put other instructions than intended into
some prompts (docs/evaluate.md), so digits need not agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen3_reranker.errors import unknown
from qwen3_reranker.evaluate.labelled import LabelledSet
from qwen3_reranker.evaluate.measures import Measure
from qwen3_reranker.evaluate.mteb_data import labelled_sets, load
from qwen3_reranker.json_object import read_object

#: Those that suites.json holds, known before it is read: the six columns, then two that are cheap.
SUITE_NAMES = ("mteb-r", "cmteb-r", "mmteb-r", "mldr", "mteb-code", "followir", "mldr-rerank", "nanobeir")


@dataclass(frozen=True, slots=True)
class SuiteTask:
    """One task of mteb. instruction: None where the data bring their own, or the model's default is meant."""

    name: str
    split: str
    measure: str
    instruction: str | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """One column. prompts: the ways to write the prompt; the published table was made with card-vllm, as it seems."""

    name: str
    meaning: str
    prompts: tuple[str, ...]
    tasks: tuple[SuiteTask, ...]


def suites() -> dict[str, Suite]:
    """All of them, by name."""
    fields = read_object(Path(__file__).with_name("suites.json"))
    return {name: _suite(name, each) for name, each in fields.items()}


def suite(name: str) -> Suite:
    """The suite of that name; raises InputError for an unknown one."""
    known = suites()
    if name not in known:
        raise unknown("suite", name, known)
    return known[name]


def suite_sets(name: str, on_progress: Callable[[float], None] | None = None) -> list[LabelledSet]:
    """The sets of a suite, fetched by mteb where its cache lacks them.

    Raises InputError for an unknown suite, UnavailableError where the data cannot be reached.
    """
    sets: list[LabelledSet] = []
    tasks = suite(name).tasks
    for number, task in enumerate(tasks, start=1):
        loaded = load(task.name, task.split)
        sets += labelled_sets(loaded, task.split, task.instruction, Measure.parse(task.measure))
        if on_progress:
            on_progress(number / len(tasks))
    return sets


def _suite(name: str, fields: dict[str, Any]) -> Suite:
    tasks = tuple(SuiteTask(**task) for task in fields["tasks"])
    return Suite(name, fields["meaning"], tuple(fields["prompts"]), tasks)
