"""Records -> token ids in a few flat arrays, written once and read by every run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from qwen3_reranker.prompt import DEFAULT_INSTRUCTION, TEMPLATES
from recipes.nano.data import Record

# Training never uses longer texts, so the cache leaves their tails out.
MOST_TOKENS = 512
ENCODE_AT_ONCE = 20_000

Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Ragged:
    """Many short integer rows in one array: row i is `values[starts[i]:starts[i + 1]]`."""

    values: NDArray[Any]
    starts: NDArray[np.int64]

    def __getitem__(self, row: int) -> NDArray[Any]:
        return self.values[self.starts[row] : self.starts[row + 1]]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], dtype: Any) -> Ragged:
        """Pack rows of integers."""
        lengths = np.fromiter((len(row) for row in rows), np.int64, len(rows))
        values = np.fromiter((value for row in rows for value in row), dtype, int(lengths.sum()))
        return cls(values, np.concatenate(([0], lengths.cumsum())).astype(np.int64))


@dataclass(frozen=True, slots=True)
class Cache:
    """Records as integers. Documents, queries and openings are token rows; positives and negatives are documents.

    A head is its opening (instruction) and its query row, which ends with the document's label.
    """

    documents: Ragged
    queries: Ragged
    openings: Ragged
    positives: Ragged
    negatives: Ragged
    query: Ints
    opening: Ints
    source: Ints
    pool: Ints
    held_out: NDArray[np.bool_]
    synthetic: NDArray[np.bool_]
    names: dict[str, list[str]]

    def __len__(self) -> int:
        return len(self.query)

    @property
    def default_opening(self) -> int:
        """The opening that holds the default instruction."""
        return self.names["instruction"].index(DEFAULT_INSTRUCTION)

    def save(self, path: Path) -> None:
        """Write one .npz."""
        arrays: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Ragged):
                arrays[f"{field.name}.values"], arrays[f"{field.name}.starts"] = value.values, value.starts
            elif field.name == "names":
                arrays["names"] = np.array(json.dumps(value))
            else:
                arrays[field.name] = value
        np.savez(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> Cache:
        """Read what save wrote."""
        with np.load(path) as arrays:
            ragged = {name.partition(".")[0] for name in arrays.files if "." in name}
            values: dict[str, Any] = {
                name: Ragged(arrays[f"{name}.values"], arrays[f"{name}.starts"]) for name in ragged
            }
            values |= {name: arrays[name] for name in arrays.files if "." not in name and name != "names"}
            return cls(**values, names=json.loads(str(arrays["names"])))


class _Numbers(dict[str, int]):
    """Texts -> consecutive numbers, in order of appearance."""

    def of(self, text: str) -> int:
        return self.setdefault(text, len(self))


def build(records: Iterable[Record], tokenizer: Tokenizer) -> Cache:
    """Encode every distinct text once; `tokenizer` must be the literal one, to which control tokens are unknown."""
    documents, queries, instructions, sources, pools = (_Numbers() for _ in range(5))
    instructions.of(DEFAULT_INSTRUCTION)
    columns: dict[str, list[Any]] = {field.name: [] for field in fields(Cache)}
    for record in records:
        columns["positives"].append([documents.of(text) for text in record.positives])
        columns["negatives"].append([documents.of(text) for text in record.negatives])
        columns["query"].append(queries.of(record.query))
        columns["opening"].append(instructions.of(record.instruction))
        columns["source"].append(sources.of(record.source))
        columns["pool"].append(pools.of(record.pool))
        columns["held_out"].append(record.held_out)
        columns["synthetic"].append(record.synthetic)
    heads, _ = TEMPLATES["card"].pieces(None, list(queries), [])
    openings = [TEMPLATES["card"].pieces(text, [""], [])[0][0].opening for text in instructions]
    return Cache(
        documents=_encode([f" {text}" for text in documents], tokenizer),
        # Query and label are one text, because a query's last mark may merge with the line break after it.
        queries=_encode([head.query + head.closing for head in heads], tokenizer, keep_end=True),
        openings=_encode(openings, tokenizer, keep_end=True),
        positives=Ragged.of(columns["positives"], np.int32),
        negatives=Ragged.of(columns["negatives"], np.int32),
        query=np.array(columns["query"], np.int32),
        opening=np.array(columns["opening"], np.int32),
        source=np.array(columns["source"], np.int32),
        pool=np.array(columns["pool"], np.int32),
        held_out=np.array(columns["held_out"], np.bool_),
        synthetic=np.array(columns["synthetic"], np.bool_),
        names={"source": list(sources), "pool": list(pools), "instruction": list(instructions)},
    )


def _encode(texts: Sequence[str], tokenizer: Tokenizer, keep_end: bool = False) -> Ragged:
    rows: list[NDArray[np.uint16]] = []
    for first in range(0, len(texts), ENCODE_AT_ONCE):
        encodings = tokenizer.encode_batch_fast(list(texts[first : first + ENCODE_AT_ONCE]), add_special_tokens=False)
        for encoding in encodings:
            ids = encoding.ids
            rows.append(np.array(ids if keep_end else ids[:MOST_TOKENS], np.uint16))
    starts = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    return Ragged(np.concatenate(rows), starts)
