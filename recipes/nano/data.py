"""Training pairs on disk -> records, with a share of every source held out."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from qwen3_reranker.errors import InputError
from qwen3_reranker.text_lines import objects

HELD_OUT_PERCENT = 1
MOST_NEGATIVES = 8


@dataclass(frozen=True, slots=True)
class Record:
    """One query with texts that answer it and texts that do not.

    pool: one source and language; random negatives come from its records.
    """

    query: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...]
    instruction: str
    source: str
    pool: str
    held_out: bool
    synthetic: bool = False


def files(folder: Path) -> list[Path]:
    """The sources' files, in name order; raises InputError if there are none."""
    found = sorted(folder.glob("*.jsonl.xz")) + sorted(folder.glob("*.jsonl"))
    if not found:
        raise InputError(f"{folder}: expected training pairs as *.jsonl.xz or *.jsonl, found none")
    return found


def write(folder: Path, source: str, made: Iterable[Mapping[str, object]]) -> None:
    """Write the file of a source, completely, or leave the old one."""
    target = folder / f"{source}.jsonl.xz"
    part = target.with_suffix(".part")
    with lzma.open(part, "wt", encoding="utf-8") as written:
        for record in made:
            written.write(json.dumps(record, ensure_ascii=False) + "\n")
    os.replace(part, target)


def digests(folder: Path) -> dict[str, str]:
    """The sha256 of each file, for the recipe."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files(folder)}


def read(folder: Path, left_out: Collection[str] = ()) -> Iterator[Record]:
    """Every record of every source; the query's hash decides what is held out, so the split never changes.

    left_out: sources and languages whose records are skipped, to see what a model knows of what it never saw.
    """
    for path in files(folder):
        for _, fields in objects(path):
            if not {str(fields["source"]), *str(fields["lang"]).split(">")} & set(left_out):
                yield _record(fields)


def _record(fields: dict[str, object]) -> Record:
    query, source = str(fields["query"]), str(fields["source"])
    positives, negatives = fields["pos"], fields["neg"]
    if not isinstance(positives, list) or not isinstance(negatives, list):
        raise InputError(f"{source}: pos and neg must be lists, got {type(positives).__name__}")
    known = set(positives)
    return Record(
        query=query,
        positives=tuple(positives),
        negatives=tuple(text for text in negatives if text not in known)[:MOST_NEGATIVES],
        instruction=str(fields["instruction"]),
        source=source,
        pool=f"{source}/{fields['lang']}",
        held_out=is_held_out(query),
    )


def is_held_out(query: str) -> bool:
    """Whether this query is held out."""
    return int.from_bytes(hashlib.blake2b(query.encode(), digest_size=8).digest(), "little") % 100 < HELD_OUT_PERCENT
