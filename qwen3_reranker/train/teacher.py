"""Examples and a larger reranker -> the examples with its logits, for distillation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from qwen3_reranker.errors import InputError
from qwen3_reranker.text_reranker import TextReranker
from qwen3_reranker.train.example_file import TrainExample, line_of, read_examples

#: Queries between two writes; an interruption loses at most these.
_AT_ONCE = 8


def distil(
    examples: Sequence[TrainExample],
    teacher: TextReranker,
    output: str | os.PathLike[str],
    *,
    resume: bool = False,
    on_progress: Callable[[float], None] | None = None,
) -> int:
    """Write the examples with the teacher's logits, line by line. Returns the number scored in this call.

    resume: continue after the lines in `output`. Raises InputError if they belong to other examples, or if `output`
    exists without resume.
    """
    path = Path(output)
    done = _done(path, examples) if resume and path.exists() else 0
    if path.exists() and not resume:
        raise InputError(f"{path} exists already: choose another path, or continue with --resume")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for start in range(done, len(examples), _AT_ONCE):
            file.writelines(line_of(each) for each in scored(examples[start : start + _AT_ONCE], teacher))
            file.flush()
            if on_progress:
                on_progress(min(1.0, (start + _AT_ONCE) / len(examples)))
    return len(examples) - done


def scored(examples: Sequence[TrainExample], teacher: TextReranker) -> Iterator[TrainExample]:
    """Each example with the teacher's logit of each of its documents."""
    for each in examples:
        logits = teacher.logits([(each.query, text) for text in each.documents], each.instruction).tolist()
        first = len(each.positives)
        yield replace(each, positive_scores=tuple(logits[:first]), negative_scores=tuple(logits[first:]))


def _done(path: Path, examples: Sequence[TrainExample]) -> int:
    """The number of complete lines; removes an incomplete last line of a killed process."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        path.write_bytes(whole)
    found = read_examples(path)
    for each, example in zip(found, examples, strict=False):
        if (each.query, each.documents) != (example.query, example.documents):
            raise InputError(
                f"{path}: the line of {each.query[:60]!r} is not from these examples; write to another file"
            )
    if len(found) > len(examples):
        raise InputError(f"{path}: holds {len(found)} lines, more than the {len(examples)} examples; write elsewhere")
    return len(found)
