"""JSON lines -> examples, strictly: a query with texts that answer it and texts that do not, and a teacher's scores."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate.lines import objects

#: What a line may hold; the first is all that it must.
FIELDS = ("query", "pos", "neg", "instruction", "pos_scores", "neg_scores", "id", "source", "lang")


@dataclass(frozen=True, slots=True)
class Example:
    """One query, the documents that answer it and those that do not.

    instruction: None for the model's own. positive_scores, negative_scores: a teacher's logits, one a document, or
    None. id: what a TREC run calls the query. place: file and line, for messages.
    """

    query: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...]
    instruction: str | None = None
    positive_scores: tuple[float, ...] | None = None
    negative_scores: tuple[float, ...] | None = None
    id: str = ""
    source: str = ""
    place: str = ""

    @property
    def documents(self) -> tuple[str, ...]:
        """The positives, then the negatives."""
        return self.positives + self.negatives

    @property
    def scores(self) -> tuple[float, ...] | None:
        """The teacher's logit of each document; None where one lacks."""
        if self.positive_scores is None or self.negative_scores is None:
            return None
        return self.positive_scores + self.negative_scores

    def to_json(self) -> dict[str, Any]:
        """The fields of its line; what is not set is left out."""
        fields: dict[str, Any] = {"query": self.query, "pos": list(self.positives), "neg": list(self.negatives)}
        if self.instruction is not None:
            fields["instruction"] = self.instruction
        if self.positive_scores is not None:
            fields["pos_scores"] = list(self.positive_scores)
        if self.negative_scores is not None:
            fields["neg_scores"] = list(self.negative_scores)
        return fields | {name: value for name, value in (("id", self.id), ("source", self.source)) if value}


def read_examples(path: str | os.PathLike[str]) -> list[Example]:
    """The examples of a .jsonl or .jsonl.xz file; raises InputError naming file, line and field of the first fault."""
    return [example(fields, place) for place, fields in objects(Path(path))]


def write_examples(path: str | os.PathLike[str], examples: Iterable[Example]) -> int:
    """Write one line an example, whole or not at all; returns how many."""
    destination = Path(path)
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.with_name(f".{destination.name}.partial")
    count = 0
    with part.open("w", encoding="utf-8") as file:
        for count, each in enumerate(examples, 1):  # noqa: B007 - the count is what is returned
            file.write(line_of(each))
    os.replace(part, destination)
    return count


def line_of(each: Example) -> str:
    """The line of an example, its end included."""
    return json.dumps(each.to_json(), ensure_ascii=False) + "\n"


def example(fields: Mapping[str, Any], place: str) -> Example:
    """The example of one line's fields; raises InputError naming what is wrong."""
    if unknown := sorted(set(fields) - set(FIELDS)):
        raise InputError(
            f"{place}: unknown field {unknown[0]!r}: expected {', '.join(FIELDS)}; "
            "`qwen3-reranker train prepare` reads other formats"
        )
    positives, negatives = (_texts(fields, name, place) for name in ("pos", "neg"))
    return Example(
        query=text_of(fields.get("query"), "query", place),
        positives=positives,
        negatives=negatives,
        instruction=None if fields.get("instruction") is None else _string(fields, "instruction", place),
        positive_scores=scores_of(fields.get("pos_scores"), len(positives), "pos_scores", place),
        negative_scores=scores_of(fields.get("neg_scores"), len(negatives), "neg_scores", place),
        id=_string(fields, "id", place),
        source=_string(fields, "source", place),
        place=place,
    )


def text_of(value: object, name: str, place: str) -> str:
    """A text, or {"text", "title"?, "id"?} with the title on a line of its own; raises InputError if empty or other."""
    if isinstance(value, dict) and set(value) <= {"text", "title", "id"}:
        parts = [value.get("title") or "", value.get("text")]
        value = "\n".join(filter(None, parts)) if all(isinstance(part, str) for part in parts) else value
    if not isinstance(value, str):
        raise InputError(f'{place}: {name} must be a string or {{"text": ...}}, got {type(value).__name__}')
    if not value.strip():
        raise InputError(f"{place}: {name} is empty; leave the line or the document out")
    return value


def scores_of(value: object, count: int, name: str, place: str) -> tuple[float, ...] | None:
    """Finite numbers, one a document; raises InputError for anything else, gives None for none."""
    if value is None:
        return None
    if (
        not isinstance(value, list)
        or len(value) != count
        or not all(
            isinstance(each, int | float) and not isinstance(each, bool) and math.isfinite(each) for each in value
        )
    ):
        raise InputError(f"{place}: {name} must be {count} finite numbers, one a document")
    return tuple(map(float, value))


def _texts(fields: Mapping[str, Any], name: str, place: str) -> tuple[str, ...]:
    value = fields.get(name, [])
    if not isinstance(value, list):
        raise InputError(f"{place}: {name} must be a list of texts, got {type(value).__name__}")
    return tuple(text_of(each, f"{name}[{number}]", place) for number, each in enumerate(value))


def _string(fields: Mapping[str, Any], name: str, place: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise InputError(f"{place}: {name} must be a string, got {type(value).__name__}")
    return value


def normal(text: str) -> str:
    """What makes two texts the same one: letters' case and runs of blanks do not count."""
    return " ".join(text.split()).casefold()


def digest(examples: Iterable[Example]) -> str:
    """One sha256 over all lines: what a run was trained on."""
    total = hashlib.sha256()
    for each in examples:
        total.update(line_of(each).encode("utf-8", "surrogatepass"))
    return total.hexdigest()
