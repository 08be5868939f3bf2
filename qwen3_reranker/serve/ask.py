"""Ask and Answer: what a request wants judged and what came of it, whichever dialect it is written in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from qwen3_reranker.records import NO_LIMITS, Limits, Receipt


@dataclass(frozen=True, slots=True)
class Ask:
    """Pairs to judge: `queries[i]` with `documents[i]`, as text.

    model: the name that was asked for, None for the default one. instruction: None for the model's own. top_n: how
    many results, best first, None for all. raw_scores: logits and not probabilities. echoes: what to give back with
    each pair, its document or the name of its question, None where nothing was asked for. form: the dialect's own note
    on the shape of its reply. documents_at: the field that the documents stood in. warnings: what was asked for and
    not done.
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
    documents_at: str = "documents"
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EmbeddingAsk:
    """Texts to embed; dimensions: None for the model's; base64: vectors as little-endian float32, else as numbers."""

    texts: Sequence[str]
    model: str | None = None
    dimensions: int | None = None
    base64: bool = False
    instruction: str | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """What a request took: tokens as separate rows would hold them, which is what is charged, and of its own tree.

    computed_tokens counts each distinct beginning among the request's own pairs once, so it does not depend on the
    neighbours. cost: US dollars as an exact decimal, None where the model has no price.
    """

    prompt_tokens: int
    computed_tokens: int
    truncated_documents: int
    cost: str | None = None


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds: making tokens, waiting for a turn, computing, and all of it."""

    tokenising: float = 0.0
    waiting: float = 0.0
    computing: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an Ask, pair by pair in its order.

    model: the id under which the model is served. order: places of the pairs to give back, best first; ties keep
    their order, and top_n is applied. created: Unix seconds.
    """

    request_id: str
    model: str
    created: int
    logits: Sequence[float]
    probabilities: Sequence[float]
    order: Sequence[int]
    receipts: Sequence[Receipt]
    spent: Spent
    timings: Timings = field(default_factory=Timings)
    warnings: tuple[str, ...] = ()

    def scores(self, ask: Ask) -> Sequence[float]:
        """The score of each pair as it was asked for."""
        return self.logits if ask.raw_scores else self.probabilities
