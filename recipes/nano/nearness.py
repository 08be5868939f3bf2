"""Cached records -> how near the teacher holds each query and document, computed once before training.

Shapes: D documents of a group, H width of the teacher's vectors.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from recipes.nano.cache import Cache, Ragged
from recipes.nano.teacher import Teacher

# Sources in prose: code and commands are strange to the teacher, and where BM25 and labels do well it is not needed.
SOURCES = frozenset((
    "alike", "textbooks", "docstrings", "squad_dev", "selqa", "qed", "qamr", "covidqa", "pubmedqa",
    "wikitablequestions", "fetaqa", "drcd", "squad_it", "arcd", "faquad", "norquad", "cmrc2018", "heq",
))  # fmt: skip
MOST_TOKENS = {"passage": 112, "query": 48}
TEXTS_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Nearness:
    """Unit vectors by document and query. place_of_*: the row of each, -1 for none."""

    documents: NDArray[np.float16]
    queries: NDArray[np.float16]
    place_of_document: NDArray[np.int32]
    place_of_query: NDArray[np.int32]

    def of(self, query: int, chosen_D: NDArray[np.int32]) -> NDArray[np.float32]:
        """The cosine of the query and each document, (D,); NaN in all where one of them has no vector."""
        rows_D, row = self.place_of_document[chosen_D], self.place_of_query[query]
        if row < 0 or (rows_D < 0).any():
            return np.full(len(chosen_D), np.nan, np.float32)
        near_D: NDArray[np.float32] = self.documents[rows_D].astype(np.float32) @ self.queries[row].astype(np.float32)
        return near_D

    @classmethod
    def load(cls, path: Path) -> Nearness:
        """Read what `compute` wrote."""
        with np.load(path) as arrays:
            return cls(**{name: arrays[name] for name in cls.__slots__})


def compute(
    cache: Cache,
    literal: Tokenizer,
    path: Path,
    teacher: Teacher,
    log: Callable[[str], None],
    sources: Collection[str] = SOURCES,
) -> None:
    """Write the vectors of what these sources hold. Parts stand beside `path`, so that a stopped run goes on."""
    wanted = np.isin(np.array(cache.names["source"])[cache.source], sorted(sources))
    rows = np.flatnonzero(wanted).tolist()
    documents = np.unique(
        np.concatenate([ragged[row] for row in rows for ragged in (cache.positives, cache.negatives)])
    )
    found: dict[str, Any] = {}
    for kind, name, ids, texts in (
        ("query", "queries", np.unique(cache.query[rows]), cache.queries),
        ("passage", "documents", documents, cache.documents),
    ):
        found[name] = _vectors(teacher, kind, ids, texts, literal, path, log)
        places = np.full(len(texts), -1, np.int32)
        places[ids] = np.arange(len(ids), dtype=np.int32)
        found["place_of_query" if kind == "query" else "place_of_document"] = places
    np.savez(path, **found)


def _vectors(
    teacher: Teacher,
    kind: str,
    ids: NDArray[np.integer],
    texts: Ragged,
    literal: Tokenizer,
    path: Path,
    log: Callable[[str], None],
) -> NDArray[np.float16]:
    parts, started = [], time.monotonic()
    for first in range(0, len(ids), TEXTS_AT_ONCE):
        part = path.with_name(f"{path.stem}-{kind}-{first:07}.npy")
        if not part.exists():
            # The label of the document, which every cached query ends with, is no part of it.
            chosen = [literal.decode(texts[int(index)].tolist()) for index in ids[first : first + TEXTS_AT_ONCE]]
            read = [text.removesuffix("\n<Document>:").strip() for text in chosen]
            unfinished = part.with_suffix(".part")
            with unfinished.open("wb") as file:
                np.save(file, teacher.vectors(read, kind, MOST_TOKENS[kind]))
            os.replace(unfinished, part)
            log(f"{kind}: {first + len(read):,} of {len(ids):,} in {time.monotonic() - started:.0f} s")
        parts.append(np.load(part))
    return np.concatenate(parts)
