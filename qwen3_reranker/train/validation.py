"""Examples -> their problems: one-class data, leaks and contradictions are errors."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qwen3_reranker.errors import InputError
from qwen3_reranker.prompt import Template
from qwen3_reranker.tokens import Tokens
from qwen3_reranker.train.example_file import TrainExample, normal
from qwen3_reranker.train.loss_mix import COMPARING, TAUGHT
from qwen3_reranker.weights import Checkpoint

Test = Callable[[TrainExample], bool]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DataProblem:
    """A problem, its count, its first location (empty if none) and what to do."""

    problem: str
    count: int
    location: str
    remedy: str

    def __str__(self) -> str:
        times = f"{self.count} times, first at" if self.count > 1 else "at"
        where = f" ({times} {self.location})" if self.location else ""
        return f"{self.problem}{where}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class DataReport:
    """What examples contain; errors make training or held_out meaningless, warnings may be intended."""

    examples: int
    positives: int
    negatives: int
    scored: int
    instructions: int
    errors: tuple[DataProblem, ...]
    warnings: tuple[DataProblem, ...]

    def refuse(self) -> None:
        """Raise InputError with the first error, if any."""
        if self.errors:
            more = f" ({len(self.errors) - 1} more kinds of error)" if len(self.errors) > 1 else ""
            raise InputError(f"{self.errors[0]}{more}")


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of the rendered rows: median, 95th percentile, longest; `cut`: rows truncated at `max_length`.

    Texts that are too long to be read whole count with a lower bound.
    """

    median: int
    high: int
    longest: int
    max_length: int
    rows: int
    cut: int


def check(
    examples: Sequence[TrainExample], held_out: Sequence[TrainExample] = (), losses: Sequence[str] = ("bce",)
) -> DataReport:
    """Check examples, also against held-out ones and for these losses."""
    positives, negatives = sum(len(e.positives) for e in examples), sum(len(e.negatives) for e in examples)
    errors: list[DataProblem | None] = []
    if not examples:
        errors.append(DataProblem("no examples", 1, "", 'write lines of {"query", "pos", "neg"}'))
    elif not positives or not negatives:
        missing = "positive" if not positives else "negative"
        errors.append(
            DataProblem(
                f"every document is {'negative' if not positives else 'positive'}",
                1,
                examples[0].location,
                f"add {missing} documents, or the model learns to answer one word (train mine finds negatives)",
            )
        )
    errors += [
        _found(examples, _empty, "a query without documents", "leave the line out"),
        _found(examples, _contradicts, "a document is positive and negative for one query", "keep one of them"),
    ]
    if set(losses) & set(COMPARING):
        remedy = f"the loss {' + '.join(losses)} compares them; leave such queries out, or train with bce"
        errors.append(_found(examples, _one_class, "a query with documents of one kind only", remedy))
    if set(losses) & set(TAUGHT):
        remedy = f"the loss {' + '.join(losses)} learns from a teacher; add them with train distil"
        errors.append(_found(examples, _untaught, "a query without pos_scores and neg_scores", remedy))
    errors += _leaks(examples, held_out)
    if held_out and not any(each.positives and each.negatives for each in held_out):
        errors.append(
            DataProblem(
                "no held-out query has both kinds of document", 1, held_out[0].location, "add negatives to them"
            )
        )
    warnings = [
        _repeated(examples),
        _found(examples, _repeats, "a document occurs twice for one query", "it counts twice"),
        _found(examples, _one_class, "a query with documents of one kind only", "its order cannot be learned"),
    ]
    return DataReport(
        len(examples),
        positives,
        negatives,
        sum(each.scores is not None for each in examples),
        len({each.instruction for each in examples}),
        tuple(each for each in errors if each),
        tuple(each for each in warnings if each),
    )


def taught_template(checkpoint: Checkpoint) -> Template:
    """The checkpoint's own prompt, for training; raises InputError if it is not one of Qwen3-Reranker's."""
    template = checkpoint.template()
    if checkpoint.stored_prompt.note:
        _LOG.warning("%s", checkpoint.stored_prompt.note)
    if template.default_instruction is None:
        raise InputError(
            f"{checkpoint.name}: it reads the prompt {template.name}; training supports only the prompts of "
            "Qwen3-Reranker, with an instruction and the answers yes and no"
        )
    return template


def lengths(examples: Sequence[TrainExample], template: Template, tokens: Tokens) -> Lengths:
    """Lengths of the rendered rows; `tokens` truncates them."""
    sizes: list[int] = []
    cut = 0
    for each in examples:
        heads, tails = template.pieces(each.instruction, [each.query] * len(each.documents), each.documents)
        rows = tokens.encode(heads, tails)
        sizes += [len(row.ids) + row.receipt.document_tokens - row.receipt.kept_tokens for row in rows]
        cut += sum(row.receipt.truncated or row.receipt.query_truncated for row in rows)
    middle, high = np.percentile(sizes, (50, 95)) if sizes else (0, 0)
    return Lengths(int(middle), int(high), max(sizes, default=0), tokens.max_length, len(sizes), cut)


def rendered(example: TrainExample, template: Template) -> list[tuple[str, str]]:
    """("yes" or "no", the whole prompt) of the example's first positive and its first negative."""
    shown = []
    for word, documents in (("yes", example.positives[:1]), ("no", example.negatives[:1])):
        heads, tails = template.pieces(example.instruction, [example.query] * len(documents), documents)
        for head, tail in zip(heads, tails, strict=True):
            shown.append((word, template.prefix + head.text + template.middle + tail + template.suffix))
    return shown


def _leaks(examples: Sequence[TrainExample], held_out: Sequence[TrainExample]) -> list[DataProblem | None]:
    queries = {normal(each.query) for each in examples}
    documents = {normal(text) for each in examples for text in each.positives}
    remedy = "take it out of one of them, or let `train prepare --hold-out` split"
    return [
        _found(held_out, lambda each: normal(each.query) in queries, "a held-out query is trained on", remedy),
        _found(
            held_out,
            lambda each: any(normal(text) in documents for text in each.positives),
            "a held-out query's positive document is a positive in training",
            remedy,
        ),
    ]


def _found(examples: Sequence[TrainExample], is_wrong: Test, problem: str, remedy: str) -> DataProblem | None:
    locations = [each.location or f"example {number}" for number, each in enumerate(examples, 1) if is_wrong(each)]
    return DataProblem(problem, len(locations), locations[0], remedy) if locations else None


def _repeated(examples: Sequence[TrainExample]) -> DataProblem | None:
    counts = Counter((normal(each.query), each.instruction) for each in examples)
    return _found(
        examples,
        lambda each: counts[normal(each.query), each.instruction] > 1,
        "a query occurs on several lines",
        "its documents are never compared with one another",
    )


def _empty(each: TrainExample) -> bool:
    return not each.documents


def _untaught(each: TrainExample) -> bool:
    return each.scores is None


def _one_class(each: TrainExample) -> bool:
    return not each.positives or not each.negatives


def _contradicts(each: TrainExample) -> bool:
    return not {normal(text) for text in each.positives}.isdisjoint(normal(text) for text in each.negatives)


def _repeats(each: TrainExample) -> bool:
    return len({normal(text) for text in each.positives}) < len(each.positives) or len(
        {normal(text) for text in each.negatives}
    ) < len(each.negatives)
