"""Examples and a larger reranker -> the same examples with its logits: what distillation learns from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from qwen3_reranker.errors import InputError
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.train.examples import Example, line_of, read_examples

#: Queries between two writes: what an interruption costs at most.
_AT_ONCE = 8


def distil(
    examples: Sequence[Example],
    teacher: Reranker,
    output: str | os.PathLike[str],
    *,
    resume: bool = False,
    on_progress: Callable[[float], None] | None = None,
) -> int:
    """Write the examples with the teacher's logits, a line as soon as it is known; returns how many were scored now.

    resume: go on behind the lines that `output` holds. Raises InputError if they are of other examples, and for an
    `output` that is there without resume.
    """
    path = Path(output)
    done = _done(path, examples) if resume and path.exists() else 0
    if path.exists() and not resume:
        raise InputError(f"{path} is there already: choose another place, or go on with --resume")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for start in range(done, len(examples), _AT_ONCE):
            file.writelines(line_of(each) for each in scored(examples[start : start + _AT_ONCE], teacher))
            file.flush()
            if on_progress:
                on_progress(min(1.0, (start + _AT_ONCE) / len(examples)))
    return len(examples) - done


def scored(examples: Sequence[Example], teacher: Reranker) -> Iterator[Example]:
    """Each example with the teacher's logit of each of its documents."""
    for each in examples:
        logits = teacher.logits([(each.query, text) for text in each.documents], each.instruction).tolist()
        first = len(each.positives)
        yield replace(each, positive_scores=tuple(logits[:first]), negative_scores=tuple(logits[first:]))


def _done(path: Path, examples: Sequence[Example]) -> int:
    """How many whole lines are written; half a line, of a process that was killed, is taken off."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        path.write_bytes(whole)
    found = read_examples(path)
    for each, example in zip(found, examples, strict=False):
        if (each.query, each.documents) != (example.query, example.documents):
            raise InputError(f"{path}: line of {each.query[:60]!r} is not of these examples; write to another file")
    if len(found) > len(examples):
        raise InputError(f"{path}: holds {len(found)} lines, more than the {len(examples)} examples; write elsewhere")
    return len(found)
