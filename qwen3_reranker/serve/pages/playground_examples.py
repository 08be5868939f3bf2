"""The texts that the playground begins with, from playground_examples.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class PlaygroundExample:
    """A query with one-line documents, and a second instruction to compare with."""

    name: str
    query: str
    documents: list[str]
    instruction: str
    other_instruction: str


_FILE = files("qwen3_reranker.serve.pages") / "playground_examples.json"
EXAMPLES = tuple(PlaygroundExample(**fields) for fields in json.loads(_FILE.read_text(encoding="utf-8")))
