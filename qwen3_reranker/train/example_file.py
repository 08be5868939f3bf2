"""JSON lines -> training examples: a query, positive and negative texts, optional teacher's scores."""

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
from qwen3_reranker.text_lines import objects
from qwen3_reranker.weights.replaced_file import replacing

#: Fields of a line; only the first is required.
FIELDS = ("query", "pos", "neg", "instruction", "pos_scores", "neg_scores", "id", "source", "lang")


@dataclass(frozen=True, slots=True)
class TrainExample:
    """A query with positive and negative documents.

    instruction: None for the model's default. positive_scores, negative_scores: a teacher's logit per document, or
    None. id: of the query in a TREC run. location: file and line, for messages.
    """

    query: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...]
    instruction: str | None = None
    positive_scores: tuple[float, ...] | None = None
    negative_scores: tuple[float, ...] | None = None
    id: str = ""
    source: str = ""
    location: str = ""

    @property
    def documents(self) -> tuple[str, ...]:
        """The positives, then the negatives."""
        return self.positives + self.negatives

    @property
    def scores(self) -> tuple[float, ...] | None:
        """The teacher's logit of each document; None if any is missing."""
        if self.positive_scores is None or self.negative_scores is None:
            return None
        return self.positive_scores + self.negative_scores

    def to_json(self) -> dict[str, Any]:
        """The fields of its line, without empty ones."""
        fields: dict[str, Any] = {"query": self.query, "pos": list(self.positives), "neg": list(self.negatives)}
        if self.instruction is not None:
            fields["instruction"] = self.instruction
        if self.positive_scores is not None:
            fields["pos_scores"] = list(self.positive_scores)
        if self.negative_scores is not None:
            fields["neg_scores"] = list(self.negative_scores)
        return fields | {name: value for name, value in (("id", self.id), ("source", self.source)) if value}


def read_examples(path: str | os.PathLike[str]) -> list[TrainExample]:
    """The examples of a .jsonl or .jsonl.xz file; raises InputError with file, line and field."""
    return [example(fields, location) for location, fields in objects(Path(path))]


def write_examples(path: str | os.PathLike[str], examples: Iterable[TrainExample]) -> int:
    """Write one line per example, all or nothing; returns the count."""
    destination = Path(path)
    destination.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with replacing(destination) as part, part.open("w", encoding="utf-8") as file:
        for count, each in enumerate(examples, 1):  # noqa: B007 - the count is what is returned
            file.write(line_of(each))
    return count


def line_of(each: TrainExample) -> str:
    """The line of an example, with its newline."""
    return json.dumps(each.to_json(), ensure_ascii=False) + "\n"


def example(fields: Mapping[str, Any], location: str) -> TrainExample:
    """The example of one line's fields; raises InputError."""
    if unknown := sorted(set(fields) - set(FIELDS)):
        raise InputError(
            f"{location}: unknown field {unknown[0]!r}: expected {', '.join(FIELDS)}; "
            "`qwen3-reranker train prepare` reads other formats"
        )
    positives, negatives = (_texts(fields, name, location) for name in ("pos", "neg"))
    return TrainExample(
        query=text_of(fields.get("query"), "query", location),
        positives=positives,
        negatives=negatives,
        instruction=None if fields.get("instruction") is None else _string(fields, "instruction", location),
        positive_scores=scores_of(fields.get("pos_scores"), len(positives), "pos_scores", location),
        negative_scores=scores_of(fields.get("neg_scores"), len(negatives), "neg_scores", location),
        id=_string(fields, "id", location),
        source=_string(fields, "source", location),
        location=location,
    )


def text_of(value: object, name: str, location: str) -> str:
    """A text, or {"text", "title"?, "id"?} with the title on its own line. Raises InputError for others."""
    if isinstance(value, dict) and set(value) <= {"text", "title", "id"}:
        parts = [value.get("title") or "", value.get("text")]
        value = "\n".join(filter(None, parts)) if all(isinstance(part, str) for part in parts) else value
    if not isinstance(value, str):
        raise InputError(f'{location}: {name} must be a string or {{"text": ...}}, got {type(value).__name__}')
    if not value.strip():
        raise InputError(f"{location}: {name} is empty; leave the line or the document out")
    return value


def scores_of(value: object, count: int, name: str, location: str) -> tuple[float, ...] | None:
    """Finite numbers, one per document, or None; raises InputError for others."""
    if value is None:
        return None
    if (
        not isinstance(value, list)
        or len(value) != count
        or not all(
            isinstance(each, int | float) and not isinstance(each, bool) and math.isfinite(each) for each in value
        )
    ):
        raise InputError(f"{location}: {name} must be {count} finite numbers, one per document")
    return tuple(map(float, value))


def _texts(fields: Mapping[str, Any], name: str, location: str) -> tuple[str, ...]:
    value = fields.get(name, [])
    if not isinstance(value, list):
        raise InputError(f"{location}: {name} must be a list of texts, got {type(value).__name__}")
    return tuple(text_of(each, f"{name}[{number}]", location) for number, each in enumerate(value))


def _string(fields: Mapping[str, Any], name: str, location: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise InputError(f"{location}: {name} must be a string, got {type(value).__name__}")
    return value


def normal(text: str) -> str:
    """A text without differences of case and white space, for comparing texts."""
    return " ".join(text.split()).casefold()


def digest(examples: Iterable[TrainExample]) -> str:
    """The sha256 of all lines."""
    total = hashlib.sha256()
    for each in examples:
        total.update(line_of(each).encode("utf-8", "surrogatepass"))
    return total.hexdigest()
