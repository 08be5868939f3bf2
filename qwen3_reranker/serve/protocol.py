"""ScoreRequest, ScoreResult and others: what dialects read from bodies and write into replies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from qwen3_reranker.records import NO_LIMITS, Limits, Receipt, Screening, Usage
from qwen3_reranker.search.filters import Filters
from qwen3_reranker.selection import Choice
from qwen3_reranker.selection_options import NO_SELECTION, SelectionOptions


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """Pairs to score: `queries[i]` with `documents[i]`, as text.

    model: the requested name, None for the default model. instruction: None for the model's own. instructions: of each
    pair, where they differ; empty otherwise. top_n: number of
    results, best first, None for all. raw_scores: logits instead of probabilities. echoes: what the reply repeats with
    each pair, its document or the name of its question, None for nothing. form: a variant of the dialect's reply.
    min_probability: that of a pair in a reply that is ordered by score; None for any. selection: how such a reply is
    chosen from these.
    documents_field: the body's field that holds the documents. warnings: what was requested and is ignored.
    """

    queries: Sequence[str]
    documents: Sequence[str]
    model: str | None = None
    instruction: str | None = None
    top_n: int | None = None
    raw_scores: bool = False
    echoes: Sequence[Any] | None = None
    limits: Limits = NO_LIMITS
    form: str = ""
    documents_field: str = "documents"
    warnings: tuple[str, ...] = ()
    min_probability: float | None = None
    selection: SelectionOptions = NO_SELECTION
    instructions: Sequence[str | None] = ()


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """Texts to embed, as the `query` or `document` of role.

    dimensions: None for the model's. encodings: "float" for numbers, "base64" for little-endian float32; none for the
    dialect's own. limits: how much of each text is read.
    """

    texts: Sequence[str]
    model: str | None = None
    role: str = "document"
    dimensions: int | None = None
    encodings: tuple[str, ...] = ()
    instruction: str | None = None
    limits: Limits = NO_LIMITS


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A search of files: at most `limit` documents within `budget` seconds. instruction: None for the model's own.

    selection: how the documents are chosen among those of all candidates.
    """

    query: str
    limit: int
    budget: float
    rerank: bool
    instruction: str | None
    filters: Filters
    selection: SelectionOptions = NO_SELECTION


@dataclass(frozen=True, slots=True)
class StageSeconds:
    """Seconds of each stage of a request, and of all of them."""

    tokenizing: float = 0.0
    queueing: float = 0.0
    computing: float = 0.0
    total: float = 0.0

    def __add__(self, other: StageSeconds) -> StageSeconds:
        return StageSeconds(
            self.tokenizing + other.tokenizing,
            self.queueing + other.queueing,
            self.computing + other.computing,
            self.total + other.total,
        )


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """Scores of a ScoreRequest, pair by pair in its order.

    model: the id of the served model. created: Unix seconds. order: indices of the pairs in the reply, best first; ties
    keep their order, and min_probability and top_n are applied. usage: prompt_tokens is charged; computed_tokens counts
    each distinct prefix of the request once, whatever other requests ran with it. cost: exact US dollars, None without
    a price. is_calibrated: whether a calibration gave the probabilities; None for a model without one. left_out: pairs
    below min_probability; none_of_these: whether there is no other. judged: pairs that the first and the second model
    of a cascade scored; those that the second did not score have the logit -inf and are not in `order`. None for one
    model. selection: of those that are not left out, by their indices; None where none was asked for.
    """

    request_id: str
    model: str
    created: int
    logits: Sequence[float]
    probabilities: Sequence[float]
    order: Sequence[int]
    receipts: Sequence[Receipt]
    usage: Usage
    cost: str | None = None
    seconds: StageSeconds = field(default_factory=StageSeconds)
    is_calibrated: bool | None = None
    left_out: int = 0
    none_of_these: bool = False
    judged: tuple[int, int] | None = None
    screening: Screening | None = None
    selection: Choice | None = None
