"""What is done with the rows of a part: `score` and `embed`, by a model that each worker opens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.embedder import Embedder
from qwen3_reranker.jobs.pairs import Pair
from qwen3_reranker.jobs.part_scores import PartScores, score_texts
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.text_reranker import TextReranker

# Texts that are embedded at once: their tokens and final states are in memory.
_TEXTS = 512


class PartWork(Protocol):
    """What a part took: tokens of separate rows, those of them that were computed, and texts cut to fit."""

    @property
    def tokens(self) -> int: ...
    @property
    def computed(self) -> int: ...
    @property
    def cut(self) -> int: ...


class HasText(Protocol):
    """A row of one text."""

    @property
    def text(self) -> str: ...


# A task takes its rows, and gives what it made of them.
Row = TypeVar("Row", contravariant=True)
Work = TypeVar("Work", bound=PartWork, covariant=True)


class PartTask(Protocol[Row, Work]):
    """A task of workers. It is sent to them, so it holds a model's name and not a model."""

    def on(self, num_threads: int) -> Self:
        """The same on so many threads."""

    def open(self) -> Any:
        """The model, as a context. Raises what it raises."""

    def texts(self, rows: Sequence[Row]) -> tuple[Any, ...]:
        """What a worker needs of the rows."""

    def work(self, model: Any, *texts: Any) -> Work:
        """What the model makes of `texts`. Raises what it raises."""


@dataclass(frozen=True, kw_only=True)
class ModelTask:
    """What each worker opens: the arguments of Reranker or Embedder. instruction: that of each call."""

    model: str
    revision: str | None
    options: Mapping[str, Any]
    instruction: str | None

    def on(self, num_threads: int) -> Self:
        """As PartTask."""
        return replace(self, options={**self.options, "num_threads": num_threads})


class ScoreTask(ModelTask):
    """Pairs -> their logits. The model may be the URL of a server."""

    def open(self) -> Any:
        return Reranker(self.model, revision=self.revision, **self.options)

    def texts(self, rows: Sequence[Pair]) -> tuple[list[str], list[str]]:
        return [pair.query for pair in rows], [pair.document for pair in rows]

    def work(self, model: TextReranker, queries: Sequence[str], documents: Sequence[str]) -> PartScores:
        return score_texts(model, queries, documents, self.instruction)


@dataclass(frozen=True, slots=True)
class PartVectors:
    """What a part gave, vectors_ND in float32, and took, as PartWork."""

    vectors_ND: NDArray[np.float32]
    tokens: int
    computed: int
    cut: int


@dataclass(frozen=True, kw_only=True)
class EmbedTask(ModelTask):
    """Texts -> their vectors. role: what the texts are, as in Embedder.embed."""

    role: str

    def open(self) -> Embedder:
        return Embedder(self.model, revision=self.revision, **self.options)

    def texts(self, rows: Sequence[HasText]) -> tuple[list[str]]:
        return ([row.text for row in rows],)

    def work(self, model: Embedder, texts: Sequence[str]) -> PartVectors:
        found = [
            model.embed(texts[start : start + _TEXTS], role=self.role, instruction=self.instruction)
            for start in range(0, len(texts), _TEXTS)
        ]
        return PartVectors(
            np.concatenate([each.vectors for each in found]),
            tokens=sum(each.usage.prompt_tokens for each in found),
            computed=sum(each.usage.computed_tokens for each in found),
            cut=sum(each.usage.truncated_documents for each in found),
        )
