"""Logits -> probability, order, ties, top_k."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.arguments import is_whole
from qwen3_reranker.errors import InputError
from qwen3_reranker.record_texts import RecordTexts
from qwen3_reranker.records import DocumentScores, Hit, Ranking, Row, Usage


def probabilities(logits_N: NDArray[np.float32]) -> NDArray[np.float32]:
    """The share of yes between yes and no: the sigmoid of each logit, (num_rows,) float32."""
    # tanh neither overflows nor underflows; float64 keeps two nearby logits apart until the last rounding.
    return (0.5 + 0.5 * np.tanh(0.5 * logits_N.astype(np.float64))).astype(np.float32)


def document_scores(logits_N: NDArray[np.float32], rows: Sequence[Row], usage: Usage) -> DocumentScores:
    """The scores of rows with these logits."""
    return DocumentScores(logits_N, probabilities(logits_N), tuple(row.receipt for row in rows), usage)


def rank(scores: DocumentScores, documents: RecordTexts, top_k: int | None) -> Ranking:
    """The best `top_k` documents (None: all), best first by logit. Equal logits keep their input order."""
    order = np.argsort(-scores.logits, kind="stable")[:top_k].tolist()
    texts, records = documents.texts, documents.records
    logits, probabilities = scores.logits.tolist(), scores.probabilities.tolist()
    saturated = [False] * len(texts) if scores.saturated is None else scores.saturated.tolist()
    receipts = scores.receipts
    hits = tuple(
        Hit(index, logits[index], probabilities[index], texts[index], receipts[index], records[index], saturated[index])
        for index in order
    )
    return Ranking(hits, scores.usage, scores.screening, scores.cascade)


def checked_top_k(top_k: int | None) -> int | None:
    """The same number as an int. Raises InputError unless it is None or a whole number of at least 1."""
    if top_k is None:
        return None
    if not is_whole(top_k, 1):
        raise InputError(f"top_k must be a whole number of at least 1 or None, got {top_k!r}")
    return operator.index(top_k)
