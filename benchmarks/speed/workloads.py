"""What is scored: real sentences from this repository, laid out as queries and documents of given lengths."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rivals.prompt import Rows
from tests.testing.texts import PASSAGES

ROOT = Path(__file__).parents[2]
QUERIES = (
    "how do I undo my last commit",
    "which command shows what would be removed",
    "may I distribute copies of the work under another license",
    "how long does rice have to simmer",
    "find large files that fill my disk",
    "log in to a server without typing a password",
    "my phone no longer reacts to touch",
    "how can two branches be joined without a merge commit",
)
SPREAD = 0.45  # of the logarithm of a document's length


@dataclass(frozen=True, slots=True)
class Workload:
    """Pairs to score; `tokens` counts each pair's row in full."""

    name: str
    title: str
    pairs: list[tuple[str, str]]
    tokens: list[int]


# name: queries, documents a query, mean tokens of a document
SIZES = {
    "short": (1, 32, 40),
    "medium": (1, 32, 144),
    "long": (1, 32, 512),
    "queries": (8, 16, 100),
    "titles": (1, 200, 12),
    "pair": (1, 1, 8000),
}


def build(name: str, rows: Rows, scale: float = 1.0) -> Workload:
    """The workload of that name; `scale` below 1 takes fewer documents, for a rehearsal."""
    num_queries, count, mean = SIZES[name]
    count = max(1, round(count * scale))
    mean = max(64, round(mean * scale)) if name == "pair" else mean
    writer = _Writer(rows.tokenizer, seed=name)
    pairs = [(QUERIES[place], text) for place in range(num_queries) for text in writer.documents(count, mean)]
    tokens = [len(row) for row in rows.rows(pairs)]
    own = np.mean([len(tail) for tail in rows.tails(text for _, text in pairs)]) - len(rows.tails([""])[0])
    plural = "query" if num_queries == 1 else "queries"
    documents = "document" if count == 1 else "documents"
    title = f"{num_queries} {plural} x {count} {documents} of {own:.0f} tokens, {sum(tokens):,} tokens in separate rows"
    return Workload(name, title, pairs, tokens)


class _Writer:
    """Documents of whole sentences, the last one cut; no two begin with the same sentence until all have begun one."""

    def __init__(self, tokenizer: Any, seed: str) -> None:
        self.tokenizer = tokenizer
        self.random = random.Random(seed)
        self.lengths = np.random.default_rng(len(seed) * 1000 + ord(seed[0]))
        self.first: list[str] = []
        self.rest: list[str] = []

    def documents(self, count: int, mean: int) -> list[str]:
        """Texts of log-normal length; their lengths are scaled to the mean."""
        if count == 1:
            return [self.text(mean)]
        lengths = self.lengths.lognormal(0, SPREAD, count)
        return [self.text(max(3, round(length))) for length in lengths * mean / lengths.mean()]

    def text(self, length: int) -> str:
        """A text of exactly `length` tokens, but for a character that several tokens share."""
        self.first = self.first or self.shuffled()
        parts = [self.first.pop()]
        # Sentences are counted one by one, as counting the growing text would take quadratic time.
        counted = self.count(parts[0])
        while True:
            if counted >= length:
                text = " ".join(parts)
                encoded = self.tokenizer.encode(text, add_special_tokens=False)
                if len(encoded.ids) >= length:
                    cut: str = text[: encoded.offsets[length - 1][1]]
                    return cut
            self.rest = self.rest or self.shuffled()
            parts.append(self.rest.pop())
            counted += self.count(parts[-1])

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return len(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def shuffled(self) -> list[str]:
        """All sentences in a new order."""
        return self.random.sample(SENTENCES, len(SENTENCES))


def _sentences() -> list[str]:
    files = [*sorted((ROOT / "examples" / "documents").glob("*.md")), ROOT / "LICENSE"]
    texts = [*(file.read_text(encoding="utf-8") for file in files), *PASSAGES]
    pieces = [piece.strip() for text in texts for piece in re.split(r"(?<=[.!?])\s+|\n\n+", text)]
    return list(dict.fromkeys(" ".join(piece.split()) for piece in pieces if len(piece) >= 30))


SENTENCES = _sentences()
