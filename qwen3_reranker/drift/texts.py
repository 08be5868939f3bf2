"""The built-in text set: questions with documents that answer them or do not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Question:
    """A query and what may answer it, all in one language. Some of `related` answer a part, none of `unrelated`."""

    language: str
    query: str
    relevant: tuple[str, ...]
    related: tuple[str, ...]
    unrelated: tuple[str, ...]

    @property
    def documents(self) -> tuple[str, ...]:
        """All documents, the relevant ones first."""
        return self.relevant + self.related + self.unrelated


def text_set() -> tuple[Question, ...]:
    """The 10 questions of texts.json, each with 18 documents of up to some 150 words."""
    content = (files("qwen3_reranker.drift") / "texts.json").read_text(encoding="utf-8")
    return tuple(
        Question(
            fields["language"],
            fields["query"],
            tuple(fields["relevant"]),
            tuple(fields["related"]),
            tuple(fields["unrelated"]),
        )
        for fields in json.loads(content)
    )
