"""Other tools' training files -> examples: triplets, labelled pairs and lists, FlagEmbedding, ms-swift."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qwen3_reranker.errors import InputError
from qwen3_reranker.text_lines import objects
from qwen3_reranker.train.example_file import FIELDS, TrainExample, example, text_of

Fields = Mapping[str, Any]
Lines = Iterable[tuple[Fields, str]]

_QUERIES = ("query", "anchor", "question", "sentence1")
_DOCUMENTS = ("document", "passage", "text", "response", "answer", "sentence2")
_LISTS = ("docs", "documents", "passages")
_LABELS = ("label", "labels", "score", "scores", "relevance")
_WORDS = {"yes": 1.0, "true": 1.0, "1": 1.0, "no": 0.0, "false": 0.0, "0": 0.0}


def read_any(
    path: str | os.PathLike[str], form: str = "auto", on_message: Callable[[str], None] | None = None
) -> list[TrainExample]:
    """The examples of a JSON lines file in any format of `FORMATS`. "auto" detects it from the first line.

    on_message: called with a line about fields that were left out. Raises InputError for an unknown format and for the
    first line of another format.
    """
    lines = [(fields, location) for location, fields in objects(Path(path))]
    if not lines:
        raise InputError(f"{os.fspath(path)}: expected one JSON object a line, got an empty file")
    if form == "auto":
        form = _guessed(*lines[0])
    if form not in FORMATS:
        raise InputError(f"unknown format {form!r}: expected auto, {', '.join(FORMATS)}")
    prompted = [location for fields, location in lines if fields.get("prompt")]
    if on_message and form == "flag-embedding" and prompted:
        on_message(
            f"left out {len(prompted):,} times the field prompt (first at {prompted[0]}): FlagEmbedding's rerankers "
            "read it after the document, as the question to the model; if it says what queries ask for, name it "
            "instruction"
        )
    return list(FORMATS[form](lines))


def _guessed(fields: Fields, location: str) -> str:
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
        f"{location}: no known format has the fields {', '.join(sorted(names)[:8])}; "
        'write {"query": ..., "pos": [...], "neg": [...]}'
    )


def _examples(lines: Lines) -> Iterator[TrainExample]:
    for fields, location in lines:
        yield example(fields, location)


def _flag_embedding(lines: Lines) -> Iterator[TrainExample]:
    """{query, pos, neg, pos_scores?, neg_scores?, query_prompt?}; query_prompt is the instruction.

    Other fields are left out. One is `prompt`, which FlagEmbedding's rerankers read after query and document ("Given a
    query A and a passage B, determine whether ..."); Qwen3-Reranker's prompt has its own such sentence. Source: the
    class AbsLLMRerankerTrainDataset of https://github.com/FlagOpen/FlagEmbedding.
    """
    for fields, location in lines:
        known = {name: fields[name] for name in FIELDS if fields.get(name) is not None}
        if isinstance(known.get("id"), int):
            known["id"] = str(known["id"])
        if fields.get("query_prompt"):
            known["instruction"] = fields["query_prompt"]
        yield example(known, location)


def _triplets(lines: Lines) -> Iterator[TrainExample]:
    """{query|anchor, positive, negative, negative_1...}; a positive or a negative may be a list of texts."""
    for fields, location in lines:
        negatives = [name for name in fields if name == "negative" or name.startswith(("negative_", "neg_"))]
        yield TrainExample(
            query=_text(fields, _QUERIES, location),
            positives=_several(fields["positive"], "positive", location) if "positive" in fields else (),
            negatives=tuple(text for name in negatives for text in _several(fields[name], name, location)),
            instruction=_instruction(fields, location),
            location=location,
        )


def _pairs(lines: Lines) -> Iterator[TrainExample]:
    """{query, document, label in 0..1}: one example per query and instruction. Labels from 0.5 are yes."""
    gathered = _Gathered()
    for fields, location in lines:
        query, document = _text(fields, _QUERIES, location), _text(fields, _DOCUMENTS, location)
        gathered.add(
            query,
            _instruction(fields, location),
            document,
            _label(_value(fields, _LABELS, location), location),
            location,
        )
    yield from gathered.examples()


def _lists(lines: Lines) -> Iterator[TrainExample]:
    """{query, docs, labels in [0, 1]}."""
    for fields, location in lines:
        query, gathered = _text(fields, _QUERIES, location), _Gathered()
        documents, labels = _value(fields, _LISTS, location), _value(fields, _LABELS, location)
        if not isinstance(documents, list) or not isinstance(labels, list) or len(documents) != len(labels):
            raise InputError(f"{location}: documents and labels must be lists of one length")
        for number, (document, label) in enumerate(zip(documents, labels, strict=True)):
            text = text_of(document, f"documents[{number}]", location)
            gathered.add(query, _instruction(fields, location), text, _label(label, location), location)
        yield from gathered.examples()


def _ms_swift(lines: Lines) -> Iterator[TrainExample]:
    """{messages: [system?, user], positive_messages: [[assistant]...], negative_messages}; system is the instruction.

    Up to 3.7: {query, response, rejected_response}, or messages that end with the assistant's and rejected_response, a
    text or several. Source: the custom dataset formats in the documentation of https://github.com/modelscope/ms-swift.
    """
    for fields, location in lines:
        spoken = _roles(fields["messages"], "messages", location) if "messages" in fields else {}
        if "rejected_response" in fields:
            query = spoken.get("user") if spoken else _value(fields, _QUERIES, location)
            answer = spoken.get("assistant") if spoken else _value(fields, ("response",), location)
            positives, negatives = (
                () if value is None else _several(value, name, location)
                for name, value in (("response", answer), ("rejected_response", fields["rejected_response"]))
            )
        else:
            query = spoken.get("user")
            positives, negatives = (
                tuple(
                    text_of(_roles(each, f"{name}[{number}]", location).get("assistant"), f"{name}[{number}]", location)
                    for number, each in enumerate(fields.get(name) or [])
                )
                for name in ("positive_messages", "negative_messages")
            )
        instruction = fields.get("system") or spoken.get("system")
        if instruction is not None and not isinstance(instruction, str):
            raise InputError(f"{location}: system must be a string, got {type(instruction).__name__}")
        yield TrainExample(
            text_of(query, "the user's message", location), positives, negatives, instruction, location=location
        )


FORMATS: dict[str, Callable[[Lines], Iterator[TrainExample]]] = {
    "examples": _examples,
    "triplets": _triplets,
    "pairs": _pairs,
    "lists": _lists,
    "flag-embedding": _flag_embedding,
    "ms-swift": _ms_swift,
}


@dataclass(slots=True)
class _Gathered:
    """Labelled documents by query and instruction, in input order."""

    found: dict[tuple[str, str | None], tuple[str, list[str], list[str]]] = field(default_factory=dict)

    def add(self, query: str, instruction: str | None, document: str, label: float, location: str) -> None:
        _, positives, negatives = self.found.setdefault((query, instruction), (location, [], []))
        (positives if label >= 0.5 else negatives).append(document)

    def examples(self) -> Iterator[TrainExample]:
        for (query, instruction), (location, positives, negatives) in self.found.items():
            yield TrainExample(query, tuple(positives), tuple(negatives), instruction, location=location)


def _value(fields: Fields, names: tuple[str, ...], location: str) -> Any:
    for name in names:
        if name in fields:
            return fields[name]
    raise InputError(f"{location}: expected a field {' or '.join(names)}, got {', '.join(sorted(fields)[:8])}")


def _text(fields: Fields, names: tuple[str, ...], location: str) -> str:
    return text_of(_value(fields, names, location), names[0], location)


def _several(value: Any, name: str, location: str) -> tuple[str, ...]:
    return tuple(text_of(each, name, location) for each in (value if isinstance(value, list) else [value]))


def _instruction(fields: Fields, location: str) -> str | None:
    value = fields.get("instruction")
    if value is not None and not isinstance(value, str):
        raise InputError(f"{location}: instruction must be a string, got {type(value).__name__}")
    return value


def _label(value: object, location: str) -> float:
    if isinstance(value, str) and value.strip().casefold() in _WORDS:
        return _WORDS[value.strip().casefold()]
    if value in (True, False):
        return float(bool(value))
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        raise InputError(
            f"{location}: a label must be yes or no, true or false, or a number in 0..1, got {value!r:.40}; "
            "scale graded labels first"
        )
    return float(value)


def _roles(value: object, name: str, location: str) -> dict[str, Any]:
    if not isinstance(value, list) or not all(isinstance(each, dict) and "role" in each for each in value):
        raise InputError(f'{location}: {name} must be a list of {{"role", "content"}}')
    return {str(each["role"]): each.get("content") for each in value}
