"""The model card's prompt as token ids, split where the document begins: (head, tail)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
PREFIX = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


def head_text(query: str) -> str:
    """What all documents of a query share."""
    return f"{PREFIX}<Instruct>: {INSTRUCTION}\n<Query>: {query}\n<Document>:"


def tail_text(document: str) -> str:
    """What is a document's own."""
    return f" {document}{SUFFIX}"


class Rows:
    """Token ids of pairs; head + tail are the ids of the whole text, as no token spans the colon and the space."""

    def __init__(self, model: Path) -> None:
        self.tokenizer: Any = Tokenizer.from_file(str(model / "tokenizer.json"))
        self.yes, self.no = self.tokenizer.token_to_id("yes"), self.tokenizer.token_to_id("no")
        self.head = lru_cache(maxsize=64)(self._head)

    def _head(self, query: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(head_text(query), add_special_tokens=False).ids
        return ids

    def tails(self, documents: Iterable[str]) -> list[list[int]]:
        """The ids that follow a head, one list a document."""
        texts = [tail_text(document) for document in documents]
        return [encoded.ids for encoded in self.tokenizer.encode_batch(texts, add_special_tokens=False)]

    def split(self, pairs: list[tuple[str, str]]) -> list[tuple[list[int], list[int]]]:
        """(head, tail) of each pair."""
        tails = self.tails(document for _, document in pairs)
        return [(self.head(query), tail) for (query, _), tail in zip(pairs, tails, strict=True)]

    def rows(self, pairs: list[tuple[str, str]]) -> list[list[int]]:
        """All ids of each pair."""
        return [head + tail for head, tail in self.split(pairs)]
