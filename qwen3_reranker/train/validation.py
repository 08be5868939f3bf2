"""Examples -> whether they can teach anything: one-class data, leaks, contradictions are refused."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qwen3_reranker.errors import InputError
from qwen3_reranker.prompt import Template
from qwen3_reranker.tokens import Tokens
from qwen3_reranker.train.examples import Example, normal
from qwen3_reranker.train.loss_mix import COMPARING, TAUGHT
from qwen3_reranker.weights import Checkpoint

Test = Callable[[Example], bool]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong: how many times, and where it is first; place: empty where it is nowhere."""

    problem: str
    count: int
    place: str
    remedy: str

    def __str__(self) -> str:
        times = f"{self.count} times, first at" if self.count > 1 else "at"
        where = f" ({times} {self.place})" if self.place else ""
        return f"{self.problem}{where}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class Report:
    """What examples hold. errors make training pointless or its evaluation a lie; warnings are worth a look."""

    examples: int
    positives: int
    negatives: int
    scored: int
    instructions: int
    errors: tuple[Finding, ...]
    warnings: tuple[Finding, ...]

    def refuse(self) -> None:
        """Raise InputError with the first error, if there is one."""
        if self.errors:
            more = f" ({len(self.errors) - 1} more kinds of error)" if len(self.errors) > 1 else ""
            raise InputError(f"{self.errors[0]}{more}")


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of the rendered rows: median, 95th percentile and longest, and how many rows are cut at `max_length`."""

    median: int
    high: int
    longest: int
    max_length: int
    rows: int
    cut: int


def check(examples: Sequence[Example], evaluation: Sequence[Example] = (), losses: Sequence[str] = ("bce",)) -> Report:
    """What examples hold and what is wrong with them, beside held-out ones and for these losses."""
    positives, negatives = sum(len(e.positives) for e in examples), sum(len(e.negatives) for e in examples)
    errors: list[Finding | None] = []
    if not examples:
        errors.append(Finding("no examples", 1, "", 'write lines of {"query", "pos", "neg"}'))
    elif not positives or not negatives:
        missing = "positive" if not positives else "negative"
        errors.append(
            Finding(
                f"every document is {'negative' if not positives else 'positive'}",
                1,
                examples[0].place,
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
    errors += _leaks(examples, evaluation)
    if evaluation and not any(each.positives and each.negatives for each in evaluation):
        errors.append(
            Finding("no held-out query has both kinds of document", 1, evaluation[0].place, "add negatives to them")
        )
    warnings = [
        _repeated(examples),
        _found(examples, _repeats, "a document stands twice for one query", "it counts twice"),
        _found(examples, _one_class, "a query with documents of one kind only", "its order cannot be learned"),
    ]
    return Report(
        len(examples),
        positives,
        negatives,
        sum(each.scores is not None for each in examples),
        len({each.instruction for each in examples}),
        tuple(each for each in errors if each),
        tuple(each for each in warnings if each),
    )


def taught_template(checkpoint: Checkpoint) -> Template:
    """The prompt that training teaches, the checkpoint's own; raises InputError if it is none of Qwen3-Reranker's."""
    template = checkpoint.template()
    if checkpoint.stored_prompt.note:
        _LOG.warning("%s", checkpoint.stored_prompt.note)
    if template.default_instruction is None:
        raise InputError(
            f"{checkpoint.name}: its judge reads the prompt {template.name}; training writes those of Qwen3-Reranker "
            "alone, with an instruction and the answers yes and no"
        )
    return template


def lengths(examples: Sequence[Example], template: Template, tokens: Tokens) -> Lengths:
    """How long the rendered rows are; `tokens` says where they are cut."""
    sizes: list[int] = []
    cut = 0
    for each in examples:
        heads, tails = template.pieces(each.instruction, [each.query] * len(each.documents), each.documents)
        rows = tokens.encode(heads, tails)
        sizes += [len(row.ids) + row.receipt.document_tokens - row.receipt.kept_tokens for row in rows]
        cut += sum(row.receipt.truncated or row.receipt.query_truncated for row in rows)
    middle, high = np.percentile(sizes, (50, 95)) if sizes else (0, 0)
    return Lengths(int(middle), int(high), max(sizes, default=0), tokens.max_length, len(sizes), cut)


def rendered(example: Example, template: Template) -> list[tuple[str, str]]:
    """("yes" or "no", the whole prompt) of the example's first positive and its first negative."""
    shown = []
    for word, documents in (("yes", example.positives[:1]), ("no", example.negatives[:1])):
        heads, tails = template.pieces(example.instruction, [example.query] * len(documents), documents)
        for head, tail in zip(heads, tails, strict=True):
            shown.append((word, template.prefix + head.text + template.middle + tail + template.suffix))
    return shown


def _leaks(examples: Sequence[Example], evaluation: Sequence[Example]) -> list[Finding | None]:
    queries = {normal(each.query) for each in examples}
    documents = {normal(text) for each in examples for text in each.positives}
    remedy = "take it out of one of them, or let `train prepare --hold-out` split"
    return [
        _found(evaluation, lambda each: normal(each.query) in queries, "a held-out query is trained on", remedy),
        _found(
            evaluation,
            lambda each: any(normal(text) in documents for text in each.positives),
            "a held-out query's positive document is a positive in training",
            remedy,
        ),
    ]


def _found(examples: Sequence[Example], is_wrong: Test, problem: str, remedy: str) -> Finding | None:
    places = [each.place or f"example {number}" for number, each in enumerate(examples, 1) if is_wrong(each)]
    return Finding(problem, len(places), places[0], remedy) if places else None


def _repeated(examples: Sequence[Example]) -> Finding | None:
    counts = Counter((normal(each.query), each.instruction) for each in examples)
    return _found(
        examples,
        lambda each: counts[normal(each.query), each.instruction] > 1,
        "a query stands on several lines",
        "its documents are never compared with one another",
    )


def _empty(each: Example) -> bool:
    return not each.documents


def _untaught(each: Example) -> bool:
    return each.scores is None


def _one_class(each: Example) -> bool:
    return not each.positives or not each.negatives


def _contradicts(each: Example) -> bool:
    return not {normal(text) for text in each.positives}.isdisjoint(normal(text) for text in each.negatives)


def _repeats(each: Example) -> bool:
    return len({normal(text) for text in each.positives}) < len(each.positives) or len(
        {normal(text) for text in each.negatives}
    ) < len(each.negatives)
