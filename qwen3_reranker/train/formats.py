"""Other tools' training files -> examples: triplets, labelled pairs and lists, FlagEmbedding, ms-swift."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate.lines import objects
from qwen3_reranker.train.examples import FIELDS, Example, example, text_of

Fields = Mapping[str, Any]
Lines = Iterable[tuple[Fields, str]]

_QUERIES = ("query", "anchor", "question", "sentence1")
_DOCUMENTS = ("document", "passage", "text", "response", "answer", "sentence2")
_LISTS = ("docs", "documents", "passages")
_LABELS = ("label", "labels", "score", "scores", "relevance")
_WORDS = {"yes": 1.0, "true": 1.0, "1": 1.0, "no": 0.0, "false": 0.0, "0": 0.0}


def read_any(
    path: str | os.PathLike[str], form: str = "auto", tell: Callable[[str], None] | None = None
) -> list[Example]:
    """The examples of a JSON lines file in any format of `FORMATS`; "auto" looks at the fields of its first line.

    tell: is told what was left out. Raises InputError for a format that is not known and for the first line that is
    not of it.
    """
    lines = [(fields, place) for place, fields in objects(Path(path))]
    if not lines:
        raise InputError(f"{os.fspath(path)}: expected one JSON object a line, got an empty file")
    if form == "auto":
        form = _guessed(*lines[0])
    if form not in FORMATS:
        raise InputError(f"unknown format {form!r}: expected auto, {', '.join(FORMATS)}")
    if tell and form == "flag-embedding" and (prompted := [place for fields, place in lines if fields.get("prompt")]):
        tell(
            f"left out {len(prompted):,} times the field prompt (first at {prompted[0]}): FlagEmbedding's rerankers "
            "read it behind the document, as the question to their judge; if it says what queries ask for, name it "
            "instruction"
        )
    return list(FORMATS[form](lines))


def _guessed(fields: Fields, place: str) -> str:
    names = set(fields)
    if names & {"messages", "rejected_response"}:
        return "ms-swift"
    if "pos" in names or "neg" in names:
        return "examples" if names <= set(FIELDS) else "flag-embedding"
    if names.intersection(_LISTS) and names.intersection(_LABELS):
        return "lists"
    if "positive" in names:
        return "triplets"
    if names.intersection(_DOCUMENTS) and names.intersection(_LABELS):
        return "pairs"
    raise InputError(
        f"{place}: no format that is known has the fields {', '.join(sorted(names)[:8])}; "
        'write {"query": ..., "pos": [...], "neg": [...]}'
    )


def _examples(lines: Lines) -> Iterator[Example]:
    for fields, place in lines:
        yield example(fields, place)


def _flag_embedding(lines: Lines) -> Iterator[Example]:
    """{query, pos, neg, pos_scores?, neg_scores?, query_prompt?}; query_prompt is the instruction.

    Other fields are left out, as `prompt`: FlagEmbedding's rerankers read it behind query and document ("Given a query
    A and a passage B, determine whether ..."), and Qwen3-Reranker's prompt has its own such sentence. Source: the class
    AbsLLMRerankerTrainDataset of https://github.com/FlagOpen/FlagEmbedding.
    """
    for fields, place in lines:
        known = {name: fields[name] for name in FIELDS if fields.get(name) is not None}
        if isinstance(known.get("id"), int):
            known["id"] = str(known["id"])
        if fields.get("query_prompt"):
            known["instruction"] = fields["query_prompt"]
        yield example(known, place)


def _triplets(lines: Lines) -> Iterator[Example]:
    """{query|anchor, positive, negative, negative_1...}; a positive or a negative may be a list of texts."""
    for fields, place in lines:
        negatives = [name for name in fields if name == "negative" or name.startswith(("negative_", "neg_"))]
        yield Example(
            query=_text(fields, _QUERIES, place),
            positives=_several(fields["positive"], "positive", place) if "positive" in fields else (),
            negatives=tuple(text for name in negatives for text in _several(fields[name], name, place)),
            instruction=_instruction(fields, place),
            place=place,
        )


def _pairs(lines: Lines) -> Iterator[Example]:
    """{query, document, label in [0, 1]}: lines of one query and instruction become one example, 0.5 and up a yes."""
    gathered = _Gathered()
    for fields, place in lines:
        query, document = _text(fields, _QUERIES, place), _text(fields, _DOCUMENTS, place)
        gathered.add(query, _instruction(fields, place), document, _label(_value(fields, _LABELS, place), place), place)
    yield from gathered.examples()


def _lists(lines: Lines) -> Iterator[Example]:
    """{query, docs, labels in [0, 1]}."""
    for fields, place in lines:
        query, gathered = _text(fields, _QUERIES, place), _Gathered()
        documents, labels = _value(fields, _LISTS, place), _value(fields, _LABELS, place)
        if not isinstance(documents, list) or not isinstance(labels, list) or len(documents) != len(labels):
            raise InputError(f"{place}: documents and labels must be lists of one length")
        for number, (document, label) in enumerate(zip(documents, labels, strict=True)):
            text = text_of(document, f"documents[{number}]", place)
            gathered.add(query, _instruction(fields, place), text, _label(label, place), place)
        yield from gathered.examples()


def _ms_swift(lines: Lines) -> Iterator[Example]:
    """{messages: [system?, user], positive_messages: [[assistant]...], negative_messages}; system is the instruction.

    Up to 3.7: {query, response, rejected_response}, or messages that end with the assistant's and rejected_response, a
    text or several. Source: the custom dataset formats in the documentation of https://github.com/modelscope/ms-swift.
    """
    for fields, place in lines:
        spoken = _roles(fields["messages"], "messages", place) if "messages" in fields else {}
        if "rejected_response" in fields:
            query = spoken.get("user") if spoken else _value(fields, _QUERIES, place)
            answer = spoken.get("assistant") if spoken else _value(fields, ("response",), place)
            positives, negatives = (
                () if value is None else _several(value, name, place)
                for name, value in (("response", answer), ("rejected_response", fields["rejected_response"]))
            )
        else:
            query = spoken.get("user")
            positives, negatives = (
                tuple(
                    text_of(_roles(each, f"{name}[{number}]", place).get("assistant"), f"{name}[{number}]", place)
                    for number, each in enumerate(fields.get(name) or [])
                )
                for name in ("positive_messages", "negative_messages")
            )
        instruction = fields.get("system") or spoken.get("system")
        if instruction is not None and not isinstance(instruction, str):
            raise InputError(f"{place}: system must be a string, got {type(instruction).__name__}")
        yield Example(text_of(query, "the user's message", place), positives, negatives, instruction, place=place)


FORMATS: dict[str, Callable[[Lines], Iterator[Example]]] = {
    "examples": _examples,
    "triplets": _triplets,
    "pairs": _pairs,
    "lists": _lists,
    "flag-embedding": _flag_embedding,
    "ms-swift": _ms_swift,
}


@dataclass(slots=True)
class _Gathered:
    """Labelled documents by query and instruction, in the order in which they came."""

    found: dict[tuple[str, str | None], tuple[str, list[str], list[str]]] = field(default_factory=dict)

    def add(self, query: str, instruction: str | None, document: str, label: float, place: str) -> None:
        _, positives, negatives = self.found.setdefault((query, instruction), (place, [], []))
        (positives if label >= 0.5 else negatives).append(document)

    def examples(self) -> Iterator[Example]:
        for (query, instruction), (place, positives, negatives) in self.found.items():
            yield Example(query, tuple(positives), tuple(negatives), instruction, place=place)


def _value(fields: Fields, names: tuple[str, ...], place: str) -> Any:
    for name in names:
        if name in fields:
            return fields[name]
    raise InputError(f"{place}: expected a field {' or '.join(names)}, got {', '.join(sorted(fields)[:8])}")


def _text(fields: Fields, names: tuple[str, ...], place: str) -> str:
    return text_of(_value(fields, names, place), names[0], place)


def _several(value: Any, name: str, place: str) -> tuple[str, ...]:
    return tuple(text_of(each, name, place) for each in (value if isinstance(value, list) else [value]))


def _instruction(fields: Fields, place: str) -> str | None:
    value = fields.get("instruction")
    if value is not None and not isinstance(value, str):
        raise InputError(f"{place}: instruction must be a string, got {type(value).__name__}")
    return value


def _label(value: object, place: str) -> float:
    if isinstance(value, str) and value.strip().casefold() in _WORDS:
        return _WORDS[value.strip().casefold()]
    if value in (True, False):
        return float(bool(value))
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        raise InputError(
            f"{place}: a label must be yes or no, true or false, or a number in 0..1, got {value!r:.40}; "
            "scale graded labels first"
        )
    return float(value)


def _roles(value: object, name: str, place: str) -> dict[str, Any]:
    if not isinstance(value, list) or not all(isinstance(each, dict) and "role" in each for each in value):
        raise InputError(f'{place}: {name} must be a list of {{"role", "content"}}')
    return {str(each["role"]): each.get("content") for each in value}
