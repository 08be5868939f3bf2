"""A file of one model's logits over a set's lists, which a later run continues."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from qwen3_reranker.errors import InputError

FORMAT = 1
# A server in 16 bits gives a text another logit in another batch, by less than this.
_SAME_LOGIT = 0.1


@dataclass(frozen=True, slots=True)
class QueryLogits:
    """One query's list with the model's logits, in the list's order, and what that took."""

    query: str
    documents: tuple[str, ...]
    logits: tuple[float, ...]
    prompt_tokens: int
    computed_tokens: int
    truncated_documents: int
    seconds: float
    query_truncated: bool = False


class LogitsFile:
    """Logits of queries on disk. The lines of a stopped run are read, without one that it did not finish.

    belongs_to: everything that logits depend on, and the first line. Its hash is part of the file's name, so another
    model, instruction, prompt, precision or first stage never continues this file. probe: logits of a server for known
    texts, in the first line too; a server with other weights at the same address does not continue the file. Raises
    InputError for that, for a file that holds something else, and for one that cannot be read or written.
    """

    def __init__(self, folder: Path, name: str, belongs_to: Mapping[str, Any], probe: Sequence[float] = ()) -> None:
        self.belongs_to = {"format": FORMAT, **belongs_to}
        self._probe = list(probe)
        header = json.dumps(self.belongs_to, sort_keys=True, ensure_ascii=False)
        digest = hashlib.sha256(header.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        self.path = folder / f"{file_name(name)}-{digest}.jsonl"
        self.judged: dict[str, QueryLogits] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not self.path.exists() or not self._read():
                first = {**self.belongs_to, "probe": self._probe} if self._probe else self.belongs_to
                self.path.write_text(json.dumps(first, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
            self._file = self.path.open("a", encoding="utf-8", newline="\n")
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read or written ({error.strerror})") from None

    def add(self, judged: QueryLogits) -> None:
        """Keep one more query, on disk when this returns."""
        self._file.write(json.dumps(asdict(judged), ensure_ascii=False) + "\n")
        self._file.flush()
        self.judged[judged.query] = judged

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _read(self) -> bool:
        """Read the file and cut an unfinished line off. False if not even the first line is finished."""
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(self.path, len(whole))
        lines = whole.decode("utf-8", "replace").split("\n")[:-1]
        if not lines:
            return False
        try:
            header, *rows = map(json.loads, lines)
            self.judged = {row["query"]: _query_logits(row) for row in rows}
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{self.path}: damaged ({error}); delete it and run again") from None
        probe = header.pop("probe", [])
        if not np.allclose(probe, self._probe, rtol=0, atol=_SAME_LOGIT):
            raise InputError(
                f"{self.path}: the server scores known texts other than when this file was begun, so it has another "
                "model now; delete the file or move it"
            )
        if header != self.belongs_to:
            raise InputError(
                f"{self.path}: belongs to another evaluation, as its first line says; delete it or move it"
            )
        return True


def _query_logits(row: dict[str, Any]) -> QueryLogits:
    row["documents"], row["logits"] = tuple(row["documents"]), tuple(row["logits"])
    return QueryLogits(**row)


def file_name(text: str) -> str:
    """A text as the name of a file: its last letters, digits, points and dashes."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.")[-60:] or "unnamed"
